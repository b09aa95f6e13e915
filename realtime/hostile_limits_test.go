package realtime_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/schema"
)

func TestMoreFactsThanMayBeInFlight(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxFactsInFlight = 4 })
	s := g.user(t, "alice")
	const sent = 300
	var burst []byte
	for i := range sent {
		burst = append(burst, wire(fin|opText, fmt.Sprintf(`{"id":%d,"event":"post:create","data":{"content":"x"}}`, i))...)
	}
	s.write(burst)
	answers := make(map[string]int)
	for range sent {
		answer := strings.Fields(s.next())
		if answers["id "+answer[1]]++; answers["id "+answer[1]] > 1 {
			t.Errorf("command %s is answered twice", answer[1])
		}
		answers[strings.Join(answer[2:], " ")]++
	}
	if answers[""] == 0 || answers[string(schema.TooManyInFlight)] == 0 || answers[""]+answers[string(schema.TooManyInFlight)] != sent {
		t.Errorf("answers: %d good, %d TOO_MANY_IN_FLIGHT of %d", answers[""], answers[string(schema.TooManyInFlight)], sent)
	}
	if got := g.log.Last(); got != uint64(answers[""]) {
		t.Errorf("%d records of %d acked facts", got, answers[""])
	}
	s.ask("socket:ping", "{}")
}

func TestTooManyEvents(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.RateEvents = 5 })
	honest, s := g.user(t, "alice"), g.user(t, "bob")
	honest.ask("socket:ping", "{}")
	var want []string
	var burst []byte
	for i := range 10 {
		burst = append(burst, ping(i)...)
		want = append(want, fmt.Sprintf("ack %d", i))
		if i >= 5 {
			want[i] += " RATE_LIMITED"
		}
	}
	s.write(burst)
	s.expect(append(want, "push socket:disconnect", "close 4013 too many events")...)
	honest.ask("socket:ping", "{}")
}

func TestTooManyRooms(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxRoomsPerSocket = 3 }) // two are the user's and the public one
	s := g.user(t, "alice")
	a, b := createPost(t, s, "a"), createPost(t, s, "b")
	join := func(post, want string) {
		t.Helper()
		s.text(cmd("post:join", fmt.Sprintf(`{"postId":%q}`, post)))
		s.expect(want)
	}
	join(a, "ack 1")
	join(a, "ack 1") // again
	join(b, "ack 1 TOO_MANY_ROOMS")
	s.ask("post:leave", fmt.Sprintf(`{"postId":%q}`, a))
	join(b, "ack 1")
}

func TestKeysUsedAgain(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.user(t, "alice"), g.user(t, "bob")
	send := func(s *rawSocket, event, data, want string) {
		t.Helper()
		s.text(fmt.Sprintf(`{"id":1,"event":%q,"data":%s,"key":"k"}`, event, data))
		s.expect(want)
	}
	send(alice, "post:create", `{"content":"x"}`, "ack 1")
	send(alice, "post:create", `{"content":"x"}`, "ack 1") // the first's ack
	send(alice, "post:create", `{ "content" : "\u0078" }`, "ack 1")
	send(alice, "post:create", `{"content":"y"}`, "ack 1 KEY_REUSED")
	send(alice, "user:follow", `{"followingId":"bob","action":"follow"}`, "ack 1 KEY_REUSED")
	send(bob, "post:create", `{"content":"y"}`, "ack 1") // another user's keys are their own
	applied := 0                                         // a retry that comes close behind an ack may be in the log, too, and is void there
	err := g.models.View(func(v *projections.View) error {
		for seq := uint64(1); seq <= g.log.Last(); seq++ {
			if v.Outcome(seq) == "" {
				applied++
			}
		}
		return nil
	})
	if err != nil || applied != 2 {
		t.Errorf("%d records have an effect, want 2; %v", applied, err)
	}
}

// A socket that never reads is closed, and delays nobody.
func TestSocketThatDoesNotRead(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxQueuedBytes = 64 << 10 })
	deaf, honest := g.user(t, "bob"), g.user(t, "alice")
	content := strings.Repeat("x", 3900)
	for range 10 {
		honest.ask("post:create", fmt.Sprintf(`{"content":%q}`, content))
	}
	question := wire(fin|opText, cmd("user:posts", `{"userId":"alice"}`)) // 40 KiB of answer each
	for range 1000 {
		if _, err := deaf.conn.Write(question); err != nil {
			break
		}
		honest.ask("socket:ping", "{}")
	}
	for i := 0; ; i++ {
		switch got := deaf.next(); {
		case got == "ack 1":
			continue
		case got == "push socket:disconnect":
			deaf.expect("close 4008 too slow")
		case strings.HasPrefix(got, "broken"), got == "end": // cut off with the answers still on their way
		default:
			t.Errorf("after %d answers: %s", i, got)
		}
		break
	}
	honest.ask("socket:ping", "{}")
}

// FuzzFrame holds a session against any bytes after the handshake: it answers or
// closes, and the server lives.
func FuzzFrame(f *testing.F) {
	g := openGateway(f, nil)
	honest := g.user(f, "honest-01JDQ0Q8H7G6F5D4S3A2P1Q0W9") // nobody comes upon whom to suspend
	for _, seed := range [][]byte{
		ping(1), wire(fin|opText, cmd("post:create", `{"content":"x"}`)), wire(opText, `{"id":`), wire(fin|opPing, "x"),
		closing(1000, "bye"), unmasked(fin|opText, "{}"), lengthOf(fin|opText, 0x80, 1<<40), bytes.Repeat(wire(fin|opPing, ""), 20),
		bytes.Join([][]byte{wire(opText, `{"id":1,`), wire(fin|opPing, ""), wire(fin|opContinuation, `"event":"socket:ping"}`)}, nil),
		wire(fin|opText, cmd("socket:connect", `{"token":"x"}`)), []byte("GET / HTTP/1.1\r\n\r\n"), {0x81},
	} {
		f.Add(seed)
	}
	for _, e := range schema.Events() {
		var file struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(schema.SchemaFile(&e), &file); err != nil {
			f.Fatal(err)
		}
		for _, good := range file.Examples {
			if e.Kind != schema.Push && e.Namespace() != schema.Connection {
				f.Add(wire(fin|opText, cmd(e.Name, string(good))))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := g.user(t, "bob", allRoles...)
		defer s.conn.Close()
		s.write(b)
		s.conn.(interface{ CloseWrite() error }).CloseWrite()
		for got := s.next(); got != "end"; got = s.next() {
			if strings.HasPrefix(got, "broken") {
				t.Fatal(got)
			}
		}
		honest.t = t
		honest.ask("socket:ping", "{}")
	})
}
