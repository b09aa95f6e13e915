package schema_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"roomlog/schema"
)

func event(t testing.TB, name string) *schema.Event {
	t.Helper()
	e, ok := schema.Lookup(name)
	if !ok {
		t.Fatalf("%s is not in the catalogue", name)
	}
	return e
}

func TestExamplesOfTheSchemaFiles(t *testing.T) {
	for _, e := range schema.Events() {
		f := readSchemaFile(t, &e)
		for _, good := range f.Examples {
			if err := schema.Validate(&e, good); err != nil {
				t.Errorf("%s %s: %v", e.Name, good, err)
			}
			agree(t, &e, good)
		}
		for _, bad := range f.Bad {
			err := schema.Validate(&e, bad.Data)
			if err == nil || err.Code != bad.Code {
				t.Errorf("%s %s: %v, not %s: %s", e.Name, bad.Data, err, bad.Code, bad.Why)
			}
			agree(t, &e, bad.Data)
		}
		examined := 0
		for part, validate := range map[string]func(*schema.Event, json.RawMessage) *schema.Error{"push": schema.ValidatePush, "ack": schema.ValidateAck} {
			for _, good := range f.Defs[part].Examples {
				examined++
				if err := validate(&e, good); err != nil {
					t.Errorf("%s of %s %s: %v", part, e.Name, good, err)
				}
			}
		}
		if examined == 0 && e.Kind != schema.Push {
			t.Errorf("%s: no example of what the server answers", e.Name)
		}
	}
}

func TestPushesAndAcksOfEachKind(t *testing.T) {
	for _, e := range schema.Events() {
		ack, push := schema.ValidateAck(&e, []byte("[]")), schema.ValidatePush(&e, []byte("[]"))
		if (ack.Code == schema.Internal) != (e.Kind == schema.Push) {
			t.Errorf("ack of %s: %v", e.Name, ack)
		}
		if (push.Code == schema.Internal) != (e.To == "") {
			t.Errorf("push of %s: %v", e.Name, push)
		}
	}
}

