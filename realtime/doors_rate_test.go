package realtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// limits are rates that do not fill up again while a test runs.
func limits(change func(*realtime.Config)) func(*realtime.Config) {
	return func(c *realtime.Config) {
		c.RateEvents, c.RateWindow = 1000, 24*time.Hour
		change(c)
	}
}

func (g *gateway) limitedBy(t *testing.T, limit string, times int) {
	t.Helper()
	if line := fmt.Sprintf("roomlog_rate_limited_total{limit=%q} %d\n", limit, times); !strings.Contains(metricsOf(t, g), line) {
		t.Errorf("the figures have no %s", line)
	}
}

// What a user has spent stays spent, whichever socket it was and whether it is still
// there.
func TestRateOfAUser(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateUserEvents = 3 }))
	phone := g.connect(t, "alice") // connecting has a limit of its own
	laptop := g.connect(t, "alice")
	phone.do("socket:ping", nil)
	laptop.do("socket:ping", nil)
	phone.Close()
	laptop.do("socket:ping", nil)
	laptop.Close()
	back := g.connect(t, "alice")
	e := back.refused(schema.RateLimited, "socket:ping", nil).Error
	if hours := 24 * time.Hour.Milliseconds() / 3; e.RetryAfterMs <= 0 || e.RetryAfterMs > hours+1 || !e.Temporary { // rounded up
		t.Errorf("refused with %+v", e)
	}
	back.refused(schema.RateLimited, "post:create", schema.PostCreate{Content: "x"})
	g.connect(t, "bob").do("socket:ping", nil)
	g.limitedBy(t, "user", 2)
}

func TestRateOfPostsAndReports(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RatePosts, c.RateReports = 3, 2 }))
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("one")
	alice.comment(post, "two")
	bob.do("post:share", schema.PostShare{PostID: post})
	alice.do("post:like", map[string]string{"postId": post, "action": "like"})
	alice.post("three")
	for event, data := range map[string]any{
		"post:create":  schema.PostCreate{Content: "four"},
		"post:comment": schema.PostComment{PostID: post, Content: "four"},
		"post:share":   schema.PostShare{PostID: post},
	} {
		alice.refused(schema.RateLimited, event, data)
	}
	alice.do("post:like", map[string]string{"postId": post, "action": "unlike"}) // all else goes on
	bob.comment(post, "two")
	g.limitedBy(t, "post", 3)

	report := fmt.Sprintf(`{"target":{"type":"post","id":%q},"reason":"spam"}`, post)
	s := g.user(t, "bob")
	for range 2 {
		if s.text(cmd("admin:report", report)); strings.Contains(s.nextAck(), "RATE_LIMITED") {
			t.Fatal("refused too early")
		}
	}
	s.text(cmd("admin:report", report))
	if got := s.nextAck(); got != "ack 1 RATE_LIMITED" {
		t.Errorf("the third report: %s", got)
	}
	g.limitedBy(t, "report", 1)
}

// nextAck skips pushes.
func (s *rawSocket) nextAck() string {
	for {
		if got := s.next(); !strings.HasPrefix(got, "push ") {
			return got
		}
	}
}

// Reconnecting without end is refused before it costs anything, and in words that
// the client library waits for.
func TestRateOfConnects(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateConnects = 2 }))
	for range 2 {
		g.user(t, "alice").conn.Close()
	}
	g.refusedFor(t, header("Authorization: Bearer "+tokenFor(t, "alice")))
	s := g.open(t)
	s.text(cmd("socket:connect", fmt.Sprintf(`{"token":%q}`, tokenFor(t, "alice"))))
	s.expect("ack 1 RATE_LIMITED", "push socket:disconnect", "close 4013 too many events")
	_, err := g.dial(t, "alice", client.Options{Token: tokenFor(t, "alice")})
	var e *schema.Error
	if !errors.As(err, &e) || e.Code != schema.RateLimited || e.RetryAfter <= 0 {
		t.Errorf("the client library says %v", err)
	}
	g.user(t, "bob").ask("socket:ping", "{}")
	g.limitedBy(t, "connect", 3)
}

func TestRatesTurnedOff(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) {
		c.RateEvents = 0
		c.RateUserEvents, c.RateConnects, c.RatePosts, c.RateReports, c.RateUpgrades, c.RateControls = 1, 1, 1, 1, 1, 1
	})
	for range 3 {
		s := g.as("127.1.0.1").user(t, "alice")
		createPost(t, s, "x")
		s.write(wire(fin|opPing, "x"))
		s.expect("pong x")
	}
}

// Pings and pongs are answered and counted; who floods is not answered, and then cut.
func TestControlFloods(t *testing.T) {
	g := openGateway(t, limits(func(c *realtime.Config) { c.RateControls = 5 }))
	honest := g.user(t, "bob")
	for _, op := range []byte{opPing, opPong} {
		s := g.user(t, "alice")
		var want []string
		for i := range 10 {
			s.write(wire(fin|op, "x"))
			if op == opPing && i < 5 {
				want = append(want, "pong x")
			}
		}
		s.expect(append(want, "push socket:disconnect", "close 4013 too many events")...)
	}
	g.limitedBy(t, "control", 10)
	honest.ask("socket:ping", "{}")
}
