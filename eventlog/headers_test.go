package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"roomlog/schema"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

// anyRecord draws a record with whatever text a client or a token could bring.
func anyRecord() *rapid.Generator[Record] {
	text := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[ "%\\\x00-\x1f\x7f]{0,20}`),
		rapid.SampledFrom([]string{"", "Zoë Ångström", "𝄞 100% \"quoted\"", "%41", "a\r\nce-id: b", "日本語", "<&>"}),
	)
	return rapid.Custom(func(t *rapid.T) Record {
		data, err := json.Marshal(map[string]string{"content": text.Draw(t, "content")})
		if err != nil {
			t.Fatal(err)
		}
		return Record{
			Time:          schema.Time(rapid.Int64Range(0, 4e12).Draw(t, "time")),
			ID:            NewID(schema.Time(0).Go()),
			Event:         "post:create",
			Version:       rapid.IntRange(1, 99).Draw(t, "version"),
			Actor:         schema.Actor{ID: text.Draw(t, "id"), Username: text.Draw(t, "username"), Avatar: text.Draw(t, "avatar")},
			Entity:        text.Draw(t, "entity"),
			Data:          data,
			Key:           text.Draw(t, "key"),
			Socket:        text.Draw(t, "socket"),
			CorrelationID: text.Draw(t, "correlation"),
			CausationID:   text.Draw(t, "causation"),
		}
	})
}