// What a person reads when a command is refused.
func TestMessagesSayWhatIsExpected(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ event, data, want string }{
		{"post:like", `{"postId":"` + anID + `"}`, "MISSING_FIELD: /action: required"},
		{"post:like", `{}`, "MISSING_FIELD: /postId: required"},
		{"post:like", ``, "BAD_FRAME: the data is no JSON object: not JSON at byte 0"},
		{"post:like", `{"action":"love","postId":"` + anID + `"}`, "INVALID_FIELD: /action: one of like, unlike"},
		{"post:like", `{"action":"like","postId":"p1"}`, "INVALID_FIELD: /postId: an id: 26 characters, a ULID in upper case"},
		{"post:like", `{"action":"like","postId":"` + anID + `","likesCount":3}`, "UNKNOWN_FIELD: /likesCount: no such field; allowed: action, postId"},
		{"post:like", `{"action":7,"~/":1}`, "UNKNOWN_FIELD: /~0~1: no such field; allowed: action, postId"},
		{"post:like", `{"` + long + `":1}`, "UNKNOWN_FIELD: /" + long[:64] + "…: no such field; allowed: action, postId"},
		{"post:like", `{"action":"like","action":"unlike","postId":"` + anID + `"}`, "INVALID_FIELD: /action: given twice"},
		{"post:like", `[]`, "INVALID_FIELD: data: an object"},
		{"post:like", `null`, "INVALID_FIELD: data: an object"},
		{"post:like", "{\"action\":\"\xff\"}", "BAD_FRAME: the data is not UTF-8"},
		{"post:like", `{} {}`, "BAD_FRAME: the data is no JSON object: not JSON at byte 3"},
		{"post:like", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), "BAD_FRAME: the data is no JSON object: nested too deep at byte 160"},
		{"post:create", `{"content":"` + strings.Repeat("é", 4001) + `"}`, "INVALID_FIELD: /content: at most 4000 characters"},
		{"post:create", `{"content":""}`, "INVALID_FIELD: /content: at least 1 character"},
		{"post:create", `{"content":"\n \u00a0"}`, "INVALID_FIELD: /content: text with at least one character that shows"},
		{"post:create", `{"content":"x","media":[{"url":"https://x.example/","type":"image"},{"url":"file:///etc/passwd","type":"image"}]}`, "INVALID_FIELD: /media/1/url: an http or https URL"},
		{"post:create", `{"content":"x","media":"none"}`, "INVALID_FIELD: /media: a list"},
		{"presence:get", `{"userIds":["a","b","\u0061"]}`, "INVALID_FIELD: /userIds/2: given twice"},
		{"presence:get", `{"userIds":[]}`, "INVALID_FIELD: /userIds: at least 1 item"},
		{"feed:get", `{"limit":101}`, "INVALID_FIELD: /limit: a whole number from 1 to 100"},
		{"feed:get", `{"limit":20.0}`, "INVALID_FIELD: /limit: a whole number from 1 to 100"},
		{"feed:get", `{"limit":123456789012345678901234567890}`, "INVALID_FIELD: /limit: a whole number from 1 to 100"},
		{"notification:list", `{"unreadOnly":0}`, "INVALID_FIELD: /unreadOnly: true or false"},
		{"socket:ping", `{"now":true}`, "UNKNOWN_FIELD: /now: no such field; none is allowed"},
		{"conversation:create", `{"type":"direct","participants":["a","b"]}`, "INVALID_FIELD: /participants: at most 1 item"},
		{"admin:tail", `{}`, "INVALID_FIELD: data: at least 1 field"},
		{"admin:report", `{"target":{"type":"message","id":"` + anID + `"},"reason":"x"}`, "MISSING_FIELD: /target/conversationId: required"},
	} {
		err := schema.Validate(event(t, c.event), []byte(c.data))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %s:\n got %v\nwant %s", c.event, clip([]byte(c.data)), err, c.want)
		}
	}
	if err := schema.Validate(event(t, "feed:get"), nil); err != nil {
		t.Errorf("no data stands for {}: %v", err)
	}
}

// A text's length is counted in code points, whether written out or escaped.
func TestContentLengthCountsCodePoints(t *testing.T) {
	create := event(t, "post:create")
	for _, char := range []string{"x", "é", "夜", "🎭", `\n\u0078`[2:], `\ud83c\udfad`, `\"`} {
		for n, valid := range map[int]bool{1: true, 4000: true, 4001: false} {
			data := fmt.Sprintf(`{"content":"%s"}`, strings.Repeat(char, n))
			if err := schema.Validate(create, []byte(data)); (err == nil) != valid {
				t.Errorf("%d times %s: %v", n, char, err)
			}
			agree(t, create, []byte(data))
		}
	}
}

// Values that stand in place of others in damaged examples: around every limit of
// the schema files, and of every type.
func strange() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.SampledFrom([]any{nil, true, false, 0, 1, -1, 2, 100, 101, 9007199254740991, 9007199254740992, -9007199254740993, "", " ", "\u2003", "\u200b", "a b", anID, anID[:25], strings.ToLower(anID), "post:" + anID, "alice", "text", "image", "image/png", "message", "post", "user", "direct", "group", "2026-11-23T18:00:00Z", "2026-13-23T18:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T18:00:60Z", "2024-02-29T00:00:00.123456789Z", "https://x.example/", "https://x.example/<>", map[string]any{}, []any{}, []any{nil}, []any{"a", "a"}, map[string]any{"a": map[string]any{}}}),
		rapid.Map(rapid.SampledFrom([]int{2, 32, 64, 65, 100, 101, 128, 129, 256, 1000, 1001, 2000, 2001, 2048, 2049, 4000, 4001, 8192, 8193}), func(n int) any { return strings.Repeat("x", n) }),
		rapid.Map(rapid.SampledFrom([]int{1, 2, 4, 5, 10, 11, 30, 31, 100, 101, 128, 129}), func(n int) any {
			list := make([]any, n)
			for i := range list {
				list[i] = fmt.Sprintf("u%d", i)
			}
			return list
		}),
		rapid.Map(rapid.String(), func(s string) any { return s }),
	)
}

