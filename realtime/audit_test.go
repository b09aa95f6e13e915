package realtime

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/schema"
)

// written is what an auditor put into the ADMIN stream.
type written struct {
	kind  string
	entry auditEntry
}

func testAuditor() (*auditor, *[]written) {
	var all []written
	a := newAuditor(nil, auditEvery, slog.New(slog.DiscardHandler))
	a.record = func(kind string, data any) error {
		all = append(all, written{kind, *data.(*auditEntry)})
		return nil
	}
	return &a, &all
}

const auditEvery = time.Minute

var auditStart = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// The first is told at once, those that follow when a minute is over, though nothing
// like them comes any more.
func TestAuditCountsWhatFollows(t *testing.T) {
	a, all := testAuditor()
	bob := auditEntry{User: "bob", Code: "RATE_LIMITED"}
	now := auditStart
	for i := range 5 {
		bob.Socket, bob.Event = fmt.Sprint("socket ", i), fmt.Sprint("event:", i)
		a.noteAt(schema.AuditRefused, bob, now.Add(time.Duration(i)*time.Second))
	}
	a.sweep(now.Add(auditEvery - time.Millisecond))
	if len(*all) != 1 || (*all)[0].entry.Count != 1 || (*all)[0].entry.Socket != "socket 0" {
		t.Fatalf("before a minute is over: %+v", *all)
	}
	a.sweep(now.Add(auditEvery))
	if len(*all) != 2 || (*all)[1].entry.Count != 4 || (*all)[1].entry.Event != "event:4" || (*all)[1].entry.Since != schema.TimeOf(now.Add(time.Second)) {
		t.Fatalf("after it: %+v", *all)
	}
	a.sweep(now.Add(2 * auditEvery))
	if len(*all) != 2 || len(a.tallies) != 0 {
		t.Errorf("a quiet minute later: %+v, %d tallies", *all, len(a.tallies))
	}
}

// A crowd of identities gets only so many entries and so much memory, and the counts
// of those who were there before are not lost in it.
func TestAuditOfACrowd(t *testing.T) {
	a, all := testAuditor()
	now := auditStart
	for range 50 {
		a.noteAt(schema.AuditRefused, auditEntry{User: "bob", Code: "NOT_PERMITTED"}, now)
	}
	const crowd = 100_000
	for i := range crowd {
		a.noteAt(schema.AuditRefused, auditEntry{User: fmt.Sprint("user ", i), Code: "NOT_PERMITTED"}, now)
	}
	a.noteAt(schema.AuditSlow, auditEntry{User: "alice", Code: "TOO_SLOW"}, now) // another kind has its own budget
	if len(*all) != auditEntries+1 || len(a.tallies) > auditEntries+2 {
		t.Fatalf("%d entries, %d tallies", len(*all), len(a.tallies))
	}
	if last := (*all)[len(*all)-1]; last.kind != schema.AuditSlow {
		t.Errorf("the last entry is %+v", last)
	}
	a.sweep(now.Add(auditEvery))
	var bobs, sum uint64
	for _, w := range *all {
		if w.kind != schema.AuditRefused {
			continue
		}
		sum += w.entry.Count
		if w.entry.User == "bob" {
			bobs += w.entry.Count
		}
		if w.entry.Others && w.entry.User != "" {
			t.Errorf("an entry of many names one: %+v", w.entry)
		}
	}
	// The minute gave the budget ten entries: bob, who did the most, has one.
	if bobs != 50 || sum != crowd+50 {
		t.Errorf("%d of bob, %d in all", bobs, sum)
	}
	a.sweep(now.Add(2 * auditEvery))
	if len(a.tallies) > 2 {
		t.Errorf("%d tallies are kept of nothing", len(a.tallies))
	}
}

// Whatever comes, the counts of all entries add up to what was noted, by kind and
// reason, and there are never more entries than the budgets and the crowds allow.
func TestAuditAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, all := testAuditor()
		now := auditStart
		type reason struct{ kind, code, detail string }
		want := map[reason]uint64{}
		crowds := map[reason]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			r := reason{
				rapid.SampledFrom([]string{schema.AuditRefused, schema.AuditSlow}).Draw(t, "kind"),
				rapid.SampledFrom([]string{"A", "B"}).Draw(t, "code"),
				rapid.SampledFrom([]string{"", "origin"}).Draw(t, "detail"),
			}
			users, times := rapid.IntRange(1, 400).Draw(t, "users"), rapid.IntRange(1, 3).Draw(t, "times")
			for i := range users * times {
				a.noteAt(r.kind, auditEntry{User: fmt.Sprint(i % users), Code: r.code, Detail: r.detail}, now)
			}
			want[r] += uint64(users * times)
			crowds[r] = true
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			a.sweep(now)
		}
		minutes := int(now.Sub(auditStart)/auditEvery) + 1
		if most := 2*(auditEntries+minutes*auditEntries/60) + len(crowds)*minutes; len(*all) > most {
			t.Fatalf("%d entries in %d minutes, at most %d are allowed", len(*all), minutes, most)
		}
		a.flush()
		got := map[reason]uint64{}
		for _, w := range *all {
			got[reason{w.kind, w.entry.Code, w.entry.Detail}] += w.entry.Count
		}
		for r, n := range want {
			if got[r] != n {
				t.Fatalf("%+v: %d noted, %d written", r, n, got[r])
			}
		}
		if len(a.tallies) != 0 {
			t.Fatalf("%d tallies after the flush", len(a.tallies))
		}
	})
}
