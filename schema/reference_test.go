package schema_test

import (
	"strings"
	"testing"

	"roomlog/schema"
)

const places = "<!-- generated: events -->\n<!-- end -->\n<!-- generated: types -->\nSTALE\n<!-- end -->\n" +
	"between\n<!-- generated: errors -->\n<!-- end -->\n<!-- generated: closes -->\n<!-- end -->\nafter\n"

// The reference shows what the schema files say, in their order and in one line.
func TestReference(t *testing.T) {
	made, err := schema.Reference([]byte(places))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"#### `post:create`\n\nPublishes a post. *Fact*; sent by: any user; pushed to: followers' user rooms, author's other sockets.\n",
		"- send `{content: postContent, media?: mediaList, hashtags?: hashtags}`\n",
		"- ack and push `{post: post}`\n",
		"- send `{postId: id, action: \"like\" | \"unlike\"}`\n",
		"- send `{userIds: [1..100 of userId]}`; `userIds`: none twice\n",
		"; when `messageType` is `\"text\"`: `content` is `messageContent`; otherwise `media` is required, `media` is `[≥1]`\n",
		"| `count` | `integer ≥0` |",
		"| `empty` | `{}` |",
		"| `RATE_LIMITED` | too many events; wait before the next one | yes |",
		"| 4501 | bad frames | no |",
		"\nbetween\n", "\nafter\n",
	} {
		if !strings.Contains(string(made), want) {
			t.Errorf("not in it: %s", want)
		}
	}
	if strings.Contains(string(made), "STALE") {
		t.Error("what was in a part is still there")
	}
	for _, e := range schema.Events() {
		if !strings.Contains(string(made), "#### `"+e.Name+"`\n") {
			t.Errorf("%s is not in it", e.Name)
		}
	}
	again, err := schema.Reference(made)
	if err != nil || string(again) != string(made) {
		t.Errorf("the second time it is another one (%v)", err)
	}
}

func TestReferenceNeedsItsPlaces(t *testing.T) {
	for name, document := range map[string]string{
		"no place":      strings.Replace(places, "errors", "types", 1),
		"unknown part":  strings.Replace(places, "errors", "mistakes", 1),
		"without end":   strings.Replace(places, "<!-- generated: closes -->\n<!-- end -->", "<!-- generated: closes -->\n", 1),
		"none":          "hello",
		"an empty file": "",
	} {
		if _, err := schema.Reference([]byte(document)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