// rawHeader writes headers as NATS does.
func rawHeader(header nats.Header) string {
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for name, values := range header {
		for _, v := range values {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// decodeRaw decodes a message with its header as it is on the wire.
func decodeRaw(seq uint64, subject, header string, body []byte) Record {
	m := stored{seq: seq, subject: []byte(subject), header: []byte(header), body: body}
	return m.record()
}

// overTheWire is what NATS makes of a message's headers on the way.
func overTheWire(t interface{ Fatal(...any) }, header nats.Header) nats.Header {
	decoded, err := nats.DecodeHeadersMsg([]byte(rawHeader(header)))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func same(a, b Record) bool {
	ja, errA := json.Marshal(a)
	jb, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(ja, jb)
}

// Every record comes back as it was, whatever its text.
func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord().Draw(t, "record")
		msg, encoded, size, err := encode(r, "events.social.post.create", "/node")
		if err != nil {
			t.Fatal(err)
		}
		if want := msg.Size(); size != want {
			t.Fatalf("encode counts %d bytes, NATS %d", size, want)
		}
		header := overTheWire(t, msg.Header)
		for name, values := range header {
			for _, c := range []byte(values[0]) {
				if c <= ' ' || c > '~' || c == '"' {
					t.Fatalf("header %s is not plain: %q", name, values[0])
				}
			}
		}
		got := decode(7, msg.Subject, header, msg.Data)
		if raw := decodeRaw(7, msg.Subject, rawHeader(msg.Header), msg.Data); raw.Err != nil || !same(raw, got) {
			t.Fatalf("raw %+v\nmap %+v", raw, got)
		}
		r.Seq = 7
		if got.Err != nil || !same(got, r) {
			t.Fatalf("got  %+v\nwant %+v", got, r)
		}
		if encoded.Seq = 7; !same(encoded, got) {
			t.Fatalf("followers in memory get %+v\nothers %+v", encoded, got)
		}
	})
}

// The header names and values that stock CloudEvents tools expect.
func TestCloudEventsHeaders(t *testing.T) {
	msg, _, _, err := encode(Record{
		Time: 1795456800123, ID: "01KAS8V4RZ0000000000000000", Event: "post:like", Version: 1,
		Actor:  schema.Actor{ID: "zoë", Username: "Zoë"},
		Entity: "post:01KAS8V4RY0000000000000000", Data: json.RawMessage(`{"postId":"01KAS8V4RY0000000000000000","action":"like"}`),
		Key: "100% sure", Socket: "s1", CorrelationID: "c1", CausationID: "c2",
	}, "events.social.post.like", "/node-1")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ce-specversion":    "1.0",
		"ce-id":             "01KAS8V4RZ0000000000000000",
		"ce-type":           "post:like",
		"ce-source":         "/node-1",
		"ce-time":           "2026-11-23T18:00:00.123Z",
		"ce-subject":        "post:01KAS8V4RY0000000000000000",
		"ce-dataschema":     "urn:roomlog:schema:post.like.v1",
		"ce-actor":          "zo%C3%AB",
		"ce-correlationid":  "c1",
		"ce-causationid":    "c2",
		"ce-idempotencykey": "100%25%20sure",
		"ce-socketid":       "s1",
		"Nats-Msg-Id":       "01KAS8V4RZ0000000000000000",
	}
	for name, value := range want {
		if got := msg.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(msg.Header) != len(want) {
		t.Errorf("%d headers, want %d: %v", len(msg.Header), len(want), msg.Header)
	}
	const body = `{"actor":{"id":"zoë","username":"Zoë"},"data":{"postId":"01KAS8V4RY0000000000000000","action":"like"}}`
	if string(msg.Data) != body {
		t.Errorf("body %s\nwant %s", msg.Data, body)
	}
}

func TestEncodeRefuses(t *testing.T) {
	good := post("alice", "hello")
	for name, change := range map[string]func(*Record){
		"no id":            func(r *Record) { r.ID = "" },
		"data not JSON":    func(r *Record) { r.Data = json.RawMessage(`{"a":`) },
		"data no object":   func(r *Record) { r.Data = json.RawMessage(`[1]`) },
		"username no text": func(r *Record) { r.Actor.Username = "\xff" },
	} {
		r := good
		change(&r)
		if _, _, _, err := encode(r, "events.social.post.create", "/n"); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

// A foreign message becomes a record with Err, which projectors park.
func TestDecodeForeign(t *testing.T) {
	msg, _, _, err := encode(post("alice", "hello"), "events.social.post.create", "/n")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(nats.Header, *[]byte){
		"no headers":     func(h nats.Header, _ *[]byte) { clear(h) },
		"other version":  func(h nats.Header, _ *[]byte) { h["ce-specversion"] = []string{"0.3"} },
		"no id":          func(h nats.Header, _ *[]byte) { delete(h, "ce-id") },
		"no type":        func(h nats.Header, _ *[]byte) { delete(h, "ce-type") },
		"bad time":       func(h nats.Header, _ *[]byte) { h["ce-time"] = []string{"yesterday"} },
		"bad schema":     func(h nats.Header, _ *[]byte) { h["ce-dataschema"] = []string{"urn:x"} },
		"bad percent":    func(h nats.Header, _ *[]byte) { h["ce-subject"] = []string{"100%"} },
		"body cut short": func(_ nats.Header, b *[]byte) { *b = (*b)[:20] },
		"data no object": func(_ nats.Header, b *[]byte) { *b = []byte(`{"actor":{},"data":3}`) },
		"body empty":     func(_ nats.Header, b *[]byte) { *b = nil },
	} {
		header := make(nats.Header)
		for k, v := range msg.Header {
			header[k] = v
		}
		body := bytes.Clone(msg.Data)
		change(header, &body)
		if r := decode(5, "events.x", header, body); !errors.Is(r.Err, errForeign) || r.Seq != 5 {
			t.Errorf("%s: decoded as %+v", name, r)
		}
	}
}

// What others write in another form is read too.
func TestDecodeOtherForms(t *testing.T) {
	header := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"x"}, "ce-type": {"post:create"}, "ce-time": {"2026-11-23T19:00:00.5+01:00"},
		"ce-dataschema": {"urn:roomlog:schema:post.create.v2"}, "ce-subject": {"a%c3%abb"},
	}
	r := decode(1, "events.x", header, []byte(` { "data": {"content": "hi"}, "actor": {"username": "Zo\u00eb", "id": "z"} } `))
	if r.Err != nil || r.Version != 2 || r.Entity != "aëb" || r.Actor.Username != "Zoë" || string(r.Data) != `{"content": "hi"}` ||
		r.Time.String() != "2026-11-23T18:00:00.500Z" {
		t.Errorf("%+v", r)
	}
}

// judged are records of what moderators and the notified do.
func judged() []Record {
	all := []Record{
		{Event: "admin:report", Data: []byte(`{"target":{"type":"message","id":"01JDQ0Q8H7G6F5D4S3A2P1Q0W9","conversationId":"01JDQ0Q8H7G6F5D4S3A2P1Q0W8"},"reason":"l\u00e4rm"}`)},
		{Event: "admin:suspend", Data: []byte(`{"userId":"bob","until":"2026-12-01T00:00:00.000Z","reason":"spam"}`)},
		{Event: "admin:remove", Entity: "post:01JDQ0Q8H7G6F5D4S3A2P1Q0W9", Data: []byte(`{"target":{"type":"post","id":"01JDQ0Q8H7G6F5D4S3A2P1Q0W9"},"reason":"spam"}`)},
		{Event: "notification:read", Data: []byte(`{"notificationId":"01JDQ0P2Z3X4C5V6B7N8M9A0S1"}`)},
		{Event: "notification:read-all", Data: []byte(`{}`)},
	}
	for i := range all {
		now := time.Now()
		all[i].ID, all[i].Time, all[i].Actor = NewID(now), schema.TimeOf(now), schema.Actor{ID: "mod", Username: "mod", Avatar: "https://example.org/m.png"}
	}
	return all
}

// The fast ways of decoding agree with the slow ones.
func FuzzDecode(f *testing.F) {
	msg, _, _, err := encode(post("alice", "hello"), "events.social.post.create", "/n")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(msg.Data), "2026-11-23T18:00:00.123Z", "a%20b")
	for _, r := range judged() {
		if msg, _, _, err = encode(r, "events.x", "/n"); err != nil {
			f.Fatal(err)
		}
		f.Add(string(msg.Data), r.Time.String(), r.Event)
	}
	f.Add(`{"actor":{"id":"a\"b","username":"\u00eb","avatar":""},"data":{}}`, "2024-02-29T23:59:59.999Z", "%")
	f.Add(`{"actor":{"id":"","username":""},"data":{"a":1},"data":{"b":2}}`, "2023-02-29T00:00:00.000Z", "%zz")
	f.Add("{\"actor\":{\"id\":\"\xff\",\"username\":\"\"},\"data\":{}}", "2026-11-23T24:00:00.000Z", "\xff")
	f.Fuzz(func(t *testing.T, body, stamp, value string) {
		if actor, data, ok := decodeBodyFast(body); ok {
			var slow struct {
				Actor schema.Actor    `json:"actor"`
				Data  json.RawMessage `json:"data"`
			}
			if err := json.Unmarshal([]byte(body), &slow); err != nil || slow.Actor != actor || !bytes.Equal(slow.Data, data) {
				t.Errorf("%q\nfast %v %q\nslow %v %q, %v", body, actor, data, slow.Actor, slow.Data, err)
			}
		}
		if fast, ok := parseMillis(stamp); ok {
			slow, err := schemaTime(stamp)
			if err != nil || slow != fast {
				t.Errorf("time %q: fast %v, slow %v, %v", stamp, fast, slow, err)
			}
		}
		if back, err := unescape(escape(value)); err != nil || back != value {
			t.Errorf("%q came back as %q, %v", value, back, err)
		}
		_, _ = unescape(value)
		r := decode(1, "events.x", nats.Header{"ce-specversion": {"1.0"}, "ce-id": {value}, "ce-type": {value}, "ce-time": {stamp}, "ce-dataschema": {"x.v1"}}, []byte(body))
		if r.Err == nil && utf8.ValidString(body) {
			if !json.Valid(r.Data) || r.Data[0] != '{' {
				t.Errorf("%q decoded to data %q", body, r.Data)
			}
		}
	})
}

