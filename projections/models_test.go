package projections

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// A file of another epoch or of other projectors starts from nothing, and comes out
// right.
func TestAFileThatDoesNotFitTheLogStartsAnew(t *testing.T) {
	for name, spoil := range map[string]func(*checkpoint){
		"another log":           func(c *checkpoint) { c.Epoch = id(7) },
		"other projectors":      func(c *checkpoint) { c.Versions = map[string]int{"graph": 1} },
		"a projector's version": func(c *checkpoint) { c.Versions["likes"]++ },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.append(traffic(50, 5)...)
			w.run()
			good := w.digest()
			w.close()
			w.tamper(func(tx *bolt.Tx) error {
				err := tx.Bucket([]byte("likes")).Bucket([]byte("likes")).Put([]byte("a like too many"), present)
				return errors.Join(err, changeCheckpoint(tx, spoil))
			})
			w.open()
			if w.models.Applied() != 0 {
				t.Errorf("it stands at %d", w.models.Applied())
			}
			// What may be all that is left of a lost log is kept.
			var want []string
			if name == "another log" {
				want = []string{w.path() + "." + keepForeign + "-1"}
			}
			if aside, _ := filepath.Glob(w.path() + ".*-*"); !slices.Equal(aside, want) {
				t.Errorf("kept %q, want %q", aside, want)
			}
			w.follow()
			if again := w.digest(); again.Total != good.Total {
				t.Errorf("it came out as %v, want %v", again, good)
			}
		})
	}
}

func changeCheckpoint(tx *bolt.Tx, change func(*checkpoint)) error {
	at, err := readCheckpoint(tx)
	if err != nil {
		return err
	}
	change(&at)
	return putCheckpoint(tx, at)
}

// A file that fits carries on where it stood.
func TestAFileThatFitsCarriesOn(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(50, 5)...)
	w.run()
	w.close()
	w.open()
	if w.models.Applied() != last {
		t.Errorf("it stands at %d, want %d", w.models.Applied(), last)
	}
}

// A damaged file is set aside and made anew from the log.
func TestADamagedFileIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"noise at its start":  func(b []byte) []byte { return append(bytes.Repeat([]byte{0xA5}, 16<<10), b[16<<10:]...) },
		"zeros":               func(b []byte) []byte { return make([]byte, len(b)) },
		"cut in its middle":   func(b []byte) []byte { return b[:len(bytes.TrimRight(b, "\x00"))/2] },
		"cut by a page":       func(b []byte) []byte { return b[:len(bytes.TrimRight(b, "\x00"))-4096] },
		"cut within its head": func(b []byte) []byte { return b[:5000] },
		"not even a page":     func(b []byte) []byte { return b[:100] },
		"text":                func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.append(traffic(300, 20)...)
			w.run()
			good := w.digest()
			w.close()
			whole, err := os.ReadFile(w.path())
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= 2; n++ { // a second one does not take the first one's name
				if err := os.WriteFile(w.path(), damage(bytes.Clone(whole)), 0o600); err != nil {
					t.Fatal(err)
				}
				w.run()
				if again := w.digest(); again.Total != good.Total {
					t.Errorf("made anew: %v, want %v", again, good)
				}
				if aside, _ := filepath.Glob(w.path() + ".damaged-*"); len(aside) != n {
					t.Errorf("set aside: %v", aside)
				}
				w.close()
			}
		})
	}
}

// Damage that shows only when a row is read ends Run with an error; the next start
// makes the read models anew.
func TestDamageFoundWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.run()
	post := w.must("alice", "post:create", schema.PostCreate{Content: "hello"})
	good := w.digest()
	w.close()
	w.tamper(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("likes")).Bucket([]byte("posts")).Put([]byte(post), []byte{0x80})
	})
	w.run()
	if o := w.models.Check(fact(2, "bob", "post:like", schema.PostAction{PostID: post, Action: "like"})); o.Code != schema.Internal {
		t.Errorf("Check: %q", o.Code)
	}
	err := w.models.View(func(v *View) error {
		_, err := v.Post("bob", post)
		return err
	})
	if !errors.Is(err, errDamaged) {
		t.Errorf("a query: %v", err)
	}
	seq := w.append(fact(2, "bob", "post:like", schema.PostAction{PostID: post, Action: "like"}))
	if err := w.models.WaitApplied(t.Context(), seq); !errors.Is(err, errDamaged) {
		t.Errorf("waiting: %v", err)
	}
	if err := <-w.done; !errors.Is(err, errDamaged) {
		t.Errorf("Run: %v", err)
	}
	w.stop()
	w.stop = nil
	w.close()
	w.run()
	w.view(func(v *View) {
		if p, err := v.Post("bob", post); err != nil || !*p.Liked {
			t.Errorf("after the next start: %s, %v", text(p), err)
		}
	})
	if good.Total == w.digest().Total {
		t.Error("the like is not there")
	}
}

