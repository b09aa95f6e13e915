package realtime_test

import (
	"bytes"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// While the read models have yet to come to a suspension that the sockets were told of,
// their answer lets nobody in: it is asked for again, and who waited is answered.
func TestWhoComesBeforeTheReadModelsKnowWaits(t *testing.T) {
	g := openGateway(t, nil)
	bob := g.connect(t, "bob")
	bob.post("something to come back from")
	for name, resume := range map[string]*schema.Resume{"new": nil, "again": {Epoch: g.log.Epoch(), Seq: 1}} {
		t.Run(name, func(t *testing.T) {
			place := g.log.Durable() + 1
			g.server.Outdate(place)
			var eve *peer
			came := make(chan error, 1)
			go func() {
				var err error
				eve, err = g.dial(t, "eve", client.Options{Token: tokenFor(t, "eve"), Resume: resume})
				came <- err
			}()
			select {
			case err := <-came:
				t.Fatalf("answered by what the read models said before: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			bob.post("the read models go on")
			select {
			case err := <-came:
				if err != nil || eve.Connected().Seq < place {
					t.Errorf("let in before %d, or not at all: %v", place, err)
				}
			case <-time.After(patience):
				t.Fatal("never answered")
			}
		})
	}
}

// Whose token has ended is told so with the next command, the first one too, and not
// heard any more.
func TestCommandsWhenTheTokenHasEnded(t *testing.T) {
	g := openGateway(t, nil)
	for name, c := range map[string]struct {
		connected bool
		command   string
	}{
		"the first":      {false, cmd("post:create", `{"content":"too late"}`)},
		"socket:connect": {false, cmd("socket:connect", "{}")},
		"a later one":    {true, cmd("post:create", `{"content":"too late"}`)},
		"a new token":    {true, cmd("socket:refresh", string(encode(t, schema.Refresh{Token: tokenFor(t, "alice")})))},
	} {
		t.Run(name, func(t *testing.T) {
			for {
				s := g.user(t, "alice")
				if c.connected {
					s.ask("socket:ping", "{}")
				}
				g.server.EndTokens()
				s.write(bytes.Repeat(wire(fin|opText, c.command), 2))
				answer := s.next()
				if answer == "push socket:disconnect" {
					continue // the sweep, which comes every second, was there first
				}
				if answer != "ack 1 TOKEN_EXPIRED" {
					t.Errorf("the answer is %s", answer)
				}
				s.expect("push socket:disconnect", "close 4005 token expired")
				return
			}
		})
	}
}

// Silence does not help who is suspended, whatever the handshake's token says.
func TestASilentSocketOfWhoIsSuspended(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.ConnectTimeout = 100 * time.Millisecond })
	g.moderates(t, "mod").do("admin:suspend", schema.AdminSuspend{UserID: "eve", Reason: "spam"})
	g.user(t, "eve").expect("push socket:disconnect", "close 4503 suspended")
}

// Who is in time is not hurried, though the sweep comes by meanwhile.
func TestTheFirstCommandMayTakeItsTime(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.ConnectTimeout = 2 * time.Second }) // the sweep comes four times as often
	s := g.open(t)
	connect := wire(fin|opText, cmd("socket:connect", string(encode(t, schema.Connect{Token: tokenFor(t, "alice")}))))
	s.write(connect[:20])
	time.Sleep(700 * time.Millisecond) // what is tested is that time goes by: there is nothing to wait for
	s.write(connect[20:])
	s.expect("ack 1")
}
