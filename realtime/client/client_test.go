package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roomlog/realtime/client"
	"roomlog/schema"
)

func dial(t testing.TB, s *scripted, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), s.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// waitEnd waits until the connection has ended and returns why.
func waitEnd(t *testing.T, c *client.Client) *client.CloseError {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection did not end")
	}
	if c.Err() == nil {
		return nil
	}
	var e *client.CloseError
	if !errors.As(c.Err(), &e) {
		t.Fatalf("Err is %v, want a CloseError", c.Err())
	}
	return e
}

func TestDialConnects(t *testing.T) {
	for _, inHeader := range []bool{false, true} {
		connects := make(chan schema.Connect, 1)
		s := serve(t, func(p *peer) {
			if p.subprotocol != schema.Subprotocol {
				t.Errorf("subprotocol %q", p.subprotocol)
			}
			if inHeader != (p.authorization == "Bearer tok") {
				t.Errorf("Authorization %q, header %v", p.authorization, inHeader)
			}
			cmd, _ := p.command()
			var c schema.Connect
			if err := json.Unmarshal(cmd.Data, &c); err != nil || cmd.Event != "socket:connect" {
				t.Errorf("first command %s %s", cmd.Event, cmd.Data)
			}
			connects <- c
			p.ack(cmd.ID, schema.Connected{User: schema.Actor{ID: "alice"}, Rooms: []string{"user:alice"}, Seq: 7})
			p.echo()
		})
		c := dial(t, s, client.Options{
			Token: "tok", Header: inHeader,
			Namespaces: []schema.Namespace{schema.Social}, Resume: &schema.Resume{Epoch: "E", Seq: 5},
		})
		got := <-connects
		if (got.Token == "tok") == inHeader || !slices.Equal(got.Namespaces, []schema.Namespace{schema.Social}) || got.Resume.Seq != 5 {
			t.Errorf("header %v: connected with %+v", inHeader, got)
		}
		if c.Hello().SocketID != "S1" || c.Connected().User.ID != "alice" || c.Connected().Seq != 7 {
			t.Errorf("hello %+v, connected %+v", c.Hello(), c.Connected())
		}
	}
}

func TestDialRefused(t *testing.T) {
	s := serveRaw(t, func(conn net.Conn) {
		buf := make([]byte, 4096)
		conn.Read(buf)
		io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 10\r\nConnection: close\r\n\r\nall taken\n")
	})
	_, err := client.Dial(t.Context(), s.URL, client.Options{})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != 503 || refused.RetryAfter != 7*time.Second || refused.Message != "all taken" {
		t.Errorf("error %v (%+v)", err, refused)
	}
}

