package realtime_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/schema"
)

// follows opens a socket of a moderator that follows the log by a filter.
func (g *gateway) follows(t testing.TB, user string, filter schema.TailFilter) *peer {
	t.Helper()
	p := g.moderates(t, user)
	p.do("admin:tail", schema.AdminTail{Filter: &filter})
	return p
}

// told returns the next record that the tail tells.
func (p *peer) told() schema.AdminRecord {
	p.t.Helper()
	f := p.hears("admin:record", "")
	if f.Seq != 0 {
		p.t.Errorf("%s: a record's frame has seq %d: it is no place to resume from", p.user, f.Seq)
	}
	return as[schema.AdminRecord](p.t, f)
}

// mark appends a record that every tail without a filter tells.
func (g *gateway) mark(t testing.TB) string {
	t.Helper()
	return as[schema.PostCreated](t, g.connect(t, "marker").do("post:create", schema.PostCreate{Content: "mark"})).Post.ID
}

// A tail tells every record after its ack, once, in order, as the log has it: void
// ones with their code, and the moderator's own.
func TestTailTellsTheLog(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.connect(t, "alice")
	post := alice.post("before the tail")
	mod := g.follows(t, "mod", schema.TailFilter{})
	from := g.log.Durable() + 1
	alice.comment(post, "after it")
	mod.post("my own")
	alice.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	// From the side, as another node would: the log decides.
	now := time.Now()
	if _, err := g.log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "post:like", Version: 1, Actor: schema.Actor{ID: "alice", Username: "alice"},
		Entity: "post:" + post, Data: []byte(`{"postId":"` + post + `","action":"like"}`),
	}); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for want, err := range g.log.Read(t.Context(), from, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got := mod.told()
		if got.Seq != want.Seq || got.Event != want.Event || got.Actor != want.Actor || got.Entity != want.Entity || got.Time != want.Time || !sameJSON(got.Data, want.Data) {
			t.Errorf("told %+v, want %+v", got, want)
		}
		codes = append(codes, string(got.Code))
	}
	if got, want := strings.Join(codes, ","), ",,,ALREADY_LIKED"; got != want {
		t.Errorf("codes %q, want %q", got, want)
	}
	mod.heardNothing()
}

