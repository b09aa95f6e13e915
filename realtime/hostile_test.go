package realtime_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

// hostile is one text frame of a connected, plain user and its exact answer. An
// answer of BAD_FRAME closes the socket with 4501; after every other the same
// socket must go on.
//
// In frames $THEIRS stands for another user's post, $COMMENT for another user's
// comment on it, $MINE for the sender's own post, $GONE for an id that nothing has.
type hostile struct {
	name  string
	frame string
	id    string      // as it must come back in the ack; "" for an error push
	code  schema.Code // "" for a good ack
}

// stage is where the hostile frames are played: alice, who does nothing wrong
// and must not notice, and bob.
type stage struct {
	*gateway
	alice *rawSocket
	ids   *strings.Replacer
}

func newStage(t *testing.T) *stage {
	t.Helper()
	g := openGateway(t, nil)
	s := &stage{gateway: g, alice: g.user(t, "alice")}
	theirs := createPost(t, s.alice, "alice's")
	var c schema.PostCommented
	f, _ := s.alice.ask("post:comment", fmt.Sprintf(`{"postId":%q,"content":"alice's"}`, theirs))
	decodeInto(t, f.Data, &c)
	mine := createPost(t, g.user(t, "bob"), "bob's")
	s.ids = strings.NewReplacer("$THEIRS", theirs, "$COMMENT", c.Comment.ID, "$MINE", mine, "$GONE", "01JD0000000000000000000000")
	return s
}

func createPost(t *testing.T, s *rawSocket, content string) string {
	t.Helper()
	f, _ := s.ask("post:create", fmt.Sprintf(`{"content":%q}`, content))
	var p schema.PostCreated
	decodeInto(t, f.Data, &p)
	return p.Post.ID
}

func decodeInto(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}

// play sends the frame from a new socket of bob's.
func (s *stage) play(t *testing.T, h hostile) {
	t.Helper()
	before := s.log.Last()
	bob := s.user(t, "bob")
	defer bob.conn.Close()
	bob.ask("socket:ping", "{}") // connected: what follows is the frame's own doing
	bob.text(s.ids.Replace(h.frame))
	bob.expect(h.answer()...)

	// Nothing of it reached the log or anybody else.
	if h.code != "" && s.log.Last() != before {
		t.Errorf("the log went from %d to %d", before, s.log.Last())
	}
	s.alice.t = t
	if h.code == "" { // pushes follow the ack; alice's own ack follows them
		s.alice.ask("post:create", `{"content":"so much for that"}`)
		return
	}
	if _, pushes := s.alice.ask("socket:ping", "{}"); slices.ContainsFunc(pushes, isNews) {
		t.Errorf("an honest socket was pushed %q", pushes)
	}
}

// isNews reports whether a push is more than that bob is there.
func isNews(event string) bool { return event != "user:online" && event != "user:offline" }

func (h hostile) answer() []string {
	switch {
	case h.code == schema.BadFrame:
		return []string{"error BAD_FRAME", "push socket:disconnect", "close 4501 bad frames"}
	case h.id == "":
		return []string{"error " + string(h.code)}
	}
	return []string{strings.TrimSpace("ack " + h.id + " " + string(h.code))}
}

// cmd makes a frame with id 1.
func cmd(event, data string) string {
	return fmt.Sprintf(`{"id":1,"event":%q,"data":%s}`, event, data)
}