func TestAFileInUse(t *testing.T) {
	w := newWorld(t)
	w.open()
	_, err := Open(t.Context(), Config{Path: w.path(), Log: w.log})
	if err == nil || !strings.Contains(err.Error(), "another process has") || errors.Is(err, errDamaged) {
		t.Errorf("opening a file in use: %v", err)
	}
}

// A log that has lost its last records has nothing more to wait for.
func TestTheEndOfTheLogIsLost(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(100, 10)...)
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(w.dir, "jetstream", "*", "streams", "EVENTS", "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("block files: %q, %v", blocks, err)
	}
	info, err := os.Stat(blocks[0])
	if err == nil {
		err = os.Truncate(blocks[0], info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.openLog()
	if w.log.Durable() != last {
		t.Fatalf("the log ends at %d, want at %d, which is lost", w.log.Durable(), last)
	}
	w.run() // and waits for the lost one
	w.rebuild()
	w.wait(last)
	w.outcome(w.append(fact(1000, "alice", "post:create", schema.PostCreate{Content: "after"})))
}

func TestWaitApplied(t *testing.T) {
	w := newWorld(t)
	w.run()
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() { done <- w.models.WaitApplied(ctx, 2) }()
		return done
	}
	first, second, third := waits(t.Context()), waits(ctx), waits(t.Context())
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("a wait whose context ended: %v", err)
	}
	w.append(traffic(2, 2)...)
	for _, done := range []chan error{first, third} {
		if err := <-done; err != nil {
			t.Errorf("waiting for a record that came: %v", err)
		}
	}
	m := w.models
	w.close()
	if err := m.WaitApplied(t.Context(), 3); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting for a record on closed models: %v", err)
	}
	if err := m.View(func(*View) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("viewing closed models: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// When a record is delivered, queries show it: committed, applied, then told.
func TestDeliveredRecordsAreApplied(t *testing.T) {
	w := newWorld(t)
	var m *Models
	late := make(chan uint64, 200)
	m, err := Open(t.Context(), Config{Path: w.path(), Log: w.log, MaxBatch: 16, Deliver: func(batch []Applied) {
		last := batch[len(batch)-1].Record.Seq
		if len(batch) > 16 || m.Applied() < last {
			late <- last
		}
		m.View(func(v *View) error {
			if v.Seq() < last {
				late <- last
			}
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.models = m
	w.follow()
	w.wait(w.append(traffic(200, 10)...))
	w.close()
	if len(late) > 0 {
		t.Errorf("%d batches were delivered before they were applied, the first up to %d", len(late), <-late)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	m, err := Open(t.Context(), Config{Path: w.path(), Log: w.log, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	m.fault = func(p string, r *eventlog.Record) error {
		if p == "presence" && r.Actor.ID == "bob" {
			return errors.New("not him")
		}
		return nil
	}
	w.models = m
	if _, err := newMetrics(reg, nil); err == nil {
		t.Error("metrics of the same names were registered twice")
	}
	w.follow()
	w.append(fact(1, "alice", "post:create", schema.PostCreate{Content: "hello"}))
	like := schema.PostAction{PostID: id(1), Action: "like"}
	w.wait(w.append(fact(2, "bob", "post:like", like), fact(3, "bob", "post:like", like)))
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			name := f.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"roomlog_projections_records_total applied":   2,
		"roomlog_projections_records_total void":      1,
		"roomlog_projections_records_total duplicate": 0,
		"roomlog_projections_records_total parked":    0,
		"roomlog_projections_parked_total presence":   2,
		"roomlog_projections_applied_seq":             3,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// Read models that could not be opened can be opened again, with the same registry.
func TestAFailedOpenLeavesNoMetrics(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	missing := filepath.Join(w.dir, "no such folder", "models.db")
	if m, err := Open(t.Context(), Config{Path: missing, Log: w.log, Registerer: reg}); err == nil {
		m.Close()
		t.Fatal("opened in a folder that is not there")
	}
	if left, err := reg.Gather(); err != nil || len(left) > 0 {
		t.Errorf("%d metrics are left: %v", len(left), err)
	}
}