func TestTailFilters(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("first")
	tails := map[string]*peer{}
	filters := map[string]schema.TailFilter{
		"all":                {},
		"post:*":             {Events: []string{"post:*"}},
		"likes, follows":     {Events: []string{"post:like", "user:*"}},
		"bob":                {Actor: "bob"},
		"the post":           {Entity: "post:" + post},
		"bob's on the post":  {Events: []string{"post:*"}, Actor: "bob", Entity: "post:" + post},
		"alice's likes":      {Events: []string{"post:like"}, Actor: "alice"},
		"nobody":             {Actor: "nobody"},
		"a post's beginning": {Entity: "post:" + post[:10]},
	}
	for name, filter := range filters {
		tails[name] = g.follows(t, "mod", filter)
	}
	bob.follow("alice")
	bob.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	bob.comment(post, "hello")
	alice.post("second")
	end := g.mark(t)
	want := map[string]string{
		"all":               "user:follow post:like post:comment post:create",
		"post:*":            "post:like post:comment post:create",
		"likes, follows":    "user:follow post:like",
		"bob":               "user:follow post:like post:comment",
		"the post":          "post:like post:comment",
		"bob's on the post": "post:like post:comment",
	}
	for name, tail := range tails {
		// An end of its own, which its new filter lets through.
		tail.do("admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}})
		last := g.mark(t)
		var got []string
		for {
			r := tail.told()
			if r.Entity == "post:"+last {
				break
			}
			if r.Entity != "post:"+end && r.Actor.ID != "marker" {
				got = append(got, r.Event)
			}
		}
		if g := strings.Join(got, " "); g != want[name] {
			t.Errorf("%s: told %q, want %q", name, g, want[name])
		}
	}
	mod := g.moderates(t, "mod")
	for _, events := range []string{"post:crate", "pots:*", "post:join", "feed:get"} {
		mod.refused(schema.InvalidField, "admin:tail", schema.AdminTail{Filter: &schema.TailFilter{Events: []string{"post:*", events}}})
	}
}

// What must end a tail ends it before the ack; one that is refused goes on.
func TestTailsEnd(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxTails = 1 })
	alice := g.connect(t, "alice")
	ends := map[string]func(*peer){
		"stop": func(mod *peer) {
			mod.do("admin:tail", schema.AdminTail{Stop: true})
			mod.do("admin:tail", schema.AdminTail{Stop: true}) // there is none any more
		},
		"the role is gone": func(mod *peer) {
			mod.do("socket:refresh", schema.Refresh{Token: tokenFor(t, "mod")})
			mod.refused(schema.NotPermitted, "admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}})
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			mod := g.follows(t, "mod", schema.TailFilter{})
			mod.do("socket:refresh", schema.Refresh{Token: tokenFor(t, "mod", schema.RoleAdmin)}) // still allowed
			alice.post("heard")
			mod.told()
			g.moderates(t, "other").refused(schema.TooManyTails, "admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}})
			mod.do("admin:tail", schema.AdminTail{Filter: &schema.TailFilter{Actor: "alice"}}) // in place of its first one
			alice.post("heard too")
			mod.told()
			end(mod)
			alice.post("not heard")
			mod.heardNothing()
		})
	}
	for name, end := range map[string]func(*peer){
		"the client closes": func(mod *peer) { mod.Close() },
		"suspension": func(mod *peer) {
			g.moderates(t, "chief").do("admin:suspend", schema.AdminSuspend{UserID: mod.user, Reason: "gone wild"})
			mod.closedWith(schema.CloseSuspended)
		},
	} {
		t.Run(name, func(t *testing.T) {
			end(g.follows(t, strings.Fields(name)[0], schema.TailFilter{}))
			other := g.moderates(t, "other")
			eventually(t, "there is a tail for another", func() bool {
				_, err := other.Do(t.Context(), "admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}}, "")
				return err == nil
			})
			other.do("admin:tail", schema.AdminTail{Stop: true})
		})
	}
}

func TestOnlyModeratorsSeeTheAdminStream(t *testing.T) {
	g := openGateway(t, nil)
	for _, role := range []schema.Role{schema.RoleUser, schema.RoleAuditor, schema.RoleOperator} {
		p := g.connect(t, "curious", role)
		p.refused(schema.NotPermitted, "admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}})
		p.refused(schema.NotPermitted, "admin:tail", schema.AdminTail{Stop: true})
		p.refused(schema.NotPermitted, "admin:history", schema.AdminHistory{})
		p.refused(schema.NotPermitted, "admin:stats", nil)
		g.mark(t)
		p.heardNothing()
	}
	for _, role := range []schema.Role{schema.RoleModerator, schema.RoleAdmin} {
		p := g.connect(t, "entitled", role)
		p.do("admin:tail", schema.AdminTail{Filter: &schema.TailFilter{}})
		p.do("admin:history", schema.AdminHistory{})
		p.do("admin:stats", nil)
	}
}

// stalls opens a moderator's socket that follows the log and does not read.
func (g *gateway) stalls(t testing.TB, user string) *rawSocket {
	t.Helper()
	s := g.user(t, user, schema.RoleModerator)
	s.conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	s.ask("admin:tail", `{"filter":{"events":["post:*"]}}`)
	return s
}

// flood appends posts from the side, as another node would, and returns the place
// of the last one.
func (g *gateway) flood(t testing.TB, posts, size int) (last uint64) {
	t.Helper()
	data := []byte(fmt.Sprintf(`{"content":%q,"hashtags":[]}`, strings.Repeat("x", size)))
	acked := make(chan uint64, posts)
	for range posts {
		now := time.Now()
		id := eventlog.NewID(now)
		err := g.log.Append(t.Context(), eventlog.Record{
			ID: id, Time: schema.TimeOf(now), Event: "post:create", Version: 1,
			Actor: schema.Actor{ID: "flood", Username: "flood"}, Entity: "post:" + id, Data: data,
		}, func(seq uint64, err error) {
			if err != nil {
				t.Error(err)
			}
			acked <- seq
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range posts {
		last = max(last, <-acked)
	}
	return last
}

// Moderators who do not read cost a place in the log and no memory, and delay
// nobody; one who reads late gets everything, in order.
func TestStalledTailsCostNothing(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.WriteTimeout, c.PongTimeout = time.Minute, time.Minute })
	const stalled, posts, size = 8, 10_200, 1500
	var sockets []*rawSocket
	for i := range stalled {
		sockets = append(sockets, g.stalls(t, fmt.Sprint("mod", i)))
	}
	alice := g.connect(t, "alice")
	reader := g.follows(t, "reader", schema.TailFilter{Actor: "flood"})
	before, first := heap(), g.log.Durable()+1

	slowest := time.Duration(0)
	for range 12 {
		g.flood(t, posts/12, size)
		began := time.Now()
		alice.post("I am not delayed")
		slowest = max(slowest, time.Since(began))
		seq := uint64(0)
		for range posts / 12 {
			r := reader.told()
			if r.Seq <= seq {
				t.Fatalf("the one who reads is told %d after %d", r.Seq, seq)
			}
			seq = r.Seq
		}
	}
	if slowest > 2*time.Second {
		t.Errorf("an ack took %v", slowest)
	}
	last := g.mark(t)
	// Of the log, 16 MB are kept in memory for all; a tail that kept what it has not
	// told would hold its 15 MB itself.
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("the heap grew by %d MB for %d tails of %d MB", grown>>20, stalled, posts*size>>20)
	}
	if n := g.server.Stats().Sockets; n != stalled+3 {
		t.Errorf("%d sockets are open, want %d", n, stalled+3)
	}
	late := sockets[0]
	late.conn.SetDeadline(time.Now().Add(20 * time.Second)) // from now on: it was made long ago
	for want, err := range g.log.Read(t.Context(), first, 0) {
		if err != nil {
			t.Fatal(err)
		}
		_, payload, err := late.nextFrame()
		if err != nil {
			t.Fatal(err)
		}
		f := late.decode(payload)
		if f.Event != "admin:record" {
			t.Fatalf("a socket that reads late got %s", payload)
		}
		if r := as[schema.AdminRecord](t, f); r.Seq != want.Seq || r.Entity != want.Entity {
			t.Fatalf("a socket that reads late was told %d, %s, want %d, %s", r.Seq, r.Entity, want.Seq, want.Entity)
		}
		if want.Entity == "post:"+last {
			break
		}
	}
}

// However large the records of the log are, and however many, a tail holds little of
// them at a time.
func TestATailReadsLittleAtATime(t *testing.T) {
	g := openGateway(t, nil)
	for size, want := range map[int]int{1: realtime.TailChunk, 5000: realtime.TailBytes/5000 + 1} {
		first := g.log.Durable() + 1
		if err := g.models.WaitApplied(t.Context(), g.flood(t, realtime.TailChunk+9, size)); err != nil {
			t.Fatal(err)
		}
		sizes, err := g.server.TailReads(t.Context(), first)
		if err != nil || len(sizes) > want || len(sizes) < want*9/10 {
			t.Errorf("of records of %d bytes it holds %d, want %d (%v)", size, len(sizes), want, err)
		}
	}
}

// heap returns the bytes in use once garbage is collected.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A tail that never reads is closed as any socket, and leaves its place to another.
func TestATailThatReadsNothingIsClosed(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxTails = 1
		c.WriteTimeout, c.CloseTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	g.stalls(t, "mod")
	for posts := 0; g.server.Stats().Sockets > 0; posts += 500 {
		if posts > 50_000 {
			t.Fatal("it is waited for")
		}
		g.flood(t, 500, 4000)
	}
	g.follows(t, "other", schema.TailFilter{})
	noted := func() (n int) {
		for _, e := range g.noted(t, schema.AuditSlow) {
			if e.User == "mod" && e.Code == "TOO_SLOW" {
				n++
			}
		}
		return n
	}
	eventually(t, "moderators are told", func() bool { return noted() == 1 })
}
