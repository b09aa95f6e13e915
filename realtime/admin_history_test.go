package realtime_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/schema"
)

// noted returns what the server noted of a kind, oldest first.
func (g *gateway) noted(t testing.TB, kind string) []schema.AuditNote {
	t.Helper()
	return notedIn(t, g.log, kind)
}

// notesRefusal checks that moderators are told of a connection that was refused.
func (g *gateway) notesRefusal(t *testing.T, code, detail string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s, %s, is noted", code, detail), func() bool {
		return slices.ContainsFunc(g.noted(t, schema.AuditRefused), func(e schema.AuditNote) bool { return e.Code == code && e.Detail == detail })
	})
}

func notedIn(t testing.TB, log *eventlog.Log, kind string) (all []schema.AuditNote) {
	t.Helper()
	for r, err := range log.ReadAdmin(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Event != "audit:"+kind {
			continue
		}
		var e schema.AuditNote
		if err := json.Unmarshal(r.Data, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// admin waits until the ADMIN stream has n entries, which follow their facts, and
// returns them newest first.
func (g *gateway) admin(t *testing.T, n int) (all []schema.AuditEntry) {
	t.Helper()
	eventually(t, fmt.Sprintf("ADMIN has %d entries", n), func() bool {
		all = nil
		for r, err := range g.log.ReadAdmin(t.Context(), 1) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.AdminEntry())
		}
		return len(all) == n
	})
	slices.Reverse(all)
	return all
}

// pages reads admin:history to its end, and returns how many pages that took.
func (p *peer) pages(q schema.AdminHistory) (all []schema.AuditEntry, pages int) {
	p.t.Helper()
	for {
		page := as[schema.Items[schema.AuditEntry]](p.t, p.do("admin:history", q))
		if q.Limit != 0 && len(page.Items) > q.Limit {
			p.t.Errorf("a page of %d has %d entries", q.Limit, len(page.Items))
		}
		all = append(all, page.Items...)
		if pages++; page.Next == "" {
			return all, pages
		}
		q.Before = page.Next
	}
}

func TestHistoryShowsFactsAndNotes(t *testing.T) {
	g := openGateway(t, nil)
	mod := g.moderates(t, "mod")
	if page, _ := mod.pages(schema.AdminHistory{}); len(page) != 0 {
		t.Errorf("of a stream that is empty: %+v", page)
	}
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	target := schema.Target{Type: schema.TargetPost, ID: alice.post("buy my ghosts")}
	bob.do("admin:report", schema.AdminReport{Target: target, Reason: "spam"})
	mod.do("admin:remove", spam(target))
	// Another one is void: the log has it from a node that had not heard of the first.
	now := time.Now()
	void := must(g.log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "admin:remove", Entity: "post:" + target.ID,
		Actor: schema.Actor{ID: "mod", Username: "mod"}, Data: encode(t, spam(target)),
	}))
	bob.refused(schema.NotPermitted, "admin:remove", spam(target))
	want := g.admin(t, 4)
	for i := range want {
		if want[i].LogSeq == void {
			want[i].Code = schema.AlreadyRemoved
		}
	}
	for _, c := range []struct {
		q    schema.AdminHistory
		keep func(schema.AuditEntry) bool
		n    int
	}{
		{schema.AdminHistory{}, func(schema.AuditEntry) bool { return true }, 4},
		{schema.AdminHistory{Event: "admin:report"}, func(e schema.AuditEntry) bool { return e.Event == "admin:report" }, 1},
		{schema.AdminHistory{Event: "admin:remove"}, func(e schema.AuditEntry) bool { return e.Event != "admin:report" }, 3}, // bob's refusal too
		{schema.AdminHistory{Event: "audit:refused"}, func(e schema.AuditEntry) bool { return e.Kind == schema.AuditRefused }, 1},
		{schema.AdminHistory{Event: "admin:remove", Actor: "mod"}, func(e schema.AuditEntry) bool { return e.Event == "admin:remove" }, 2},
		{schema.AdminHistory{Actor: "bob"}, func(e schema.AuditEntry) bool { return e.Event != "admin:remove" }, 2},
		{schema.AdminHistory{Actor: "nobody"}, func(schema.AuditEntry) bool { return false }, 0},
	} {
		var expect []schema.AuditEntry
		for _, e := range want {
			if c.keep(e) {
				expect = append(expect, e)
			}
		}
		if len(expect) != c.n {
			t.Fatalf("%+v: %d entries, want %d: %+v", c.q, len(expect), c.n, want)
		}
		for _, c.q.Limit = range []int{0, 1, 2} {
			if got, _ := mod.pages(c.q); show(got) != show(expect) {
				t.Errorf("%+v: got\n%s\nwant\n%s", c.q, show(got), show(expect))
			}
		}
	}
	if got, _ := mod.pages(schema.AdminHistory{Page: schema.Page{Before: "1"}}); len(got) != 0 {
		t.Errorf("before the first: %+v", got)
	}
}

