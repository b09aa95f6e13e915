package realtime_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

func TestRateLimit(t *testing.T) {
	const events = 5
	g := openGateway(t, func(c *realtime.Config) { c.RateEvents, c.RateWindow = events, time.Hour })
	alice, phone := g.connect(t, "alice"), g.connect(t, "alice") // one event each
	for range events - 1 {
		alice.do("socket:ping", nil)
	}
	for range events - 1 {
		ack := alice.refused(schema.RateLimited, "socket:ping", nil)
		if ms := ack.Error.RetryAfterMs; ms <= 0 || ms > time.Hour.Milliseconds()/events || !ack.Error.Temporary {
			t.Errorf("refused with %+v", ack.Error)
		}
	}
	phone.do("socket:ping", nil) // the limit is the socket's
	if err := alice.Send("socket:ping", nil, "", nil); err != nil {
		t.Fatal(err)
	}
	alice.closedWith(schema.CloseTooManyEvents)
}

func TestRateLimitFillsUpAgain(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.RateEvents, c.RateWindow = 5, 250*time.Millisecond })
	alice := g.connect(t, "alice")
	refusals := 0
	for range 15 {
		_, err := alice.Do(t.Context(), "socket:ping", nil, "")
		if err == nil {
			continue
		}
		refusals++
		var refusal *schema.Error
		if refusal = asError(t, err); refusal.Code != schema.RateLimited {
			t.Fatal(err)
		}
		<-time.After(refusal.RetryAfter) // what it was told to wait is enough
		alice.do("socket:ping", nil)
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}

func TestSocketsOfOneUser(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxSocketsPerUser = 2 })
	first := g.connect(t, "alice")
	g.connect(t, "alice")
	third, err := g.dial(t, "alice", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	third.refused(schema.TooManySockets, "socket:connect", schema.Connect{Token: tokenFor(t, "alice")})
	third.closedWith(schema.CloseTooManySockets)
	s := g.user(t, "alice") // connected by its first command, as far as that gets
	s.text(`{"id":1,"event":"socket:ping"}`)
	s.expect("ack 1 TOO_MANY_CONNECTIONS", "push socket:disconnect", "close 4504 too many connections")

	g.connect(t, "bob")
	first.Close()
	eventually(t, "alice has room again", func() bool {
		p, err := g.dial(t, "alice", client.Options{Token: tokenFor(t, "alice")})
		if err == nil {
			p.Close()
		}
		return err == nil
	})
}

func TestConnectionSlotsAreGivenBack(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxConnections = 2 })
	for range 5 { // refused ones do not use up slots
		_, resp := g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n", "\r\nAuthorization: Bearer x\r\n\r\n", 1))
		if resp.StatusCode != 401 {
			t.Fatal(resp.Status)
		}
		if _, resp = g.handshake(t, strings.Replace(goodHandshake, "Version: 13", "Version: 7", 1)); resp.StatusCode != 426 {
			t.Fatal(resp.Status)
		}
	}
	for range 4 {
		var open []*peer
		for len(open) < 2 {
			eventually(t, "there is a slot", func() bool {
				p, err := g.dial(t, "alice", client.Options{Token: tokenFor(t, "alice")})
				if err == nil {
					open = append(open, p)
				}
				return err == nil
			})
		}
		if _, err := g.dial(t, "bob", client.Options{}); err == nil {
			t.Fatal("a third connection of two")
		}
		for _, p := range open {
			p.Close()
		}
	}
}

func TestRoomsOfOneSocket(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxRoomsPerSocket = 4 }) // user:alice, public and two more
	alice := g.connect(t, "alice")
	one, two, three := alice.post("1"), alice.post("2"), alice.post("3")
	alice.do("post:join", schema.PostRef{PostID: one})
	alice.do("post:join", schema.PostRef{PostID: two})
	alice.do("post:join", schema.PostRef{PostID: two}) // it is in it already
	alice.refused(schema.TooManyRooms, "post:join", schema.PostRef{PostID: three})
	alice.do("post:leave", schema.PostRef{PostID: one})
	alice.do("post:join", schema.PostRef{PostID: three})

	back := g.comesBack(t, "alice", alice.Connected().Seq, schema.PostRoom(one), schema.PostRoom(two), schema.PostRoom(three))
	if got, want := back.Connected().Rooms, []string{"user:alice", "public", schema.PostRoom(one), schema.PostRoom(two)}; !slices.Equal(got, want) {
		t.Errorf("back in %q, want %q", got, want)
	}
}

