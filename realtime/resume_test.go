package realtime_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// comesBack opens a socket of the user that was in the rooms and heard everything
// up to seq.
func (g *gateway) comesBack(t testing.TB, user string, seq uint64, rooms ...string) *peer {
	t.Helper()
	resume := &schema.Resume{Epoch: g.log.Epoch(), Seq: seq, Rooms: rooms}
	return g.connectWith(t, user, client.Options{Token: tokenFor(t, user), Resume: resume})
}

// until returns the pushes up to one of that event, which is the last.
func (p *peer) until(event string) (heard []schema.Frame) {
	p.t.Helper()
	for {
		select {
		case f := <-p.pushes:
			if heard = append(heard, f); f.Event == event {
				return heard
			}
		case <-time.After(patience):
			p.t.Fatalf("%s did not hear %s after %d other pushes", p.user, event, len(heard))
		}
	}
}

// caughtUp returns the missed pushes that the socket is told, and checks what
// socket:resumed says of them.
func (p *peer) caughtUp() []schema.Frame {
	p.t.Helper()
	if !p.Connected().Resumed {
		p.t.Fatalf("%s was not resumed: %+v", p.user, (<-p.pushes))
	}
	heard := p.until("socket:resumed")
	last := heard[len(heard)-1]
	heard = heard[:len(heard)-1]
	facts := len(p.missedNotes())
	for _, f := range heard {
		if f.Seq != 0 {
			facts++
		}
	}
	if said := as[schema.Resumed](p.t, last); said.Count != facts || said.Seq < p.Connected().Seq {
		p.t.Errorf("%s: %d pushes, and then %s", p.user, len(heard), last.Data)
	}
	return heard
}

// missedNotes returns the notifications that a client which comes back is told: the
// count comes last, right before socket:resumed.
func (p *peer) missedNotes() (notes []schema.Notification) {
	p.t.Helper()
	for {
		f := <-p.notes
		if f.Event == "notification:count" {
			return notes
		}
		notes = append(notes, as[schema.NotificationNew](p.t, f).Notification)
	}
}

// told shows pushes without what differs from socket to socket.
func told(frames []schema.Frame) []string {
	var all []string
	for _, f := range frames {
		all = append(all, fmt.Sprintf("%d %s %s %s %s", f.Seq, f.Event, f.Room, f.Time, f.Data))
	}
	return all
}

// sameAs checks that one socket was told exactly what another was.
func sameAs(t testing.TB, got, want []schema.Frame) {
	t.Helper()
	a, b := told(got), told(want)
	if !slices.Equal(a, b) {
		t.Errorf("told\n  %s\nwant\n  %s", strings.Join(a, "\n  "), strings.Join(b, "\n  "))
	}
}

func TestAClientIsToldWhatItMissed(t *testing.T) {
	g := openGateway(t, nil)
	alice, carol := g.connect(t, "alice"), g.connect(t, "carol")
	tablet := g.connect(t, "bob") // stays
	tablet.follow("alice")
	post, other := alice.post("first"), alice.post("second")
	tablet.do("post:join", schema.PostRef{PostID: post})
	carol.do("post:join", schema.PostRef{PostID: other})
	tablet.do("post:join", schema.PostRef{PostID: other})
	tablet.until("post:create")
	tablet.until("post:create")
	left := tablet.do("post:like", schema.PostAction{PostID: post, Action: "like"}).Seq

	third := alice.post("third")
	alice.do("post:update", schema.PostUpdate{PostID: post, Content: "first, corrected"})
	alice.comment(post, "a comment")
	carol.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	carol.do("post:like", schema.PostAction{PostID: third, Action: "like"}) // in a room that bob is not in
	carol.do("post:share", schema.PostShare{PostID: post})
	comment := carol.comment(other, "another")
	carol.do("comment:update", schema.CommentUpdate{PostID: other, CommentID: comment, Content: "better"})
	carol.follow("bob")
	carol.do("user:friend-request", schema.TargetAction{TargetID: "bob", Action: "send"})
	carol.follow("alice")
	alice.do("post:delete", schema.PostRef{PostID: third})
	carol.do("post:like", schema.PostAction{PostID: post, Action: "unlike"})

	phone := g.comesBack(t, "bob", left, "post:"+post, "post:"+other)
	if want := []string{"user:bob", "public", "post:" + post, "post:" + other}; !slices.Equal(phone.Connected().Rooms, want) {
		t.Errorf("rooms %v, want %v", phone.Connected().Rooms, want)
	}
	missed := phone.caughtUp()
	alice.comment(post, "the end")
	stayed := tablet.until("post:comment")
	for stayed[len(stayed)-1].Seq < missed[len(missed)-1].Seq {
		stayed = append(stayed, tablet.until("post:comment")...)
	}
	live := stayed[len(stayed)-1]
	// The third post is gone since: bob is not told of it, and was in no room of it.
	stayed = slices.DeleteFunc(stayed[:len(stayed)-1], func(f schema.Frame) bool { return f.Event == "post:create" })
	sameAs(t, missed, stayed)
	sameAs(t, []schema.Frame{phone.hears("post:comment", "post:"+post)}, []schema.Frame{live})
	phone.heardNothing()
}

