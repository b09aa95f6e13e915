package eventlog

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"roomlog/schema"
)

// reported is a fact that ADMIN has too.
func reported() Record {
	r := post("alice", "")
	r.Event, r.Entity, r.Data = "admin:report", "report:"+r.ID, []byte(`{}`)
	return r
}

// fillAdmin makes ADMIN hold notes and facts, taking turns, n of each, and returns
// it oldest first.
func fillAdmin(t *testing.T, l *Log, n int) []Record {
	t.Helper()
	for i := range n {
		mustAppend(t, l, post("alice", "between"))
		mustAppend(t, l, reported())
		if err := l.Audit("parked", map[string]int{"seq": i}); err != nil {
			t.Fatal(err)
		}
	}
	waitAdmin(t, l, 2*n)
	var all []Record
	for r, err := range l.ReadAdmin(context.Background(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestAdminBefore(t *testing.T) {
	for name, cfg := range map[string]func() Config{
		"embedded": func() Config { return Config{Dir: t.TempDir()} },
		"outside":  func() Config { return Config{URL: outsideNATS(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := openLog(t, cfg()), context.Background()
			if got, err := l.AdminBefore(ctx, 0, 10); err != nil || len(got) != 0 {
				t.Fatalf("of an empty stream: %v, %v", got, err)
			}
			all := fillAdmin(t, l, 300)
			slices.Reverse(all)
			for _, c := range []struct {
				before uint64
				limit  int
			}{{0, 1}, {0, 255}, {0, 256}, {0, 257}, {0, 600}, {0, 1000}, {1, 5}, {2, 5}, {301, 100}, {301, 700}, {600, 1}, {601, 1}, {602, 1}, {1 << 50, 3}} {
				want := all
				if c.before != 0 {
					want = all[600-min(600, int(min(c.before, 601))-1):]
				}
				want = want[:min(c.limit, len(want))]
				got, err := l.AdminBefore(ctx, c.before, c.limit)
				if err != nil || len(got) != len(want) {
					t.Fatalf("%+v: %d records (%v), want %d", c, len(got), err, len(want))
				}
				for i := range got {
					if got[i].Seq != want[i].Seq || got[i].ID != want[i].ID || got[i].Origin != want[i].Origin {
						t.Fatalf("%+v: record %d is %+v, want %+v", c, i, got[i], want[i])
					}
				}
			}
			// Facts say where they are in the log, notes that they are not.
			for _, r := range all {
				e := r.AdminEntry()
				if e.Kind != schema.AuditFact {
					if e.LogSeq != 0 || e.Actor != nil || e.Event != "" {
						t.Errorf("a note is shown as %+v", e)
					}
					continue
				}
				of, err := l.Get(ctx, r.Origin)
				if err != nil || of.ID != r.ID || e.LogSeq != of.Seq || e.Event != "admin:report" || e.Actor.ID != "alice" {
					t.Errorf("%+v comes from %d, where the log has %+v (%v)", e, r.Origin, of, err)
				}
			}
			ended, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := l.AdminBefore(ended, 0, 10); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that ended: %v", err)
			}
		})
	}
}

// What is too old for ADMIN is passed over, at its start and in the middle.
func TestAdminBeforePassesOverWhatIsGone(t *testing.T) {
	l, ctx := openLog(t, Config{Dir: t.TempDir()}), context.Background()
	all := fillAdmin(t, l, 50)
	stream, err := l.js.Stream(ctx, streamAdmin)
	if err != nil {
		t.Fatal(err)
	}
	var left []uint64
	for _, r := range all {
		if r.Seq <= 10 || r.Seq > 20 && r.Seq < 90 {
			if err := stream.DeleteMsg(ctx, r.Seq); err != nil {
				t.Fatal(err)
			}
			continue
		}
		left = append(left, r.Seq)
	}
	slices.Reverse(left)
	for _, limit := range []int{1, 11, 12, 20, 21, 100} {
		got, err := l.AdminBefore(ctx, 0, limit)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, r := range got {
			seqs = append(seqs, r.Seq)
		}
		if !slices.Equal(seqs, left[:min(limit, len(left))]) {
			t.Errorf("the newest %d are %v, want of %v", limit, seqs, left)
		}
	}
}

func TestFollowAdmin(t *testing.T) {
	for name, cfg := range map[string]func() Config{
		"embedded": func() Config { return Config{Dir: t.TempDir()} },
		"outside":  func() Config { return Config{URL: outsideNATS(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := openLog(t, cfg()), context.Background()
			fillAdmin(t, l, 20)
			f := l.FollowAdmin(11)
			defer f.Close()
			next := uint64(11)
			more := func(to uint64) {
				t.Helper()
				for next <= to {
					records, err := f.Next(ctx, 7)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range records {
						if r.Seq != next || len(records) > 7 || l.server != nil && r.Origin > l.Durable() {
							t.Fatalf("record %d of %d, want %d", r.Seq, len(records), next)
						}
						next++
					}
				}
			}
			more(40)
			for range 5 { // what comes while it waits
				mustAppend(t, l, reported())
				more(next)
			}
			ended, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			if _, err := f.Next(ended, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiting: %v", err)
			}
			since := time.Now()
			mustAppend(t, l, reported())
			more(next)
			at, err := l.AdminAtTime(ctx, since)
			if err != nil || at != next-1 {
				t.Errorf("since then: from %d (%v), want %d", at, err, next-1)
			}
			if at, err = l.AdminAtTime(ctx, time.Now().Add(time.Hour)); err != nil || at != next {
				t.Errorf("since later: from %d (%v), want %d", at, err, next)
			}
			waiting := make(chan error)
			go func() {
				_, err := f.Next(ctx, 1)
				waiting <- err
			}()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-waiting; !errors.Is(err, ErrClosed) {
				t.Errorf("the log is closed: %v", err)
			}
		})
	}
}

func TestOriginOf(t *testing.T) {
	for header, want := range map[string]uint64{
		"EVENTS 1042 events.admin.> > events.admin.admin.report": 1042,
		"EVENTS:hub 7 events.admin.> >":                          7,
		"EVENTS 7":                                               7,
		"EVENTS":                                                 0,
		"EVENTS x":                                               0,
		"OTHERS 7 > > a":                                         0,
		"":                                                       0,
	} {
		if got := originOf(header); got != want {
			t.Errorf("%q: %d, want %d", header, got, want)
		}
	}
}

// What is audited right before the end is there at the next start, once.
func TestTheLastAuditsAreKept(t *testing.T) {
	dir := t.TempDir()
	const rounds, each = 10, 20
	for range rounds {
		l, err := Open(context.Background(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			if err := l.Audit("test", struct{}{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := openLog(t, Config{Dir: dir}).AdminBefore(context.Background(), 0, 1000)
	if err != nil || len(kept) != rounds*each {
		t.Errorf("%d audits were kept of %d (%v)", len(kept), rounds*each, err)
	}
}