// Whoever wrote a header, the way for those that the client writes agrees with the way
// for any.
func FuzzWireHeader(f *testing.F) {
	msg, _, _, err := encode(post("alice", "hello"), "events.social.post.create", "/n")
	if err != nil {
		f.Fatal(err)
	}
	raw := rawHeader(msg.Header)
	f.Add(raw)
	f.Add(strings.Replace(raw, "\r\n\r\n", "\r\nNats-Batch-Id: x\r\nNats-Stream-Source: EVENTS 1042 events.admin.>\r\n\r\n", 1))
	for _, odd := range []string{
		"", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0\r\n\r\n", "NATS/1.0 404 No Messages\r\nce-id: x\r\n", "NATS/1.0\r\n\r\nce-id: x", "ce-id: x\r\nce-type: y\r\n", "x\r\nce-id: x\r\n",
		"NATS/1.0\r\nce-id: a\r\nce-id: b\r\n", "NATS/1.0\r\nce-id:\r\nce-id:b\r\n", "NATS/1.0\r\nce-type:a\rb\r\nce-id: \t b\nc\r\n", "NATS/1.0\r\nce-id\r\n:\r\nce-type: %4\r\nother: x\r\n",
		"NATS/1.0\r\nce-type: a\r\nce-id: b\r", "NATS/1.0\r\nce-type: a\r\nCe-Id: b\r\n", "NATS/1.0\r\nNats-Stream-Source: EVENTS 1\r\nNats-Stream-Source: EVENTS 2\r\n", "NATS/1.0\r\nce-subject: %C3%AB\r\nce-subject: b\r\n",
	} {
		f.Add(odd)
	}
	f.Fuzz(func(t *testing.T, header string) {
		fast := Record{Seq: 1}
		fast.decodeRaw([]byte("events.x"), []byte(header), msg.Data)
		slow := Record{Seq: 1}
		d := decoder{Record: &slow}
		d.setAny("events.x", header, msg.Data)
		d.finish(len(msg.Data))
		if (fast.Err == nil) != (slow.Err == nil) {
			t.Errorf("%q: %v, not %v", header, fast.Err, slow.Err)
		}
		fast.Err, slow.Err = nil, nil
		if !reflect.DeepEqual(fast, slow) {
			t.Errorf("%q\nfast %+v\nslow %+v", header, fast, slow)
		}
	})
}

func TestFieldsAreInTheOrderOfTheirNames(t *testing.T) {
	if !slices.IsSorted(fieldNames[:]) {
		t.Error("they are not: leaves would be others")
	}
	for f, name := range fieldNames {
		if fieldOf([]byte(name)) != field(f) {
			t.Errorf("%s is not found", name)
		}
	}
}

func schemaTime(s string) (schema.Time, error) {
	var t schema.Time
	err := t.UnmarshalJSON([]byte(`"` + s + `"`))
	return t, err
}

func TestNewID(t *testing.T) {
	now := schema.Time(1795456800123).Go()
	last := ""
	for i := range 10_000 {
		id := NewID(now.Add(-schema.Time(i).Go().Sub(schema.Time(0).Go()))) // the clock goes back
		if len(id) != 26 || id <= last {
			t.Fatalf("id %d: %q after %q", i, id, last)
		}
		last = id
	}
}