func TestWhatIsGoneOrForbiddenIsNotToldAgain(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob, carol := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "carol")
	post := alice.post("of alice")
	bob.follow("alice")
	bob.follow("carol")
	bob.do("post:join", schema.PostRef{PostID: post})
	left := g.models.Applied()
	bob.Close()

	alice.post("while bob followed")
	carol.post("of someone bob then unfollows")
	comment := carol.comment(post, "regretted")
	carol.do("comment:delete", schema.CommentDelete{PostID: post, CommentID: comment})
	deleted := alice.post("deleted")
	alice.do("post:delete", schema.PostRef{PostID: deleted})
	elsewhere := g.connect(t, "bob")
	elsewhere.do("user:follow", schema.UserFollow{FollowingID: "carol", Action: "unfollow"})
	dave := g.connect(t, "dave")
	dave.post("before bob followed dave")
	elsewhere.follow("dave")
	dave.post("after")
	alice.do("post:delete", schema.PostRef{PostID: post})

	back := g.comesBack(t, "bob", left, "post:"+post, "user:alice", "admin", "public", "user:bob", "post:"+strings.Repeat("0", 26))
	if rooms := back.Connected().Rooms; !slices.Equal(rooms, []string{"user:bob", "public"}) {
		t.Errorf("rooms %v", rooms)
	}
	var events []string
	for _, f := range back.caughtUp() {
		events = append(events, f.Event+" in "+strings.Replace(f.Room, post, "P", 1))
	}
	want := []string{
		"post:create in user:bob", "user:follow in user:bob", "user:follow in user:bob", "post:create in user:bob", "post:delete in post:P",
	}
	if !slices.Equal(events, want) {
		t.Errorf("told\n  %s\nwant\n  %s", strings.Join(events, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestResync(t *testing.T) {
	var wrong sheet
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxResume, c.Logger = 5, slog.New(slog.NewTextHandler(&wrong, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	alice := g.connect(t, "alice")
	alice.postMany(6, "more")
	end := g.models.Applied()
	for _, c := range []struct {
		reason string
		resume schema.Resume
	}{
		{schema.ResyncEpoch, schema.Resume{Epoch: strings.Repeat("0", 26), Seq: end}},
		{schema.ResyncEpoch, schema.Resume{Epoch: strings.Repeat("0", 26), Seq: end + 1000}},
		{schema.ResyncEpoch, schema.Resume{Epoch: strings.Repeat("0", 26)}}, // nor is it too far
		{schema.ResyncFuture, schema.Resume{Epoch: g.log.Epoch(), Seq: end + 1}},
		{schema.ResyncTooFar, schema.Resume{Epoch: g.log.Epoch(), Seq: end - 6}},
		{schema.ResyncTooFar, schema.Resume{Epoch: g.log.Epoch()}},
	} {
		phone := g.connectWith(t, "alice", client.Options{Token: tokenFor(t, "alice"), Resume: &c.resume})
		if phone.Connected().Resumed || phone.Connected().Seq != end {
			t.Errorf("%s: %+v", c.reason, phone.Connected())
		}
		if got := as[schema.Resync](t, phone.hears("socket:resync", "")); got.Reason != c.reason || got.Seq != end {
			t.Errorf("resync %+v, want %s", got, c.reason)
		}
		phone.do("socket:ping", nil) // a socket like any other
		phone.Close()
	}
	if wrong.String() != "" {
		t.Errorf("the server says\n%s", &wrong)
	}
	phone := g.comesBack(t, "alice", end-5)
	if missed := phone.caughtUp(); len(missed) != 5 {
		t.Errorf("told of %d", len(missed))
	}
	alice.post("live")
	phone.hears("post:create", "user:alice")
}

// A user who comes back again and again does not make the server read for ever. Only
// what they are told counts.
func TestAUserIsToldAgainOnlySoOften(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxResume, c.PresenceGrace = 10, time.Hour })
	alice := g.connect(t, "alice")
	alice.postMany(11, "more")
	resync := func(reason string, resume schema.Resume) {
		t.Helper()
		phone := g.connectWith(t, "alice", client.Options{Token: tokenFor(t, "alice"), Resume: &resume})
		defer phone.Close()
		if got := as[schema.Resync](t, phone.hears("socket:resync", "")); got.Reason != reason {
			t.Errorf("resync %+v, want %s", got, reason)
		}
	}
	for range 10 {
		resync(schema.ResyncTooFar, schema.Resume{Epoch: g.log.Epoch()})
		phone := g.comesBack(t, "alice", 1)
		if missed := phone.caughtUp(); len(missed) != 10 {
			t.Fatalf("told of %d", len(missed))
		}
		phone.Close()
	}
	resync(schema.ResyncUnavailable, schema.Resume{Epoch: g.log.Epoch(), Seq: 1})
	resync(schema.ResyncTooFar, schema.Resume{Epoch: g.log.Epoch()})
	resync(schema.ResyncEpoch, schema.Resume{Epoch: strings.Repeat("0", 26), Seq: 1})
}

// Clients come back at every moment of a busy server: each has heard all, once.
func TestComingBackWhileTrafficGoesOn(t *testing.T) {
	g := openGateway(t, nil)
	const writers, posts = 4, 250
	var follower = g.connect(t, "bob")
	for i := range writers {
		follower.follow(fmt.Sprintf("writer%d", i))
	}
	start := g.models.Applied()
	follower.Close()
	var writing sync.WaitGroup
	for i := range writers {
		writer := g.connect(t, fmt.Sprintf("writer%d", i))
		writing.Go(func() {
			for range posts / 10 {
				writer.postMany(10, "more")
			}
		})
	}
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			seq, heard := start, 0
			for heard < writers*posts {
				back := g.comesBack(t, "bob", seq)
				stay := 1 + (heard+r*7)%40
				for stay > 0 && heard < writers*posts {
					select {
					case f := <-back.pushes:
						if f.Event == "post:create" {
							if f.Seq <= seq {
								t.Errorf("told of %d again, at %d", f.Seq, seq)
							}
							seq, heard, stay = f.Seq, heard+1, stay-1
						}
					case <-time.After(patience):
						t.Errorf("reader %d heard %d of %d", r, heard, writers*posts)
						return
					}
				}
				back.Close()
			}
		})
	}
	writing.Wait()
	readers.Wait()
	if want := start + writers*posts; g.models.Applied() < want {
		t.Errorf("the log ends at %d, want %d", g.models.Applied(), want)
	}
}

