package client_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

func TestSessionSendsAgainWhatIsRefusedForNow(t *testing.T) {
	for _, refusal := range []schema.Code{schema.RateLimited, schema.TooManyInFlight, schema.LogUnavailable} {
		var got []string
		var rested time.Duration
		s := serve(t, func(p *peer) {
			p.connect(1)
			var since time.Time
			for i := 0; ; i++ {
				cmd, ok := p.command()
				if !ok {
					return
				}
				if i == 0 {
					since = time.Now()
					p.text(`{"id":%s,"ok":false,"error":{"code":%q,"temporary":true,"retryAfterMs":80}}`, cmd.ID, refusal)
					continue
				}
				if rested == 0 {
					rested = time.Since(since)
				}
				got = append(got, cmd.Key)
				p.ack(cmd.ID, 1)
			}
		})
		session, _ := open(t, s.URL, sessionOptions())
		if _, err := session.DoKey(t.Context(), "post:create", nil, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := session.DoKey(t.Context(), "post:create", nil, "b"); err != nil {
			t.Fatal(err)
		}
		session.Close()
		if !slices.Equal(got, []string{"a", "b"}) || rested < 80*time.Millisecond {
			t.Errorf("%s: sent %q after %v", refusal, got, rested)
		}
	}
}

func TestSessionReturnsWhatIsRefused(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.connect(1)
		for {
			cmd, ok := p.command()
			if !ok {
				return
			}
			p.text(`{"id":%s,"ok":false,"error":{"code":"ONESELF","message":"no"}}`, cmd.ID)
		}
	})
	session, _ := open(t, s.URL, sessionOptions())
	f, err := session.Do(t.Context(), "user:follow", nil)
	var e *schema.Error
	if !errors.As(err, &e) || e.Code != schema.Oneself || f.Error == nil {
		t.Errorf("got %+v, %v", f, err)
	}
}

// A command that nobody waits for any more is not sent again.
func TestSessionForgetsWithTheContext(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.connect(1)
		for {
			if cmd, ok := p.command(); !ok {
				return
			} else if cmd.Event == "socket:ping" {
				p.ack(cmd.ID, 1)
			} else if cmd.Key == "unheard" {
				return
			}
		}
	})
	session, _ := open(t, s.URL, sessionOptions())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := session.DoKey(ctx, "post:create", nil, "unheard"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do: %v", err)
	}
	if _, err := session.Do(t.Context(), "socket:ping", nil); err != nil {
		t.Error(err)
	}
}

func TestSessionClosesWhileItWaits(t *testing.T) {
	o := sessionOptions()
	o.MinBackoff, o.MaxBackoff = time.Hour, time.Hour
	session, states := open(t, scripts(t, func(p *peer) { p.connect(1) }).URL, o)
	failed := make(chan error, 1)
	if err := session.Send("post:create", nil, "", func(_ schema.Frame, err error) { failed <- err }); err != nil {
		t.Fatal(err)
	}
	waitFor(t, states, client.Lost)
	session.Close()
	session.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("what waited failed with %v", err)
	}
}

func TestSessionBoundsWhatItHolds(t *testing.T) {
	held := make(chan struct{})
	s := serveHello(t, schema.Hello{MaxFrameBytes: 1000}, func(p *peer) {
		p.connect(1)
		<-held
		p.echo()
	})
	session, _ := open(t, s.URL, sessionOptions())
	defer close(held)
	if err := session.Send("post:create", strings.Repeat("x", 1000), "", nil); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("a long command: %v", err)
	}
	for range 1024 {
		if err := session.Send("feed:get", nil, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.Send("feed:get", nil, "", nil); !errors.Is(err, client.ErrTooManyPending) {
		t.Errorf("one command more: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := session.Do(ctx, "feed:get", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do: %v", err)
	}
}
