package schema

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzUnmarshal holds Unmarshal against encoding/json, with every type that a client's
// data is read into, and ValidJSON as well.
func FuzzUnmarshal(f *testing.F) {
	for _, e := range Events() {
		var file struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(SchemaFile(&e), &file); err != nil {
			f.Fatal(err)
		}
		for _, example := range file.Examples {
			f.Add([]byte(example))
		}
	}
	for _, odd := range []string{
		``, ` `, `null`, `{}`, `[]`, `"x"`, `{} `, "\t{ }\n", `{}x`, "{}\x00", `{"content":"a"`, `{"content":"a",}`, `{"content":"a"}{}`, `{"content" : "a" , "hashtags" : [ "b" , "c" ] }`,
		`{"content":null}`, `{"content":1}`, `{"content":"a","content":"b"}`, `{"Content":"a"}`, `{"content":"a","CONTENT":"b"}`, `{"c\u006fntent":"a"}`, `{"unknown":[{}],"content":"a"}`,
		`{"content":"\u00e9\ud83c\udfad\ud800\n\"\\\/"}`, "{\"content\":\"\xff\"}", "{\"content\":\"\xed\xa0\x80\"}", "{\"\xff\":\"a\"}", "{\"content\":\"a\nb\"}", "{\"content\":\"é\u2028\"}", `{"content":"\x"}`, `{"content":"\u12"}`,
		`{"hashtags":[]}`, `{"hashtags":null}`, `{"hashtags":["a",null]}`, `{"hashtags":["a"],"hashtags":[]}`, `{"hashtags":["a",]}`, `{"hashtags":["a" "b"]}`, `{"hashtags":"a"}`, `{"hashtags":["a"}`,
		`{"media":[{"url":"a","type":"b","alt":""},{}]}`, `{"media":[null]}`, `{"media":[{"url":"a"}],"media":[{"type":"b"}]}`, `{"media":[]}`,
		`{"newest":true}`, `{"newest":false,"upTo":"a"}`, `{"newest":tru}`, `{"newest":null}`, `{"newest":truefalse}`,
		`{"target":{"type":"post","id":"a"},"reason":"b"}`, `{"target":null}`, `{"target":{"ID":"a"}}`, `{"updates":{"addParticipants":["a"],"name":"b"}}`, `{"until":"2026-12-01T00:00:00.000Z"}`, `{"until":"x"}`, `{"limit":5}`,
	} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := ValidJSON(data), json.Valid(data); got != want {
			t.Errorf("ValidJSON of %q: %v", data, got)
		}
		for name, made := range payloads {
			got, want := made(), made()
			err, wantErr := Unmarshal(data, got), json.Unmarshal(data, want)
			if !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("%q as %s: %+v, %v; encoding/json %+v, %v", data, name, got, err, want, wantErr)
			}
		}
	})
}

// What a record's data usually is takes the short way, or nothing is gained by it.
func TestUnmarshalKnowsWhatRecordsHold(t *testing.T) {
	for _, e := range Events() {
		if e.Kind != Fact || e.Name == "admin:suspend" { // it has a time
			continue
		}
		var file struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(SchemaFile(&e), &file); err != nil {
			t.Fatal(err)
		}
		for _, example := range file.Examples {
			v := reflect.ValueOf(payloads[e.Name]()).Elem()
			u := unmarshaler{scanner: scanner{b: example}}
			if !u.value(v, typeOf(v.Type())) {
				t.Errorf("%s %s is left to encoding/json", e.Name, example)
			}
		}
	}
}

// Whatever nests deeper than encoding/json allows is no JSON here either.
func TestValidJSONNestsAsDeep(t *testing.T) {
	for depth := 9_999; depth < 10_003; depth++ {
		data := make([]byte, 2*depth)
		for i := range depth {
			data[i], data[depth+i] = '[', ']'
		}
		if got, want := ValidJSON(data), json.Valid(data); got != want {
			t.Errorf("%d lists: %v", depth, got)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	for _, data := range []string{
		`{"postId":"01M8J9A8BCVRX9VBGTK7AXRBQA","action":"like"}`,
		`{"conversationId":"01M8J9A8BCVRX9VBJKEZQAYJQA","content":"opposing or slings troubles of by against nobler them a outrageous or","messageType":"text"}`,
		`{"content":"by sea whether nobler by slings to \"opposing\" and them tis","hashtags":["tis","sea"]}`,
	} {
		var e string
		switch data[2:4] {
		case "po":
			e = "post:like"
		case "co":
			if e = "post:create"; data[4:6] == "nv" {
				e = "message:send"
			}
		}
		b.Run(e, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Unmarshal([]byte(data), payloads[e]()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(e+"/encoding/json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := json.Unmarshal([]byte(data), payloads[e]()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("valid", func(b *testing.B) {
		for b.Loop() {
			ValidJSON([]byte(`{"conversationId":"01M8J9A8BCVRX9VBJKEZQAYJQA","content":"opposing or slings troubles of by against nobler them a outrageous or","messageType":"text"}`))
		}
	})
	b.Run("valid/encoding/json", func(b *testing.B) {
		for b.Loop() {
			json.Valid([]byte(`{"conversationId":"01M8J9A8BCVRX9VBJKEZQAYJQA","content":"opposing or slings troubles of by against nobler them a outrageous or","messageType":"text"}`))
		}
	})
}
