package realtime_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// comesBackWith tries socket:connect on a socket that says where it was, and returns
// the socket.
func (g *gateway) comesBackWith(t *testing.T, user string, resume *schema.Resume, code schema.Code) *peer {
	t.Helper()
	p, err := g.dial(t, user, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.refused(code, "socket:connect", schema.Connect{Token: tokenFor(t, user), Resume: resume})
	return p
}

// Who was suspended while away is not told what they missed, nor anything after it.
func TestWhoWasSuspendedWhileAwayIsNotToldWhatTheyMissed(t *testing.T) {
	g := openGateway(t, nil)
	alice, eve := g.connect(t, "alice"), g.connect(t, "eve")
	eve.follow("alice")
	left := g.models.Applied()
	eve.Close()
	alice.post("while eve was away")
	mod := g.moderates(t, "mod")
	mod.do("admin:suspend", schema.AdminSuspend{UserID: "eve", Reason: "spam"})
	for _, epoch := range []string{g.log.Epoch(), strings.Repeat("0", 26)} {
		back := g.comesBackWith(t, "eve", &schema.Resume{Epoch: epoch, Seq: left}, schema.Suspended)
		back.closedWith(schema.CloseSuspended)
		for len(back.pushes) > 0 {
			if f := <-back.pushes; f.Event != "socket:disconnect" {
				t.Errorf("told %s: %s", f.Event, f.Data)
			}
		}
	}
	mod.do("admin:reinstate", schema.AdminReinstate{UserID: "eve", Reason: "sorry"})
	if missed := g.comesBack(t, "eve", left).caughtUp(); len(missed) != 1 || missed[0].Event != "post:create" {
		t.Errorf("when she may come back she is told %v", told(missed))
	}
}

// A socket that comes back is one of its user's as any other.
func TestComingBackTakesASeat(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxSocketsPerUser = 1 })
	alice := g.connect(t, "alice")
	alice.post("missed")
	back := g.comesBackWith(t, "alice", &schema.Resume{Epoch: g.log.Epoch()}, schema.TooManySockets)
	back.closedWith(schema.CloseTooManySockets)
	for len(back.pushes) > 0 {
		if f := <-back.pushes; f.Event != "socket:disconnect" {
			t.Errorf("told %s: %s", f.Event, f.Data)
		}
	}
}

// Naming the room of a conversation is no way into it: neither to what was said in it
// nor to what will be.
func TestComingBackIsNoWayIntoAConversation(t *testing.T) {
	c := newCircle(t)
	room := schema.ConversationRoom(c.group)
	c.bob.say(c.group, "not for carol, nor dave")
	for _, user := range []string{"carol", "dave"} {
		back := c.comesBack(t, user, c.log.Last()-1, room)
		if rooms := fmt.Sprint(back.Connected().Rooms); strings.Contains(rooms, "conversation") {
			t.Errorf("%s is in %s", user, rooms)
		}
		if missed := back.caughtUp(); len(missed) > 0 {
			t.Errorf("%s is told %v", user, told(missed))
		}
		c.bob.say(c.group, "neither is this")
		back.heardNothing()
	}
}

// Who was away for longer than a user is kept in mind misses nothing by that.
func TestComingBackWhenNobodyKnewOfOne(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = time.Millisecond })
	alice := g.connect(t, "alice")
	g.connect(t, "bob").Close()
	eventually(t, "bob is gone", func() bool { return g.server.Stats().Users == 1 && !online(t, alice, "bob").Online })
	alice.post("missed by nobody else")
	alice.do("user:follow", schema.UserFollow{FollowingID: "bob", Action: "follow"})
	if missed := g.comesBack(t, "bob", 0).caughtUp(); len(missed) != 1 {
		t.Errorf("told %v", told(missed))
	}
}

// A client that another server of the log told more than this one has applied waits
// until it has: it would be told twice what it heard there.
func TestComingBackFromAServerThatIsAhead(t *testing.T) {
	ahead := must(eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir()}))
	t.Cleanup(func() { ahead.Close() })
	g := openGateway(t, func(c *realtime.Config) { c.Log = ahead })
	posted := func(log *eventlog.Log) (seq uint64) {
		now := time.Now()
		id := eventlog.NewID(now)
		return must(log.AppendWait(t.Context(), eventlog.Record{
			ID: id, Time: schema.TimeOf(now), Event: "post:create", Entity: "post:" + id,
			Actor: schema.Actor{ID: "alice"}, Data: encode(t, schema.PostCreate{Content: "heard elsewhere"}),
		}))
	}
	bob := g.connect(t, "bob")
	heard := posted(ahead)
	phone := must(g.dial(t, "alice", client.Options{}))
	connected := make(chan schema.Frame, 1)
	resume := &schema.Resume{Epoch: ahead.Epoch(), Seq: heard}
	if err := phone.Send("socket:connect", schema.Connect{Token: tokenFor(t, "alice"), Resume: resume}, "", func(f schema.Frame) { connected <- f }); err != nil {
		t.Fatal(err)
	}
	for range 50 { // it is not that the server has no time
		bob.do("feed:get", schema.Page{})
	}
	posted(g.log)
	select {
	case f := <-connected:
		if got := as[schema.Connected](t, f); !got.Resumed || got.Seq != heard {
			t.Errorf("connected as of %d, resumed %v, want %d", got.Seq, got.Resumed, heard)
		}
	case <-time.After(patience):
		t.Fatal("alice waits for ever")
	}
	if missed := phone.until("socket:resumed"); len(missed) != 1 {
		t.Errorf("told %v", told(missed))
	}
}
