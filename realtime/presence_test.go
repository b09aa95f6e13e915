package realtime_test

import (
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/schema"
)

func online(t testing.TB, p *peer, user string) schema.Presence {
	t.Helper()
	items := as[schema.Items[schema.Presence]](t, p.do("presence:get", schema.PresenceGet{UserIDs: []string{user}})).Items
	if len(items) != 1 || items[0].UserID != user {
		t.Fatalf("presence of %s: %+v", user, items)
	}
	return items[0]
}

func TestPresence(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = 40 * time.Millisecond })
	bob, tablet, erin := g.connect(t, "bob"), g.connect(t, "bob"), g.connect(t, "erin")
	bob.follow("alice")
	tablet.hears("user:follow", "user:bob")
	if got := online(t, erin, "alice"); got.Online || got.LastSeen != nil {
		t.Errorf("alice, who was never here: %+v", got)
	}

	before := time.Now().Add(-time.Second)
	alice := g.connect(t, "alice")
	for _, p := range []*peer{bob, tablet} {
		if got := as[schema.UserPresence](t, p.hears("user:online", "user:bob")); got.UserID != "alice" || got.LastSeen.Go().Before(before) {
			t.Errorf("%+v", got)
		}
	}
	for range 3 { // it is now that she is seen
		first := *online(t, erin, "alice").LastSeen
		eventually(t, "a moment passes", func() bool { return *online(t, erin, "alice").LastSeen > first })
	}
	phone := g.connect(t, "alice") // a second device is no news
	if got := online(t, erin, "alice"); !got.Online || got.LastSeen == nil {
		t.Errorf("alice, online: %+v", got)
	}
	alice.Close()
	eventually(t, "one socket is gone", func() bool { return g.server.Stats().Sockets == 4 })
	if !online(t, bob, "alice").Online {
		t.Error("alice is offline with a device open")
	}
	phone.Close()
	for _, p := range []*peer{bob, tablet} {
		if got := as[schema.UserPresence](t, p.hears("user:offline", "user:bob")); got.UserID != "alice" || got.LastSeen.Go().Before(before) {
			t.Errorf("%+v", got)
		}
	}
	if got := online(t, erin, "alice"); got.Online || got.LastSeen == nil || got.LastSeen.Go().Before(before) {
		t.Errorf("alice, gone: %+v", got)
	}
	for _, p := range []*peer{bob, tablet, erin} {
		p.heardNothing()
	}
}

func TestBackWithinTheGracePeriod(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = 500 * time.Millisecond })
	bob := g.connect(t, "bob")
	bob.follow("alice")
	bob.follow("zoe")
	alice := g.connect(t, "alice")
	bob.hears("user:online", "user:bob")
	zoe := g.connect(t, "zoe")
	bob.hears("user:online", "user:bob")
	alice.Close()
	eventually(t, "her socket is gone", func() bool { return g.server.Stats().Sockets == 2 })
	var gone schema.Presence
	eventually(t, "she left a moment ago", func() bool {
		asked := schema.TimeOf(time.Now())
		gone = online(t, bob, "alice")
		return !gone.Online || asked-*gone.LastSeen >= 20
	})
	if !gone.Online {
		t.Error("alice is offline within the grace period")
	}
	g.connect(t, "alice")
	zoe.Close()
	// Zoe left after alice did: when bob hears of her, alice's time was up as well.
	if got := as[schema.UserPresence](t, bob.hears("user:offline", "user:bob")); got.UserID != "zoe" {
		t.Errorf("bob heard of %s, who was back in time", got.UserID)
	}
	bob.heardNothing()
}

func TestBlockedUsersDoNotSeeEachOther(t *testing.T) {
	g := openGateway(t, nil)
	bob, carol := g.connect(t, "bob"), g.connect(t, "carol")
	bob.follow("alice")
	carol.follow("alice")
	alice := g.connect(t, "alice")
	bob.hears("user:online", "user:bob")
	carol.hears("user:online", "user:carol")
	alice.do("user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
	if got := online(t, bob, "alice"); got.Online || got.LastSeen != nil {
		t.Errorf("alice blocks bob, who sees %+v", got)
	}
	if got := online(t, alice, "bob"); got.Online || got.LastSeen != nil {
		t.Errorf("alice sees %+v of whom she blocks", got)
	}
	if !online(t, carol, "alice").Online {
		t.Error("carol does not see alice any more")
	}
}

func TestLastSeenSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	var left schema.Time
	t.Run("first run", func(t *testing.T) {
		g := openGatewayIn(t, dir, func(c *realtime.Config) { c.PresenceGrace = 20 * time.Millisecond })
		bob, alice := g.connect(t, "bob"), g.connect(t, "alice")
		alice.Close() // she did nothing: the read models know nothing of her
		eventually(t, "she is gone", func() bool {
			p := online(t, bob, "alice")
			if !p.Online {
				left = *p.LastSeen
			}
			return !p.Online
		})
	})
	g := openGatewayIn(t, dir, nil)
	bob := g.connect(t, "bob")
	eventually(t, "the stored signals are read", func() bool { return online(t, bob, "alice").LastSeen != nil })
	if got := *online(t, bob, "alice").LastSeen; got.Go().Sub(left.Go()).Abs() > time.Second {
		t.Errorf("alice was last seen %v, not %v", got, left)
	}
}

// A user may be connected to another server of the same log.
func TestSeenByAnotherServer(t *testing.T) {
	g := openGateway(t, nil)
	bob := g.connect(t, "bob")
	seen := schema.TimeOf(time.Now().Add(-time.Minute))
	if err := g.log.Signal(eventlog.Record{
		ID: eventlog.NewID(time.Now()), Time: seen, Event: "socket:connect", Entity: "user:alice",
		Actor: schema.Actor{ID: "alice", Username: "alice"}, Data: []byte(`{}`), Socket: "elsewhere",
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bob sees that she was there", func() bool { return online(t, bob, "alice").LastSeen != nil })
	if got := online(t, bob, "alice"); got.Online || *got.LastSeen != seen {
		t.Errorf("alice, on another server at %v: %+v", seen, got)
	}
}

// Whoever shares a conversation with a user is told as well as who follows them,
// each socket once.
func TestPresenceOfThoseOneTalksWith(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = 20 * time.Millisecond })
	bob, carol, dave, erin := g.connect(t, "bob"), g.connect(t, "carol"), g.connect(t, "dave"), g.connect(t, "erin")
	bob.group("With alice", "alice")
	bob.direct("alice")
	bob.follow("alice")
	carol.direct("alice")
	dave.removes(dave.group("Without alice", "alice"), "alice")
	crowd := append([]string{"alice"}, numbers(99)...)
	erin.adds(erin.group("Crowd", crowd...), "zoe") // 102 with erin
	blocker := g.connect(t, "frank")
	blocker.direct("alice")
	blocker.do("user:block", schema.TargetAction{TargetID: "alice", Action: "block"})

	alice := g.connect(t, "alice")
	for _, p := range []*peer{bob, carol} {
		if got := as[schema.UserPresence](t, p.hears("user:online", "user:"+p.user)); got.UserID != "alice" {
			t.Errorf("%s heard of %+v", p.user, got)
		}
	}
	alice.Close()
	for _, p := range []*peer{bob, carol} {
		p.hears("user:offline", "user:"+p.user)
	}
	for _, p := range []*peer{bob, carol, dave, erin, blocker} {
		p.heardNothing()
	}
}