// damage returns v with one value somewhere in it replaced, removed or added.
func damage(t *rapid.T, v any) any {
	if rapid.IntRange(0, 3).Draw(t, "here") == 0 {
		return strange().Draw(t, "value")
	}
	switch v := v.(type) {
	case map[string]any:
		names := rapid.SampledFrom(append([]string{"extra", "userId", "media", "name", "limit"}, slices.Sorted(maps.Keys(v))...))
		name := names.Draw(t, "name")
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			delete(v, name)
		case 1:
			v[name] = strange().Draw(t, "value")
		default:
			v[name] = damage(t, v[name])
		}
	case []any:
		if len(v) > 0 {
			i := rapid.IntRange(0, len(v)-1).Draw(t, "item")
			v[i] = damage(t, v[i])
			return append(v, v[i])
		}
		return append(v, strange().Draw(t, "item"))
	}
	return v
}

// Damaged examples get the verdict of a general JSON Schema validator.
func TestVerdictsAreThoseOfJSONSchema(t *testing.T) {
	for _, e := range schema.Events() {
		f := readSchemaFile(t, &e)
		examples := f.Examples
		for _, bad := range f.Bad {
			examples = append(examples, bad.Data)
		}
		rapid.Check(t, func(t *rapid.T) {
			var v any
			if err := json.Unmarshal(rapid.SampledFrom(examples).Draw(t, "example"), &v); err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				v = damage(t, v)
			}
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var got schema.Code
			verdict := schema.Validate(&e, data)
			if verdict != nil {
				got = verdict.Code
			}
			if want, sure := theOracle().verdict(&e, data); got != want && sure {
				t.Fatalf("%s %s: %v, the oracle says %q", e.Name, clip(data), verdict, want)
			}
		})
	}
}

// FuzzValidate holds Validate against the oracle on texts that may be anything.
func FuzzValidate(f *testing.F) {
	for i, e := range schema.Events() {
		file := readSchemaFile(f, &e)
		for _, good := range file.Examples {
			f.Add(uint8(i), []byte(good))
		}
		for _, bad := range file.Bad {
			f.Add(uint8(i), []byte(bad.Data))
		}
	}
	f.Add(uint8(0), []byte(`{"content":"\ud800"}`))
	f.Add(uint8(0), []byte(`{"content":"a","cont\u0065nt":"b"}`))
	f.Add(uint8(16), []byte(`{"limit":-0}`))
	f.Add(uint8(16), []byte(`{"limit":01}`))
	f.Fuzz(func(t *testing.T, i uint8, data []byte) {
		events := schema.Events()
		agree(t, &events[int(i)%len(events)], data)
	})
}

func BenchmarkValidate(b *testing.B) {
	long, _ := json.Marshal(schema.PostCreate{Content: strings.Repeat("To be, or not to be\n", 200)})
	for _, c := range []struct{ name, event, data string }{
		{"like", "post:like", `{"postId":"` + anID + `","action":"like"}`},
		{"comment", "post:comment", `{"postId":"` + anID + `","content":"That it should come to this! But two months dead: nay, not so much, not two"}`},
		{"post4000", "post:create", string(long)},
		{"refused", "post:like", `{"postId":"` + anID + `","action":"like","userId":"bob"}`},
	} {
		e := event(b, c.event)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			data := []byte(c.data)
			for b.Loop() {
				schema.Validate(e, data)
			}
		})
	}
	// What the rules are measured against.
	b.Run("like/jsonschema", func(b *testing.B) {
		e := event(b, "post:like")
		data := []byte(`{"postId":"` + anID + `","action":"like"}`)
		b.ReportAllocs()
		for b.Loop() {
			theOracle().verdictOnly(e, data)
		}
	})
}
