package realtime_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

func (g *gateway) slowed(t *testing.T, by string, times int) {
	t.Helper()
	line := fmt.Sprintf("roomlog_slowed_total{by=%q} %d\n", by, times)
	eventually(t, line, func() bool { return strings.Contains(metricsOf(t, g), line) })
}

// acks checks what the next ack is.
func (s *rawSocket) acks(want string) {
	s.t.Helper()
	if got := s.nextAck(); got != want {
		s.t.Fatalf("got %q, want %q", got, want)
	}
}

// Every refusal costs the one who is refused some time, and nobody else.
func TestRefusedSocketsAreReadSlowly(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateEvents = 20 }))
	honest, s := g.user(t, "alice"), g.user(t, "bob")
	const refused = 10
	var burst []byte
	for i := range 20 + refused {
		burst = append(burst, ping(i)...)
	}
	began := time.Now()
	s.write(burst)
	for i := range 20 + refused {
		want := fmt.Sprintf("ack %d", i)
		if i >= 20 {
			want += " RATE_LIMITED"
		}
		s.acks(want)
	}
	if took := time.Since(began); took < (refused-1)*20*time.Millisecond {
		t.Errorf("%d refusals in %v", refused, took)
	}
	g.slowed(t, "pause", refused)
	honest.ask("socket:ping", "{}")
	g.slowed(t, "pause", refused)
}

// So does everything that is sent after a close for bad frames.
func TestClosedSocketsAreReadSlowly(t *testing.T) {
	g := openGateway(t, nil)
	s := g.user(t, "bob")
	s.write(append(wire(fin|opText, "{"), bytes.Repeat(ping(1), 3)...))
	g.slowed(t, "pause", 1+3)
}

// Who has used more than a quarter of what they may do at once is served in turn with
// those who have too, and everything all the same, in order.
func TestGreedySocketsTakeTurns(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateEvents, c.RatePosts = 40, 0 }))
	greedy := []*rawSocket{g.user(t, "bob"), g.user(t, "carol")}
	const facts = 30
	for _, s := range greedy {
		var burst []byte
		for i := range facts {
			burst = append(burst, wire(fin|opText, fmt.Sprintf(`{"id":%d,"event":"post:create","data":{"content":"%d"}}`, i, i))...)
		}
		s.write(burst)
	}
	honest := g.user(t, "alice")
	for range 10 {
		honest.ask("socket:ping", "{}")
	}
	for _, s := range greedy {
		for i := range facts {
			s.acks(fmt.Sprintf("ack %d", i))
		}
	}
	g.slowed(t, "turn", len(greedy)*(facts-11)) // the eleventh is one too many for a share
}

// So does who spreads it over their sockets.
func TestGreedyUsersTakeTurns(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateUserEvents = 40 }))
	phone, laptop, honest := g.user(t, "bob"), g.user(t, "bob"), g.user(t, "alice")
	for range 10 {
		phone.ask("socket:ping", "{}")
	}
	laptop.ask("socket:ping", "{}") // one too many for a share
	laptop.ask("socket:ping", "{}")
	honest.ask("socket:ping", "{}")
	honest.ask("socket:ping", "{}")
	g.slowed(t, "turn", 1)
}

// Of the facts of a greedy socket one is under way.
func TestGreedySocketsWaitForTheirAcks(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateEvents, c.MaxFactsInFlight = 40, 1 }))
	s := g.user(t, "bob")
	for i := range 11 {
		createPost(t, s, fmt.Sprint(i))
	}
	s.write(bytes.Repeat(wire(fin|opText, cmd("post:create", `{"content":"at once"}`)), 20))
	for range 20 {
		s.acks("ack 1") // and not TOO_MANY_IN_FLIGHT
	}
}

// So does who asks for much, one question after the other.
func TestLargeAnswersTakeTurns(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RatePosts = 0 }))
	s := g.user(t, "alice")
	for range 30 {
		createPost(t, s, strings.Repeat("x", 3000))
	}
	for range 3 {
		s.ask("user:posts", `{"userId":"alice","limit":30}`)
	}
	g.slowed(t, "turn", 2)
	s.ask("socket:ping", "{}")
	s.ask("socket:ping", "{}")
	g.slowed(t, "turn", 3)
}

// Missing much is told in turns, and so is everything when it was told before; whoever
// comes is not greedy before it is connected, or it would wait for itself.
func TestMuchThatIsToldAgainTakesTurns(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateEvents, c.RatePosts, c.RateUserEvents = 1200, 0, 0 }))
	bob := g.connect(t, "bob")
	bob.follow("alice")
	bob.Close()
	const missed = 290 // more than a chunk, less than alice's share
	alice := g.connect(t, "alice")
	for range missed / 58 {
		alice.postMany(58, "more")
	}
	turns := 0
	for _, c := range []struct{ missed, turns int }{{10, 0}, {missed, 2}, {10, 1}} { // little; two chunks; little again
		s := g.open(t)
		var garbage []byte
		for i := range 310 { // more than a share
			garbage = append(garbage, ping(i)...)
		}
		s.write(garbage)
		for i := range 310 {
			s.acks(fmt.Sprintf("ack %d %s", i, schema.NotConnected))
		}
		s.text(cmd("socket:connect", fmt.Sprintf(`{"token":%q,"resume":{"epoch":%q,"seq":%d}}`, tokenFor(t, "bob"), g.log.Epoch(), g.models.Applied()-uint64(c.missed))))
		s.acks("ack 1")
		for told := 0; ; told++ {
			got := s.next()
			if got == "push socket:resumed" {
				if told < c.missed {
					t.Errorf("told of %d, want %d", told, c.missed)
				}
				break
			}
			if !strings.HasPrefix(got, "push ") {
				t.Fatalf("after %d pushes: %s", told, got)
			}
		}
		turns += c.turns
		if turns > 0 {
			g.slowed(t, "turn", turns)
		}
		s.conn.Close()
	}
}