func TestDialWithBadToken(t *testing.T) {
	s := serve(t, func(p *peer) {
		cmd, _ := p.command()
		p.fail(cmd.ID, schema.InvalidToken)
		p.close(ws.StatusCode(schema.CloseInvalidToken), "invalid token")
		p.next()
	})
	_, err := client.Dial(t.Context(), s.URL, client.Options{Token: "forged"})
	var e *schema.Error
	if !errors.As(err, &e) || e.Code != schema.InvalidToken {
		t.Errorf("error %v, want INVALID_TOKEN", err)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	s := serve(t, func(p *peer) {
		for {
			if _, ok := p.next(); !ok { // never answers socket:connect
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, s.URL, client.Options{Token: "tok"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestDoFromManyGoroutines(t *testing.T) {
	s := serve(t, (*peer).echo)
	c := dial(t, s, client.Options{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 50 {
				want := fmt.Sprintf(`{"i":%d,"j":%d}`, i, j)
				f, err := c.Do(t.Context(), "post:get", json.RawMessage(want), "")
				if err != nil || string(f.Data) != want {
					t.Errorf("got %s (%v), want %s", f.Data, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAcksAreMatchedByID(t *testing.T) {
	const n = 10
	s := serve(t, func(p *peer) {
		var ids []json.RawMessage
		for range n {
			cmd, _ := p.command()
			ids = append(ids, cmd.ID)
		}
		for _, id := range slices.Backward(ids) {
			p.ack(id, map[string]json.RawMessage{"id": id})
		}
		p.text(`{"id":"nobody's","ok":true}`)
		p.text(`{"id":1,"ok":true}`) // a second time
		p.echo()
	})
	c := dial(t, s, client.Options{})
	acked := make(chan string, 2*n)
	for range n {
		if err := c.Send("socket:ping", nil, "", func(f schema.Frame) { acked <- string(f.ID) + string(f.Data) }); err != nil {
			t.Fatal(err)
		}
	}
	for i := n; i >= 1; i-- {
		if got, want := <-acked, fmt.Sprintf(`%d{"id":%d}`, i, i); got != want {
			t.Errorf("ack %s, want %s", got, want)
		}
	}
	if _, err := c.Do(t.Context(), "socket:ping", nil, ""); err != nil {
		t.Error(err)
	}
	if len(acked) != 0 {
		t.Error("an ack function was called twice")
	}
}

func TestErrorAck(t *testing.T) {
	s := serve(t, func(p *peer) {
		cmd, _ := p.command()
		if cmd.Key != "k1" {
			t.Errorf("key %q", cmd.Key)
		}
		p.fail(cmd.ID, schema.RateLimited)
		p.echo()
	})
	c := dial(t, s, client.Options{})
	f, err := c.Do(t.Context(), "post:create", schema.PostCreate{Content: "x"}, "k1")
	var e *schema.Error
	if !errors.As(err, &e) || e.Code != schema.RateLimited || !e.Temporary || e.RetryAfter != 1500*time.Millisecond {
		t.Errorf("error %+v", err)
	}
	if f.OK == nil || *f.OK || f.Error == nil {
		t.Errorf("frame %+v", f)
	}
}

func TestDoGivesUpWithItsContext(t *testing.T) {
	held := make(chan struct{})
	s := serve(t, func(p *peer) {
		cmd, _ := p.command()
		<-held
		p.ack(cmd.ID, 1) // too late
		p.echo()
	})
	c := dial(t, s, client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, "socket:ping", nil, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	close(held)
	if f, err := c.Do(t.Context(), "socket:ping", nil, ""); err != nil || string(f.ID) != "2" {
		t.Errorf("the next command got %s (%v)", f.ID, err)
	}
}

func TestPushesArriveInOrderWithAcksBetween(t *testing.T) {
	s := serve(t, func(p *peer) {
		for {
			cmd, ok := p.command()
			if !ok {
				return
			}
			p.push("post:like", map[string]string{"before": string(cmd.ID)})
			p.ack(cmd.ID, nil)
		}
	})
	var seen []string // touched by the reading goroutine, and after Close
	var frames int
	c := dial(t, s, client.Options{
		OnPush:  func(f schema.Frame) { seen = append(seen, f.Event+string(f.Data)) },
		OnFrame: func([]byte) { frames++ },
	})
	for range 3 {
		if _, err := c.Do(t.Context(), "socket:ping", nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	want := []string{`post:like{"before":"1"}`, `post:like{"before":"2"}`, `post:like{"before":"3"}`}
	if len(seen) != 4 || !strings.HasPrefix(seen[0], "socket:hello{") || !slices.Equal(seen[1:], want) {
		t.Errorf("pushes %q", seen)
	}
	if frames != 7 {
		t.Errorf("%d frames, want hello, 3 pushes, 3 acks", frames)
	}
}

func TestLostPushEndsTheConnection(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.n++
		p.push("post:like", 1)
		p.echo()
	})
	c := dial(t, s, client.Options{OnPush: func(schema.Frame) {}})
	if e := waitEnd(t, c); e == nil || !strings.Contains(e.Error(), "push 3 came after push 1") || !e.Reconnect() {
		t.Errorf("ended with %v", e)
	}
}

func TestCloseCodes(t *testing.T) {
	for _, c := range []struct {
		code      ws.StatusCode
		reconnect bool
	}{
		{1001, true}, {1002, false}, {1003, false}, {1007, false}, {1008, false}, {1009, false}, {1011, true}, {1012, true}, {1013, true},
		{4001, true}, {4005, true}, {4008, true}, {4012, true}, {4013, true}, {4499, true},
		{4500, false}, {4501, false}, {4503, false}, {4504, false}, {4507, false},
	} {
		t.Run(fmt.Sprint(c.code), func(t *testing.T) {
			answered := make(chan ws.StatusCode, 1)
			s := serve(t, func(p *peer) {
				p.push("socket:disconnect", schema.Disconnect{UserID: "alice", Reason: "why", RetryAfterMs: 250})
				p.close(c.code, "why")
				f, _ := p.next()
				code, _ := ws.ParseCloseFrameData(f.Payload)
				answered <- code
			})
			cl := dial(t, s, client.Options{})
			e := waitEnd(t, cl)
			if e == nil || e.Code != schema.CloseCode(c.code) || e.Reason != "why" || e.Reconnect() != c.reconnect {
				t.Fatalf("ended with %+v, want %d, reconnect %v", e, c.code, c.reconnect)
			}
			if e.Farewell == nil || e.Farewell.UserID != "alice" || e.RetryAfter() != 250*time.Millisecond {
				t.Errorf("farewell %+v", e.Farewell)
			}
			if got := <-answered; got != c.code {
				t.Errorf("answered the close with %d", got)
			}
			if _, err := cl.Do(t.Context(), "socket:ping", nil, ""); !errors.Is(err, e) {
				t.Errorf("Do after the end: %v", err)
			}
		})
	}
}

// Whoever sends at the moment of the end hears why it ended, not what became of
// the connection.
func TestSendAtTheEndSaysWhy(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.command()
		p.close(4013, "too many events")
		for ok := true; ok; {
			_, ok = p.next()
		}
	})
	for range 50 {
		c := dial(t, s, client.Options{})
		var err error
		for err == nil {
			err = c.Send("socket:ping", nil, "", nil)
		}
		var e *client.CloseError
		if !errors.As(err, &e) || e.Code != 4013 {
			t.Fatalf("Send: %v", err)
		}
	}
}

func TestConnectionLost(t *testing.T) {
	s := serve(t, func(p *peer) { p.command() })
	c := dial(t, s, client.Options{})
	_, err := c.Do(t.Context(), "socket:ping", nil, "")
	var e *client.CloseError
	if !errors.As(err, &e) || e.Code != 1006 || !e.Reconnect() {
		t.Errorf("error %v, want a lost connection", err)
	}
}

func TestCloseIsNoError(t *testing.T) {
	codes := make(chan ws.StatusCode, 1)
	s := serve(t, func(p *peer) {
		p.command() // never acked
		f, _ := p.next()
		code, _ := ws.ParseCloseFrameData(f.Payload)
		codes <- code
		p.close(code, "")
	})
	c := dial(t, s, client.Options{})
	ended := make(chan error, 1)
	if err := c.Send("socket:ping", nil, "", func(schema.Frame) { t.Error("acked") }); err != nil {
		t.Fatal(err)
	}
	go func() { <-c.Done(); ended <- c.Err() }()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Err after Close: %v", err)
	}
	if code := <-codes; code != ws.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	if _, err := c.Do(t.Context(), "socket:ping", nil, ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}

func TestCloseDoesNotWaitForADeafServer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, func(p *peer) { <-release })
	c := dial(t, s, client.Options{})
	c.Close()
	close(release)
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}