func TestFactsInFlight(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxFactsInFlight = 1 })
	alice := g.connect(t, "alice")
	const facts = 40
	var refused atomic.Int32
	acked := make(chan struct{}, facts)
	for range facts {
		err := alice.Send("post:create", schema.PostCreate{Content: "now"}, "", func(f schema.Frame) {
			if f.Error != nil && f.Error.Code == schema.TooManyInFlight {
				refused.Add(1)
			}
			acked <- struct{}{}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range facts {
		<-acked
	}
	if n := refused.Load(); n == 0 || n == facts {
		t.Errorf("%d of %d facts were refused", n, facts)
	}
	alice.post("with nothing in flight")
}

func TestSlowHandshake(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.HandshakeTimeout, c.MaxHandshakes = 50*time.Millisecond, 8 })
	var conns []net.Conn
	for i := range 20 {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nX-%d: ", g.addr, i)
		conns = append(conns, conn)
	}
	for _, conn := range conns { // all are given up on, those over the limit at once
		conn.SetReadDeadline(time.Now().Add(patience))
		var b [512]byte
		for {
			if _, err := conn.Read(b[:]); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Fatal("a handshake that never ends is waited for")
				}
				break
			}
		}
	}
	eventually(t, "others can connect", func() bool {
		p, err := g.dial(t, "alice", client.Options{Token: tokenFor(t, "alice")})
		if err == nil {
			p.Close()
		}
		return err == nil
	})
}

func TestHeartbeat(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PingInterval, c.PongTimeout = 40*time.Millisecond, 40*time.Millisecond })
	g.user(t, "mute").expect("ping", "push socket:disconnect", "close 4012 no pong")

	s := g.user(t, "alive")
	for range 4 {
		if got := s.next(); got != "ping" {
			t.Fatalf("got %s", got)
		}
		s.write(wire(fin|opPong, ""))
	}
}

func TestSlowConsumer(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxQueuedBytes = 512 << 10 })
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	slow := g.user(t, "bob")
	slow.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	slow.ask("socket:connect", "{}")
	slow.ask("user:follow", `{"followingId":"alice","action":"follow"}`)
	alice.hears("user:follow", "user:alice")
	bob.hears("user:follow", "user:bob")

	// What the kernel takes for a socket that does not read is a few megabytes.
	posts := 0
	for ; !strings.Contains(metricsOf(t, g), `roomlog_closes_total{code="4008"} 1`); posts += 50 {
		if posts > 5000 {
			t.Fatal("it is waited for")
		}
		alice.postMany(50, strings.Repeat("x", 4000))
		for range 50 {
			bob.hears("post:create", "user:bob")
		}
	}
	heard := 0
	for {
		got := slow.next()
		if got == "push post:create" {
			heard++
			continue
		}
		if got == "push socket:disconnect" {
			got = slow.next()
		}
		if got != "close 4008 too slow" {
			t.Fatalf("after %d of %d pushes: %s", heard, posts, got)
		}
		break
	}
	if heard == 0 || heard >= posts {
		t.Errorf("the slow socket heard %d of %d posts", heard, posts)
	}
}

func TestASocketThatReadsNothingAtAll(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxQueuedBytes = 512 << 10
		c.WriteTimeout, c.CloseTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	alice := g.connect(t, "alice")
	slow := g.user(t, "bob")
	slow.ask("user:follow", `{"followingId":"alice","action":"follow"}`)
	for posts := 0; g.server.Stats().Sockets == 2; posts += 50 {
		if posts > 5000 {
			t.Fatal("it is waited for")
		}
		alice.postMany(50, strings.Repeat("x", 4000))
	}
}

func asError(t testing.TB, err error) *schema.Error {
	t.Helper()
	codeOf(t, err)
	e, _ := err.(*schema.Error)
	return e
}