func TestFramesThatAreNotOneObject(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	good := `{"id":1,"event":"socket:ping"}`
	s := newStage(t)
	for _, c := range []struct{ name, frame string }{
		{"words", `hello`}, {"empty", ``}, {"white space", " \t\r\n "}, {"HTTP", "GET / HTTP/1.1\r\n\r\n"},
		{"cut in the middle", good[:20]}, {"cut before the brace", good[:len(good)-1]}, {"a brace too many", good + "}"},
		{"two objects", good + good}, {"two lines", good + "\n" + good}, {"two with a comma", good + "," + good},
		{"list", `[` + good + `]`}, {"text", `"socket:ping"`}, {"number", `1`}, {"null", `null`}, {"true", `true`},
		{"33 levels", cmd("socket:ping", `{"x":`+deep(31)+`}`)}, {"30000 levels", cmd("socket:ping", `{"x":`+deep(30000)+`}`)},
		{"30000 open brackets", strings.Repeat(`[`, 30000)}, {"10000 open objects", strings.Repeat(`{"a":`, 10000)},
		{"byte order mark", "\ufeff" + good}, {"NUL at the end", good + "\x00"}, {"NUL in text", `{"id":"` + "\x00" + `","event":"socket:ping"}`},
		{"line break in text", `{"id":"` + "\n" + `","event":"socket:ping"}`}, {"tab in text", `{"id":"` + "\t" + `","event":"socket:ping"}`},
		{"no quotes", `{id:1,event:"socket:ping"}`}, {"single quotes", `{'id':1,'event':'socket:ping'}`},
		{"comma at the end", `{"id":1,"event":"socket:ping",}`}, {"comma at the start", `{,"id":1,"event":"socket:ping"}`}, {"comment", `{"id":1,/**/"event":"socket:ping"}`},
		{"no colon", `{"id" 1,"event":"socket:ping"}`}, {"value missing", `{"id":,"event":"socket:ping"}`}, {"name alone", `{"id"}`},
		{"number 01", `{"id":01,"event":"socket:ping"}`}, {"number +1", `{"id":+1,"event":"socket:ping"}`}, {"number .5", `{"id":.5,"event":"socket:ping"}`},
		{"number 1.", `{"id":1.,"event":"socket:ping"}`}, {"number 1e", `{"id":1e,"event":"socket:ping"}`}, {"number 0x1", `{"id":0x1,"event":"socket:ping"}`}, {"number -", `{"id":-,"event":"socket:ping"}`},
		{"NaN", `{"id":NaN,"event":"socket:ping"}`}, {"Infinity", `{"id":-Infinity,"event":"socket:ping"}`}, {"True", `{"id":1,"event":"socket:ping","data":True}`},
		{`escape \x`, `{"id":"\x41","event":"socket:ping"}`}, {`escape \u12`, `{"id":"\u12","event":"socket:ping"}`}, {`escape \u12 at the end`, `{"id":"\u12`}, {`escape \ at the end`, `{"id":"\`},
		{"other white space", "{\u00a0\"id\":1,\"event\":\"socket:ping\"}"}, {"vertical tab", "{\v\"id\":1,\"event\":\"socket:ping\"}"},
		{"broken data", `{"id":1,"event":"post:create","data":{"content":"x}}`},
	} {
		t.Run(c.name, func(t *testing.T) { s.play(t, hostile{frame: c.frame, code: schema.BadFrame}) })
	}
}

func TestFramesWithABadEnvelope(t *testing.T) {
	s := newStage(t)
	const ok, invalid, missing, unknown = schema.Code(""), schema.InvalidField, schema.MissingField, schema.UnknownField
	long := strings.Repeat("1", 400)
	for _, h := range []hostile{
		{"id beyond every float", `{"id":1e999,"event":"socket:ping"}`, "1e999", ok},
		{"id below every integer", `{"id":-123456789012345678901234567890.5E-7,"event":"socket:ping"}`, "-123456789012345678901234567890.5E-7", ok},
		{"id -0", `{"id":-0,"event":"socket:ping"}`, "-0", ok},
		{"id with escapes", `{"id":"\u00e9\ud800\\\"\/","event":"socket:ping"}`, `"\u00e9\ud800\\\"\/"`, ok},
		{"id empty text", `{"id":"","event":"socket:ping"}`, `""`, ok},
		{"id that looks like a frame", `{"id":"},{\"ok\":true","event":"x"}`, `"},{\"ok\":true"`, schema.UnknownEvent},
		{"id of 128 bytes", `{"id":"` + long[:126] + `","event":"socket:ping"}`, `"` + long[:126] + `"`, ok},
		{"id of 129 bytes", `{"id":"` + long[:127] + `","event":"socket:ping"}`, "", invalid},
		{"id of 400 digits", `{"id":` + long + `,"event":"socket:ping"}`, "", invalid},
		{"id null", `{"id":null,"event":"socket:ping"}`, "", invalid},
		{"id true", `{"id":true,"event":"socket:ping"}`, "", invalid},
		{"id list", `{"id":[1],"event":"socket:ping"}`, "", invalid},
		{"id object", `{"id":{"id":1},"event":"socket:ping"}`, "", invalid},
		{"id twice", `{"id":1,"id":2,"event":"socket:ping"}`, "1", invalid},
		{"id twice, once escaped", `{"id":1,"\u0069d":2,"event":"socket:ping"}`, "1", invalid},
		{"id last", `{"event":"socket:pong","id":7}`, "7", schema.UnknownEvent},
		{"Id", `{"Id":1,"event":"socket:ping"}`, "", unknown},
		{"no id", `{"event":"socket:pong"}`, "", schema.UnknownEvent},
		{"empty object", `{}`, "", missing},
		{"no event", `{"id":1}`, "1", missing},
		{"no event, but data", `{"id":1,"data":{"event":"socket:ping"}}`, "1", missing},
		{"event null", `{"id":1,"event":null}`, "1", invalid},
		{"event number", `{"id":1,"event":1}`, "1", invalid},
		{"event list", `{"id":1,"event":["socket:ping"]}`, "1", invalid},
		{"event twice", `{"id":1,"event":"socket:ping","event":"post:create"}`, "1", invalid},
		{"event empty", `{"id":1,"event":""}`, "1", schema.UnknownEvent},
		{"event unknown", cmd("post:destroy", "{}"), "1", schema.UnknownEvent},
		{"event of another case", cmd("Socket:Ping", "{}"), "1", schema.UnknownEvent},
		{"event with a space", cmd("socket:ping ", "{}"), "1", schema.UnknownEvent},
		{"event with NUL", `{"id":1,"event":"socket:ping\u0000"}`, "1", schema.UnknownEvent},
		{"event with a wildcard", cmd("post:*", "{}"), "1", schema.UnknownEvent},
		{"event as a subject", cmd("events.social.post.create", "{}"), "1", schema.UnknownEvent},
		{"event of a namespace", cmd("social:post:create", "{}"), "1", schema.UnknownEvent},
		{"event of 60000 letters", cmd(strings.Repeat("a", 60000), "{}"), "1", schema.UnknownEvent},
		{"event written in escapes", `{"id":1,"event":"\u0073ocket:ping"}`, "1", ok},
		{"a forged namespace", `{"id":1,"event":"socket:ping","namespace":"admin"}`, "1", unknown},
		{"a forged seq", `{"id":1,"event":"socket:ping","seq":7}`, "1", unknown},
		{"a forged actor", `{"id":1,"event":"post:create","data":{"content":"x"},"actor":{"id":"alice"}}`, "1", unknown},
		{"a forged ack", `{"id":1,"event":"socket:ping","ok":true}`, "1", unknown},
		{"a field of __proto__", `{"id":1,"event":"socket:ping","__proto__":{}}`, "1", unknown},
		{"a field without a name", `{"id":1,"event":"socket:ping","":{}}`, "1", unknown},
		{"a field with a long name", `{"id":1,"event":"socket:ping","` + long + `":1}`, "1", unknown},
		{"data null", cmd("socket:ping", `null`), "1", invalid},
		{"data list", cmd("socket:ping", `[]`), "1", invalid},
		{"data text", cmd("socket:ping", `"{}"`), "1", invalid},
		{"data number", cmd("socket:ping", `0`), "1", invalid},
		{"data twice", `{"id":1,"event":"socket:ping","data":{},"data":{}}`, "1", invalid},
		{"data missing", `{"id":1,"event":"post:create"}`, "1", missing},
		{"32 levels", cmd("socket:ping", `{"x":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}`), "1", unknown},
		{"key empty", `{"id":1,"event":"post:create","data":{"content":"x"},"key":""}`, "1", invalid},
		{"key of 65", `{"id":1,"event":"post:create","data":{"content":"x"},"key":"` + strings.Repeat("k", 65) + `"}`, "1", invalid},
		{"key null", `{"id":1,"event":"post:create","data":{"content":"x"},"key":null}`, "1", invalid},
		{"key number", `{"id":1,"event":"post:create","data":{"content":"x"},"key":1}`, "1", invalid},
		{"key twice", `{"id":1,"event":"post:create","data":{"content":"x"},"key":"a","key":"b"}`, "1", invalid},
		{"key of 64 wide characters", `{"id":1,"event":"post:create","data":{"content":"x"},"key":"` + strings.Repeat("夜", 64) + `"}`, "1", ok},
		{"an ack for the server", `{"id":1,"ok":true,"data":{}}`, "1", unknown},
	} {
		t.Run(h.name, func(t *testing.T) { s.play(t, h) })
	}
}

func TestEventsThatAreNotForThisUser(t *testing.T) {
	s := newStage(t)
	for _, e := range schema.Events() {
		h := hostile{frame: cmd(e.Name, "{}"), id: "1"}
		switch {
		case e.Kind == schema.Push:
			h.code = schema.NotACommand
		case e.Roles() != nil:
			h.code = schema.NotPermitted
		default:
			continue
		}
		t.Run(e.Name, func(t *testing.T) { s.play(t, h) })
	}
	for _, h := range []hostile{
		{"connecting twice", cmd("socket:connect", `{}`), "1", schema.AlreadyConnected},
		{"connecting again as somebody", cmd("socket:connect", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice"))), "1", schema.AlreadyConnected},
		{"connecting again with rubbish", cmd("socket:connect", `{"token":"x"}`), "1", schema.AlreadyConnected},
		{"refresh with another's token", cmd("socket:refresh", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice"))), "1", schema.NotPermitted},
		{"refresh with an admin's token", cmd("socket:refresh", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "root", schema.RoleAdmin))), "1", schema.NotPermitted},
		{"refresh with rubbish", cmd("socket:refresh", `{"token":"a.b.c"}`), "1", schema.InvalidToken},
		{"refresh with an old token", cmd("socket:refresh", fmt.Sprintf(`{"token":%q}`, tokenWith(t, tokenSpec{claims: map[string]any{"sub": "bob", "exp": 1}}))), "1", schema.TokenExpired},
		{"refresh without a token", cmd("socket:refresh", `{}`), "1", schema.MissingField},
		{"refresh with a number", cmd("socket:refresh", `{"token":1}`), "1", schema.InvalidField},
		{"refresh with 8193 bytes", cmd("socket:refresh", `{"token":"`+strings.Repeat("A", 8193)+`"}`), "1", schema.InvalidField},
	} {
		t.Run(h.name, func(t *testing.T) { s.play(t, h) })
	}
}

// What a client sent behind the frame that ended its socket is not carried out, though
// it came with the same packet.
func TestNothingIsHeardAfterTheCloseFrame(t *testing.T) {
	g := openGateway(t, nil)
	s := g.user(t, "alice")
	s.write(append(wire(fin|opText, "[]"), wire(fin|opText, `{"event":"post:create","data":{"content":"one more thing"}}`)...))
	s.expect("error BAD_FRAME", "push socket:disconnect", "close 4501 bad frames")
	s.conn.Close()
	eventually(t, "the socket is gone", func() bool { return g.server.Stats().Sockets == 0 })
	g.connect(t, "bob").bar()
	for r, err := range g.log.Read(t.Context(), 1, 0) {
		if err != nil || r.Actor.ID == "alice" {
			t.Errorf("record %d is %s of %s; %v", r.Seq, r.Event, r.Actor.ID, err)
		}
	}
}
