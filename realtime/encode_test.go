package realtime

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

func TestFramesAsTheWireShowsThem(t *testing.T) {
	at := schema.TimeOf(time.Date(2026, 11, 23, 18, 0, 0, 5e6, time.UTC))
	for _, c := range []struct{ got, want string }{
		{
			push("post:like", "post:01J", 1042, at, `{"likesCount":3}`, 15),
			`{"event":"post:like","room":"post:01J","seq":1042,"n":15,"time":"2026-11-23T18:00:00.005Z","data":{"likesCount":3}}`,
		},
		{
			push("user:typing", "post:01J", 0, at, `{"action":"start"}`, 1),
			`{"event":"user:typing","room":"post:01J","n":1,"time":"2026-11-23T18:00:00.005Z","data":{"action":"start"}}`,
		},
		{
			push("socket:hello", "", 0, at, "", 10),
			`{"event":"socket:hello","n":10,"time":"2026-11-23T18:00:00.005Z","data":{}}`,
		},
		{
			string(appendAck(nil, json.RawMessage(`"a\u0062"`), 1042, false, json.RawMessage(`{"likesCount":3}`))),
			`{"id":"a\u0062","ok":true,"seq":1042,"data":{"likesCount":3}}`,
		},
		{
			string(appendAck(nil, json.RawMessage(`7`), 9, true, nil)),
			`{"id":7,"ok":true,"seq":9,"duplicate":true,"data":{}}`,
		},
		{
			string(appendAck(nil, json.RawMessage(`1.50e3`), 0, false, nil)),
			`{"id":1.50e3,"ok":true,"data":{}}`,
		},
		{
			string(appendErrorAck(nil, json.RawMessage(`7`), schema.NewError(schema.PostNotFound, ""), at.Go())),
			`{"id":7,"ok":false,"error":{"code":"POST_NOT_FOUND","message":"no such post","temporary":false,"timestamp":"2026-11-23T18:00:00.005Z"}}`,
		},
		{string(mustJSON("<b> & \u2028")), `"<b> & \u2028"`},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
		if !json.Valid([]byte(c.got)) {
			t.Errorf("not JSON: %s", c.got)
		}
	}
}

func push(event, room string, seq uint64, at schema.Time, data string, n uint64) string {
	f := pushFrame{head: newPushHead(event, room, seq), tail: newPushTail(at, json.RawMessage(data))}
	frame := f.appendTo(nil, n)
	return string(frame[2:]) // all of these are shorter than 126 bytes
}

func TestFrameHeaders(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
		frame := append(appendHeader(nil, ws.OpText, length), make([]byte, length)...)
		want := ws.MustCompileFrame(ws.NewTextFrame(make([]byte, length)))
		if string(frame) != string(want) {
			t.Errorf("length %d: the frame begins %x, want %x", length, frame[:min(14, len(frame))], want[:min(14, len(want))])
		}
	}
}

func BenchmarkEncodePush(b *testing.B) {
	data := json.RawMessage(`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","userId":"hamlet","username":"Hamlet","action":"like","likesCount":3}`)
	at := schema.TimeOf(time.Now())
	b.Run("once a push", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newPushTail(at, data)
			newPushHead("post:like", "post:01JDQ0G6ZK8V7T5M3N2B1A0C9D", 1042)
		}
	})
	b.Run("once a socket", func(b *testing.B) {
		f := pushFrame{head: newPushHead("post:like", "post:01JDQ0G6ZK8V7T5M3N2B1A0C9D", 1042), tail: newPushTail(at, data)}
		buf := make([]byte, 0, 512)
		n := uint64(0)
		b.ReportAllocs()
		for b.Loop() {
			n++
			f.appendTo(buf[:0], n)
		}
	})
}
