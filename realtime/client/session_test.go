package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// open opens a session whose states can be waited for.
func open(t *testing.T, url string, o client.SessionOptions) (*client.Session, <-chan client.State) {
	t.Helper()
	states := make(chan client.State, 1000)
	o.OnState = func(st client.State) { states <- st }
	s, err := client.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, states
}

// waitFor returns the next state with that status.
func waitFor(t *testing.T, states <-chan client.State, status client.Status) client.State {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case st := <-states:
			if st.Status == status {
				return st
			}
		case <-deadline:
			t.Fatalf("the session was never %v", status)
		}
	}
}

// scripts serves one connection after the other, each by its script, the last one for ever.
func scripts(t *testing.T, each ...func(*peer)) *scripted {
	var served atomic.Int32
	return serve(t, func(p *peer) { each[min(int(served.Add(1)), len(each))-1](p) })
}

func TestSessionTellsItsStates(t *testing.T) {
	s := serveLog(t, 1) // cut when it has connected
	pushes := make(chan schema.Frame, 10)
	o := sessionOptions()
	o.OnPush = func(f schema.Frame) { pushes <- f }
	var dialled atomic.Int32
	o.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	session, states := open(t, s.URL, o)
	waitFor(t, states, client.Connected)
	s.add("missed")
	lost := waitFor(t, states, client.Lost)
	var e *client.CloseError
	if !errors.As(lost.Err, &e) || lost.Wait > 5*time.Millisecond {
		t.Errorf("lost: %+v", lost)
	}
	back := waitFor(t, states, client.CaughtUp)
	if f := <-pushes; f.Seq != 1 || back.From != 0 || int(back.Seq) != back.Count || string(f.Data) != `"missed"` {
		t.Errorf("caught up: %+v with %+v", back, f)
	}
	if n := dialled.Load(); n != 2 {
		t.Errorf("%d connections were dialled", n)
	}
	if at := session.Position(); at.Epoch != "E1" || at.Seq != 1 || session.User().ID != "alice" {
		t.Errorf("%s is at %+v", session.User().ID, at)
	}
	session.Close()
	if ended := waitFor(t, states, client.Ended); ended.Err != nil || session.Err() != nil {
		t.Errorf("ended: %+v, %v", ended, session.Err())
	}
	if _, err := session.Do(t.Context(), "socket:ping", nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}

func TestSessionGoesOnWhereAnEarlierOneStood(t *testing.T) {
	s := serveLog(t)
	for i := range 5 {
		s.add(fmt.Sprint(i))
	}
	o := sessionOptions()
	o.Resume = &schema.Resume{Epoch: "E1", Seq: 3, Rooms: []string{"public"}}
	_, states := open(t, s.URL, o)
	if st := waitFor(t, states, client.CaughtUp); st.From != 3 || st.Seq != 5 || st.Count != 2 {
		t.Errorf("caught up: %+v", st)
	}
}

func TestSessionWaitsAsLongAsTheServerAsks(t *testing.T) {
	t.Parallel()
	leaves := func(p *peer) {
		p.connect(7)
		p.push("socket:disconnect", schema.Disconnect{Reason: "shutting down", Reconnect: true, RetryAfterMs: 120})
		p.close(4001, "shutting down")
		p.next()
	}
	var refused atomic.Bool
	back := make(chan schema.Connect, 1)
	s := scripts(t, leaves, func(p *peer) { back <- p.connect(7); p.echo() })
	proxy := serveRaw(t, func(conn net.Conn) { // refuses the second connection
		if !refused.Load() {
			refused.Store(true)
			relay(conn, s.URL)
			return
		}
		refused.Store(false)
		conn.Read(make([]byte, 4096))
		fmt.Fprint(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	_, states := open(t, proxy.URL, sessionOptions())
	first := waitFor(t, states, client.Lost)
	second := waitFor(t, states, client.Lost)
	began := time.Now()
	c := <-back
	if first.Wait < 120*time.Millisecond || second.Wait < time.Second || time.Since(began) < 900*time.Millisecond {
		t.Errorf("waited %v and %v, came back after %v", first.Wait, second.Wait, time.Since(began))
	}
	if c.Resume == nil || c.Resume.Seq != 7 || c.Resume.Epoch != "E1" {
		t.Errorf("came back with %+v", c.Resume)
	}
}

func TestSessionThatIsNotWantedBack(t *testing.T) {
	for _, code := range []ws.StatusCode{1002, 1008, 4500, 4501, 4503, 4504, 4507} {
		s := serve(t, func(p *peer) {
			p.connect(1)
			p.command()
			p.close(code, "no")
			p.next()
		})
		session, states := open(t, s.URL, sessionOptions())
		_, err := session.Do(t.Context(), "post:create", nil)
		var e *client.CloseError
		if !errors.As(err, &e) || e.Code != schema.CloseCode(code) {
			t.Errorf("%d: Do says %v", code, err)
		}
		<-session.Done()
		if st := waitFor(t, states, client.Ended); !errors.As(st.Err, &e) || !errors.As(session.Err(), &e) {
			t.Errorf("%d: ended with %v, %v", code, st.Err, session.Err())
		}
	}
}

// The connections that are too many may be the session's own, which the server has
// yet to find dead.
func TestSessionThatCrowdsItselfOutWaits(t *testing.T) {
	s := scripts(t, func(p *peer) { p.connect(7) }, func(p *peer) {
		command, _ := p.command()
		p.fail(command.ID, schema.TooManySockets)
		p.close(ws.StatusCode(schema.CloseTooManySockets), "too many connections")
		p.next()
	})
	session, states := open(t, s.URL, sessionOptions())
	waitFor(t, states, client.Lost)
	if refused := waitFor(t, states, client.Lost); refused.Wait < 35*time.Second {
		t.Errorf("waits %v after %v", refused.Wait, refused.Err)
	}
	select {
	case <-session.Done():
		t.Errorf("ended: %v", session.Err())
	default:
	}
}

func TestSessionNeedsATokenForEveryConnection(t *testing.T) {
	o := sessionOptions()
	o.Token = func(context.Context) (string, error) { return "", errors.New("no token today") }
	if _, err := client.Open(t.Context(), "ws://127.0.0.1:1/ws", o); err == nil || !strings.Contains(err.Error(), "no token today") {
		t.Errorf("Open: %v", err)
	}
	tokens := make(chan string, 10)
	asked := 0
	o.Token = func(context.Context) (string, error) {
		if asked++; asked == 2 {
			return "", errors.New("no token now")
		}
		return fmt.Sprint("token ", asked), nil
	}
	s := scripts(t, func(p *peer) { tokens <- p.connect(1).Token }, func(p *peer) { tokens <- p.connect(1).Token; p.echo() })
	_, states := open(t, s.URL, o)
	waitFor(t, states, client.Lost)
	if st := waitFor(t, states, client.Lost); st.Err == nil || !strings.Contains(st.Err.Error(), "no token now") {
		t.Errorf("lost: %+v", st)
	}
	if a, b := <-tokens, <-tokens; a != "token 1" || b != "token 3" {
		t.Errorf("connected with %q and %q", a, b)
	}
}

// An expired token is worth another try only if the source has another one.
func TestSessionWithAnExpiredToken(t *testing.T) {
	expired := func(p *peer) {
		cmd, _ := p.command()
		p.fail(cmd.ID, schema.TokenExpired)
		p.close(4005, "token expired")
		p.next()
	}
	lives := func(p *peer) { p.connect(1) }
	session, _ := open(t, scripts(t, lives, expired).URL, sessionOptions())
	<-session.Done()
	var e *schema.Error
	if !errors.As(session.Err(), &e) || e.Code != schema.TokenExpired {
		t.Errorf("ended with %v", session.Err())
	}
	o, n := sessionOptions(), 0
	o.Token = func(context.Context) (string, error) { n++; return fmt.Sprint(n), nil }
	o.MinBackoff, o.MaxBackoff = time.Nanosecond, time.Nanosecond
	back := make(chan string, 1)
	_, _ = open(t, scripts(t, lives, expired, func(p *peer) { back <- p.connect(1).Token; p.echo() }).URL, o)
	if token := <-back; token != "3" {
		t.Errorf("back with token %s", token)
	}
}

func TestSessionReadsAgainAfterAResync(t *testing.T) {
	s := serveLog(t)
	resyncs := make(chan schema.Resync, 1)
	o := sessionOptions()
	o.OnResync = func(r schema.Resync) { resyncs <- r }
	session, states := open(t, s.URL, o)
	room := schema.PostRoom("01JD0000000000000000000000")
	if err := session.Join(t.Context(), room); err != nil {
		t.Fatal(err)
	}
	s.add("not to be had again")
	s.mu.Lock()
	s.resync, s.rooms = true, nil
	s.mu.Unlock()
	session.Do(t.Context(), "test:cut", nil)
	if r := <-resyncs; r.Reason != schema.ResyncTooFar || r.Seq != 1 {
		t.Errorf("resync %+v", r)
	}
	waitFor(t, states, client.Resynced)
	// The room was asked for before what is sent now.
	if _, err := session.Do(t.Context(), "socket:ping", nil); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.rooms, []string{room}) {
		t.Errorf("rooms %q", s.rooms)
	}
}

// What socket:resync says is not lost with its connection.
func TestSessionThatIsCutBeforeItsResync(t *testing.T) {
	resyncs := make(chan schema.Resync, 2)
	o := sessionOptions()
	o.OnResync = func(r schema.Resync) { resyncs <- r }
	resumes := make(chan schema.Resume, 1)
	s := scripts(t,
		func(p *peer) { p.connect(1) },
		func(p *peer) { p.connect(50) }, // it does not resume
		func(p *peer) { resumes <- *p.connect(60).Resume; p.echo() })
	open(t, s.URL, o)
	if r := <-resyncs; r.Reason != schema.ResyncUnavailable || r.Seq != 50 {
		t.Errorf("resync %+v", r)
	}
	if r := <-resumes; r.Seq != 50 {
		t.Errorf("then it resumed from %+v", r)
	}
}

func TestSessionGoesBackToItsRooms(t *testing.T) {
	s := serveLog(t)
	session, states := open(t, s.URL, sessionOptions())
	a, b, c := "post:01JD000000000000000000000A", "post:01JD000000000000000000000B", "conversation:01JD000000000000000000000C"
	for _, room := range []string{a, b, a, c} {
		if err := session.Join(t.Context(), room); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.Leave(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	session.Do(t.Context(), "test:cut", nil)
	waitFor(t, states, client.CaughtUp)
	s.mu.Lock()
	if !slices.Equal(s.rooms, []string{a, c}) {
		t.Errorf("it asked for %q", s.rooms)
	}
	s.mu.Unlock()
	if got := session.Position().Rooms; !slices.Equal(got, []string{a, c}) {
		t.Errorf("it is in %q", got)
	}
	if err := session.Join(t.Context(), "user:bob"); err == nil {
		t.Error("joined a user")
	}
}

// A server that sends a record twice, or late, is not believed: the next
// connection says what was missed.
func TestSessionSeesPushesOutOfOrder(t *testing.T) {
	for _, seqs := range [][2]uint64{{9, 9}, {9, 8}, {9, 3}} {
		resumes := make(chan schema.Resume, 1)
		s := scripts(t, func(p *peer) {
			p.connect(5)
			p.record(seqs[0])
			p.record(seqs[1])
			p.next()
		}, func(p *peer) { resumes <- *p.connect(9).Resume; p.echo() })
		var heard []uint64
		o := sessionOptions()
		o.OnPush = func(f schema.Frame) { heard = append(heard, f.Seq) }
		session, states := open(t, s.URL, o)
		if st := waitFor(t, states, client.Lost); !strings.Contains(st.Err.Error(), fmt.Sprintf("record %d after record 9", seqs[1])) {
			t.Errorf("%d: lost: %v", seqs, st.Err)
		}
		if r := <-resumes; r.Seq != 9 {
			t.Errorf("%d: resumed from %d", seqs, r.Seq)
		}
		session.Close()
		if !slices.Equal(heard, []uint64{9}) {
			t.Errorf("%d: heard %d", seqs, heard)
		}
	}
}

// relay passes bytes on between a client and a server.
func relay(conn net.Conn, url string) { relayUpTo(conn, url, 1<<40) }

// relayUpTo is relay that breaks after so many bytes of the server.
func relayUpTo(conn net.Conn, url string, bytes int64) {
	up, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws"))
	if err != nil {
		return
	}
	defer up.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(up, conn)
		up.Close()
	}()
	io.CopyN(conn, up, bytes)
	conn.Close()
	<-done
}
