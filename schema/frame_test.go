package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"roomlog/schema"
)

func TestParseCommand(t *testing.T) {
	for frame, want := range map[string]schema.Command{
		`{"id":7,"event":"post:like","data":{"a":1},"key":"c2f1"}`: {ID: raw("7"), Event: "post:like", Data: raw(`{"a":1}`), Key: "c2f1"},
		` { "event" : "socket:ping" } ` + "\r\n\t":                 {Event: "socket:ping"},
		`{"event":"no:such"}`:                                      {Event: "no:such"},
		`{"key":"ключ","data":{ },"event":"feed:get","id":"a\"b"}`: {ID: raw(`"a\"b"`), Event: "feed:get", Data: raw("{ }"), Key: "ключ"},
		`{"id":-1.50e+09,"event":"feed:get"}`:                      {ID: raw("-1.50e+09"), Event: "feed:get"},
		`{"id":"","event":""}`:                                     {ID: raw(`""`)},
		`{"\u0069d":1,"event":"post\u003alike"}`:                   {ID: raw("1"), Event: "post:like"},
		`{"event":"socket:typing"}`:                                {Event: "socket:typing"},
	} {
		got, err := schema.ParseCommand([]byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
		}
		if !sameCommand(got, want) {
			t.Errorf("%s: %+v", frame, got)
		}
	}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func sameCommand(a, b schema.Command) bool {
	return bytes.Equal(a.ID, b.ID) && (a.ID == nil) == (b.ID == nil) && a.Event == b.Event && bytes.Equal(a.Data, b.Data) && a.Key == b.Key
}

// Each refusal with its message, and the id it can be tied to.
func TestParseCommandRefuses(t *testing.T) {
	deep := func(n int) string {
		return `{"id":1,"event":"e","data":{"a":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `}}`
	}
	if _, err := schema.ParseCommand([]byte(deep(schema.MaxDepth))); err != nil {
		t.Errorf("%d levels: %v", schema.MaxDepth, err)
	}
	for _, c := range []struct{ frame, id, want string }{
		{``, ``, "BAD_FRAME: the frame is not one JSON object"},
		{`null`, ``, "BAD_FRAME: the frame is not one JSON object"},
		{`[]`, ``, "BAD_FRAME: the frame is not one JSON object"},
		{`"post:like"`, ``, "BAD_FRAME: the frame is not one JSON object"},
		{"\ufeff{}", ``, "BAD_FRAME: the frame is not one JSON object"},
		{`{`, ``, "BAD_FRAME: the frame is no JSON object: not JSON at byte 1"},
		{`{"id":1`, `1`, "BAD_FRAME: the frame is no JSON object: not JSON at byte 7"},
		{`{"id":1,}`, `1`, "BAD_FRAME: the frame is no JSON object: not JSON at byte 8"},
		{`{"id":01}`, `0`, "BAD_FRAME: the frame is no JSON object: not JSON at byte 7"},
		{`{'id':1}`, ``, "BAD_FRAME: the frame is no JSON object: not JSON at byte 1"},
		{`{"id":NaN}`, ``, "BAD_FRAME: the frame is no JSON object: not JSON at byte 6"},
		{`{"event":"e"}{}`, ``, "BAD_FRAME: the frame goes on after its JSON object at byte 13"},
		{"{\"event\":\"e\"}\x00", ``, "BAD_FRAME: the frame goes on after its JSON object at byte 13"},
		{"{\"event\":\"\xff\"}", ``, "BAD_FRAME: the frame is not UTF-8"},
		{"{\"event\":\"a\nb\"}", ``, "BAD_FRAME: the frame is no JSON object: not JSON at byte 9"},
		{`{"event":"\x"}`, ``, "BAD_FRAME: the frame is no JSON object: not JSON at byte 9"},
		{deep(schema.MaxDepth + 1), `1`, "BAD_FRAME: the frame is no JSON object: nested too deep at byte 62"},
		{strings.Repeat(`{"a":`, 100000), ``, "BAD_FRAME: the frame is no JSON object: nested too deep at byte 160"},

		{`{}`, ``, "MISSING_FIELD: /event: required"},
		{`{"id":1,"data":{}}`, `1`, "MISSING_FIELD: /event: required"},
		{`{"user":"bob","event":"e","id":"late"}`, `"late"`, "UNKNOWN_FIELD: /user: no such field; a frame has id, event, data, key"},
		{`{"Event":"e","id":3}`, `3`, "UNKNOWN_FIELD: /Event: no such field; a frame has id, event, data, key"},
		{`{"event":7,"id":3}`, `3`, "INVALID_FIELD: /event: a string"},
		{`{"event":null,"id":3}`, `3`, "INVALID_FIELD: /event: a string"},
		{`{"event":"e","id":3,"data":[]}`, `3`, "INVALID_FIELD: /data: an object"},
		{`{"event":"e","id":3,"data":null}`, `3`, "INVALID_FIELD: /data: an object"},
		{`{"event":"e","id":null}`, ``, "INVALID_FIELD: /id: a number or a string, at most 128 bytes"},
		{`{"event":"e","id":{}}`, ``, "INVALID_FIELD: /id: a number or a string, at most 128 bytes"},
		{`{"event":"e","id":true}`, ``, "INVALID_FIELD: /id: a number or a string, at most 128 bytes"},
		{`{"event":"e","id":"` + strings.Repeat("x", 127) + `"}`, ``, "INVALID_FIELD: /id: a number or a string, at most 128 bytes"},
		{`{"event":"e","id":1,"id":2}`, `1`, "INVALID_FIELD: /id: given twice"},
		{`{"event":"e","event":"f","id":2}`, `2`, "INVALID_FIELD: /event: given twice"},
		{`{"event":"e","id":2,"key":""}`, `2`, "INVALID_FIELD: /key: a string of 1 to 64 characters"},
		{`{"event":"e","id":2,"key":5}`, `2`, "INVALID_FIELD: /key: a string of 1 to 64 characters"},
		{`{"event":"e","id":2,"key":"` + strings.Repeat("é", 65) + `"}`, `2`, "INVALID_FIELD: /key: a string of 1 to 64 characters"},
		{`{"data":7,"x":1,"id":9}`, `9`, "UNKNOWN_FIELD: /x: no such field; a frame has id, event, data, key"},
	} {
		got, err := schema.ParseCommand([]byte(c.frame))
		if err == nil || err.Error() != c.want || string(got.ID) != c.id {
			t.Errorf("%s:\n got %v tied to %s\nwant %s tied to %s", clip([]byte(c.frame)), err, got.ID, c.want, c.id)
		}
	}
}

// FuzzParseCommand holds the parser against encoding/json: the same texts are JSON,
// and an accepted frame means the same to both, its id and data byte for byte.
func FuzzParseCommand(f *testing.F) {
	for _, frame := range []string{
		`{"id":7,"event":"post:like","data":{"postId":"p","n":[1.5e-3,true,false,null]},"key":"k"}`,
		`{"id":"\ud83c\udfad\ud800\u00e9\\\/","event":"\b\f\n\r\t"}`, `{"event":"e","id":1,"id":2}`, `{"a":{"b":[[[]]]}}`, `[1,2]`, `{"id":-0.0E+1,"event":"x"} `, "{\"event\":\"\xc3\x28\"}", `{"\u0065vent":"e"}`,
	} {
		f.Add([]byte(frame))
	}
	for _, e := range schema.Events() {
		for _, good := range readSchemaFile(f, &e).Examples {
			f.Add(fmt.Appendf(nil, `{"id":"7","event":%q,"data":%s,"key":"k"}`, e.Name, good))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := schema.ParseCommand(b)
		isObject := json.Valid(b) && utf8.Valid(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
		fits := isObject && shapeOf(b).depth <= schema.MaxDepth
		if badFrame := err != nil && err.Code == schema.BadFrame; badFrame == fits {
			t.Fatalf("%q: %v, but it is JSON: %v", b, err, fits)
		}
		if err != nil {
			return
		}
		var fields map[string]json.RawMessage
		d := json.NewDecoder(bytes.NewReader(b))
		if err := d.Decode(&fields); err != nil {
			t.Fatal(err)
		}
		var event, key string
		if json.Unmarshal(fields["event"], &event) != nil || fields["key"] != nil && json.Unmarshal(fields["key"], &key) != nil {
			t.Fatalf("%q: %+v", b, got)
		}
		if want := (schema.Command{ID: fields["id"], Event: event, Data: fields["data"], Key: key}); !sameCommand(got, want) {
			t.Fatalf("%q: %+v, not %+v", b, got, want)
		}
	})
}

func BenchmarkParseCommand(b *testing.B) {
	for name, frame := range map[string]string{
		"like":    `{"id":7,"event":"post:like","data":{"postId":"` + anID + `","action":"like"},"key":"c2f1"}`,
		"comment": `{"id":7,"event":"post:comment","data":{"postId":"` + anID + `","content":"That it should come to this! But two months dead: nay, not so much, not two"}}`,
	} {
		frame := []byte(frame)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schema.ParseCommand(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
