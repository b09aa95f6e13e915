package schema_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

func TestHashtags(t *testing.T) {
	for content, want := range map[string][]string{
		"":                                 {},
		"no tags":                          {},
		"#hamlet":                          {"hamlet"},
		"to be #Hamlet, or not (#act_3)":   {"Hamlet", "act_3"},
		"#a #b #a #A":                      {"a", "b", "A"},
		"we are #1 in c#sharp and ##twice": {},
		"#夜 #schön #नमस्ते":                {"夜", "schön", "नमस्ते"},
		"#":                                {},
		"# x":                              {},
		"#" + strings.Repeat("x", 65):      {},
		"#" + strings.Repeat("ä", 64):      {strings.Repeat("ä", 64)},
	} {
		if got := schema.Hashtags(content); !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", content, got, want)
		}
	}
}

// Whatever the content, the tags taken from it are ones that a client could have sent.
func FuzzHashtagsAreValid(f *testing.F) {
	f.Add("#a #b_c #夜!")
	many := ""
	for i := range 40 {
		many += fmt.Sprintf(" #t%d", i)
	}
	f.Add(many)
	create, _ := schema.Lookup("post:create")
	f.Fuzz(func(t *testing.T, content string) {
		data, err := json.Marshal(schema.PostCreate{Content: "x", Hashtags: schema.Hashtags(content)})
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(create, data); err != nil {
			t.Errorf("%q gives %s: %v", content, data, err)
		}
	})
}