// More is missed than the log keeps in memory, and than a queue holds.
func TestFarBehind(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxQueuedFrames, c.MaxQueuedBytes = 64, 64<<10 })
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	bob.follow("alice")
	first := alice.post("first")
	start := g.models.Applied()
	bob.Close()
	const missed = 9_000
	for range missed / 60 {
		alice.postMany(60, "more")
	}
	back := g.comesBack(t, "bob", start-1)
	heard := back.caughtUp()
	if len(heard) != missed+1 || as[schema.PostCreated](t, heard[0]).Post.ID != first {
		t.Errorf("told of %d, want %d", len(heard), missed+1)
	}
	for i, f := range heard {
		if f.Seq != start+uint64(i) {
			t.Fatalf("push %d is of %d, want %d", i, f.Seq, start+uint64(i))
		}
	}
}

// Long pushes are read a few at a time, whichever of them are left over.
func TestLongPushesAreMissed(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	start := g.models.Applied()
	alice.postMany(50, strings.Repeat("\U0001F4DC", 4000))
	heard := g.comesBack(t, "alice", start).caughtUp()
	if len(heard) != 50 {
		t.Errorf("told of %d, want 50", len(heard))
	}
	for i, f := range heard {
		if f.Seq != start+1+uint64(i) {
			t.Fatalf("push %d is of %d, want %d", i, f.Seq, start+1+uint64(i))
		}
	}
}

func TestCommandsWaitForTheResume(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	alice.postMany(50, "more")
	back := g.comesBack(t, "alice", 0)
	ack := back.do("post:create", schema.PostCreate{Content: "mine"})
	if len(back.pushes) < 51 {
		t.Errorf("the ack of %d came after %d pushes of what was missed, want 50 and socket:resumed", ack.Seq, len(back.pushes))
	}
	alice.hears("post:create", "user:alice")
}