func show(entries []schema.AuditEntry) string {
	var b strings.Builder
	for _, e := range entries {
		j, _ := json.Marshal(e)
		fmt.Fprintf(&b, "%s\n", j)
	}
	return b.String()
}

// A filter that matches little does not make one page read the whole stream: the
// page ends early, and the next one goes on.
func TestHistoryOfMuchEndsItsPagesEarly(t *testing.T) {
	g := openGateway(t, nil)
	const notes = 3000
	for i := range notes {
		user := "many"
		if i%1000 == 0 {
			user = "rare"
		}
		if err := g.log.Audit(schema.AuditRefused, schema.AuditNote{User: user, Code: "RATE_LIMITED", Count: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	all := g.admin(t, notes)
	mod := g.moderates(t, "mod")
	got, pages := mod.pages(schema.AdminHistory{Actor: "rare"})
	if len(got) != 3 || pages < 3 || pages > 5 {
		t.Errorf("%d entries on %d pages", len(got), pages)
	}
	got, pages = mod.pages(schema.AdminHistory{Page: schema.Page{Limit: 100}})
	if show(got) != show(all) || pages != notes/100 {
		t.Errorf("%d of %d entries on %d pages", len(got), notes, pages)
	}
}

func TestStats(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	g.connect(t, "alice")
	mod := g.moderates(t, "mod")
	post := alice.post("buy my ghosts")
	bob.do("post:join", schema.PostRef{PostID: post})
	bob.do("admin:report", schema.AdminReport{Target: schema.Target{Type: schema.TargetPost, ID: post}, Reason: "spam"})
	got := as[schema.AdminStats](t, mod.do("admin:stats", nil))
	want := schema.AdminStats{
		Sockets: 4, Users: 3, Rooms: 6, OpenReports: 1, // user:alice, user:bob, user:mod, public, admin, the post's
		Log: schema.LogStats{Epoch: g.log.Epoch(), First: 1, Durable: 2, Applied: 2},
	}
	if got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
}

// What was counted is told in time, though nothing like it follows and the server
// stays.
func TestCountedRefusalsAreToldInTime(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.AuditEvery, c.WriteTimeout = 50*time.Millisecond, 100*time.Millisecond })
	bob := g.connect(t, "bob")
	var sent uint64
	for told := uint64(0); told <= 1; { // all of the first ones may come apart from each other
		for range 20 {
			bob.refused(schema.NotPermitted, "admin:stats", nil)
			sent++
		}
		eventually(t, "the counts add up", func() bool {
			sum := uint64(0)
			for _, e := range g.noted(t, schema.AuditRefused) {
				sum += e.Count
				told = max(told, e.Count)
			}
			return sum == sent
		})
	}
}

// Of a hundred refusals two are written: the first at once, and the others as a
// count, when the server leaves at the latest.
func TestRefusalsAreSampledAndAddUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const refusals = 100
	t.Run("a server", func(t *testing.T) {
		g := openGatewayIn(t, dir, nil)
		bob, eve := g.connect(t, "bob"), g.connect(t, "eve")
		for range refusals {
			bob.refused(schema.NotPermitted, "admin:stats", nil)
		}
		eve.refused(schema.NotPermitted, "admin:reports", nil)
		for range refusals {
			if _, resp := g.handshake(t, strings.Replace(goodHandshake, "\r\n\r\n", "\r\nAuthorization: Bearer x\r\n\r\n", 1)); resp.StatusCode != 401 {
				t.Fatal(resp.Status)
			}
		}
		eventually(t, "the first of each is noted", func() bool { return len(g.noted(t, schema.AuditRefused)) == 3 })
	})
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	type about struct{ user, event, code, detail string }
	counts, entries := map[about][]uint64{}, 0
	for _, e := range notedIn(t, log, schema.AuditRefused) {
		a := about{e.User, e.Event, e.Code, e.Detail}
		counts[a] = append(counts[a], e.Count)
		if entries++; e.Since == 0 || e.Others {
			t.Errorf("an entry is %+v", e)
		}
	}
	for a, want := range map[about]string{
		{"bob", "admin:stats", "NOT_PERMITTED", ""}:   "[1 99]",
		{"eve", "admin:reports", "NOT_PERMITTED", ""}: "[1]",
		{"", "", "HTTP_401", "token"}:                 "[1 99]",
	} {
		if got := fmt.Sprint(counts[a]); got != want {
			t.Errorf("%+v: counts %s, want %s", a, got, want)
		}
	}
	if entries != 5 {
		t.Errorf("%d entries: %v", entries, counts)
	}
}
