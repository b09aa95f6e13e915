package eventlog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"roomlog/schema"
)

// A record in structured mode, attribute by attribute.
func TestCloudEvent(t *testing.T) {
	msg, _, _, err := encode(Record{
		Time: 1795456800123, ID: "01KAS8V4RZ0000000000000000", Event: "post:like", Version: 1,
		Actor:  schema.Actor{ID: "zoe", Username: "Zoë <z>", Avatar: "https://example.org/z.png"},
		Entity: "post:01KAS8V4RY0000000000000000", Data: json.RawMessage(`{"postId": "01KAS8V4RY0000000000000000","action":"like"}`),
		Key: "100% sure", Socket: "s1", CorrelationID: "c1", CausationID: "c2",
	}, "events.social.post.like", "/node 1")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"specversion":"1.0","id":"01KAS8V4RZ0000000000000000","type":"post:like","source":"/node 1",` +
		`"time":"2026-11-23T18:00:00.123Z","subject":"post:01KAS8V4RY0000000000000000","dataschema":"urn:roomlog:schema:post.like.v1",` +
		`"datacontenttype":"application/json","actor":"zoe","actorname":"Zoë <z>","actoravatar":"https://example.org/z.png",` +
		`"correlationid":"c1","causationid":"c2","idempotencykey":"100% sure","socketid":"s1","sequence":"1042",` +
		`"data":{"postId": "01KAS8V4RY0000000000000000","action":"like"}}`
	fields := decode(1042, msg.Subject, msg.Header, msg.Data)
	raw := decodeRaw(1042, msg.Subject, rawHeader(msg.Header), msg.Data)
	for name, r := range map[string]Record{"fields": fields, "raw": raw} {
		if got, err := r.CloudEvent(); err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", name, got, err, want)
		}
	}
}

// Every record comes back as it was, and so does its CloudEvent.
func TestCloudEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord().Draw(t, "record")
		r.Seq = rapid.Uint64Range(0, 1<<53).Draw(t, "seq")
		text, err := r.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(text, "\r\n") {
			t.Fatalf("more than a line: %q", text)
		}
		back, err := ParseCloudEvent(text)
		if err != nil || !same(back, r) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, back, r)
		}
		if again, err := back.CloudEvent(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, again, text)
		}
	})
}

func TestCloudEventOfManyLines(t *testing.T) {
	r := post("alice", "hello")
	r.Data = json.RawMessage("{\n  \"content\": \"a\\nb\"\r\n}")
	text, err := r.CloudEvent()
	if err != nil || !bytes.HasSuffix(text, []byte(`"data":{"content":"a\nb"}}`)) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestNoCloudEvent(t *testing.T) {
	foreign := decode(5, "events.x", nil, nil)
	noText := post("alice", "hello")
	noText.Entity = "\xff"
	noJSON := post("alice", "hello")
	noJSON.Data = json.RawMessage("{\n")
	for name, r := range map[string]Record{"foreign": foreign, "no text": noText, "no JSON": noJSON} {
		if text, err := r.CloudEvent(); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestParseCloudEventRefuses(t *testing.T) {
	r := post("alice", "hello")
	r.Seq, r.Version = 7, 1
	good, err := r.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][3]string{
		{`"specversion":"1.0"`, `"specversion":"0.3"`, "specversion"},
		{`"type":"post:create",`, ``, "type or source is missing"},
		{`"source":"/roomlog",`, ``, "type or source is missing"},
		{`"application/json"`, `"text/xml"`, "datacontenttype"},
		{`"data":{`, `"data_base64":"aGk=","data":{`, "data is not"},
		{`"data":{`, `"datum":{`, "data is not"},
		{`.v1"`, `"`, "dataschema"},
		{`"sequence":"7"`, `"sequence":"0"`, "sequence"},
		{`"sequence":"7"`, `"sequence":"-7"`, "sequence"},
		{`"time":"20`, `"time":"x`, "time"},
		{`{"spec`, `"spec`, "invalid character"},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Fatalf("%q is not in %s", change[0], good)
		}
		if r, err := ParseCloudEvent([]byte(bad)); err == nil || !strings.Contains(err.Error(), change[2]) {
			t.Errorf("%s: %+v, %v", bad, r, err)
		}
	}
}
