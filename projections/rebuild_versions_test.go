package projections

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// otherRelease makes the closed file one that projectors of another version wrote,
// and that holds something else; of another layout too, if told so.
func (w *world) otherRelease(layout int) {
	w.t.Helper()
	w.tamper(func(tx *bolt.Tx) error {
		at, err := readCheckpoint(tx)
		if err != nil {
			return err
		}
		at.Versions, at.Layout = maps.Clone(at.Versions), layout
		at.Versions["likes"]--
		err = tx.Bucket([]byte("likes")).Bucket([]byte("likes")).Put([]byte("a like of old"), present)
		return errors.Join(err, putCheckpoint(tx, at))
	})
}

// beside lists the files beside the read models', notes left out.
func (w *world) beside() string {
	w.t.Helper()
	all, err := filepath.Glob(w.path() + ".*")
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, path := range all {
		if !strings.HasSuffix(path, suffixDirty) {
			names = append(names, strings.TrimPrefix(path, w.path()))
		}
	}
	return strings.Join(names, " ")
}

// rebuilt waits until nothing is said to be made any more, which comes a moment after the
// last record is applied.
func (w *world) rebuilt() {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if p, running := w.models.Rebuilding(); !running {
			return
		} else if time.Now().After(deadline) {
			w.t.Fatalf("it is still: %+v", p)
		}
	}
}

// A file of another release stays where it is until another one is complete, also
// over a stop half-way, from where the next start goes on; then it is kept.
func TestAFileOfAnotherReleaseStaysUntilItIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.append(traffic(muchToCatchUp+500, 50)...)
	w.wait(w.log.Durable())
	good := w.digest()
	w.close()
	w.otherRelease(layout)
	before, err := os.ReadFile(w.path())
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func(when string) {
		t.Helper()
		if now, err := os.ReadFile(w.path()); err != nil || string(now) != string(before) {
			t.Errorf("%s the other release's file has changed: %v", when, err)
		}
	}
	w.open()
	p, running := w.models.Rebuilding()
	if !running || w.models.Applied() != 0 {
		t.Errorf("it stands at %d, rebuilding %v: %+v", w.models.Applied(), running, p)
	}
	if err := w.models.load(t.Context(), 1, loadBatch, w.models.applyBehind); err != nil {
		t.Fatal(err)
	}
	if err := w.models.settle(); err != nil {
		t.Fatal(err)
	}
	unchanged("half-way")
	w.close()
	unchanged("after a stop")
	w.open()
	if w.models.Applied() != loadBatch {
		t.Errorf("the next start goes on at %d, want %d", w.models.Applied(), loadBatch)
	}
	w.follow()
	if again := w.digest(); again.Total != good.Total || w.beside() != suffixOld {
		t.Errorf("made anew: %v, want %v; beside it %q", again, good, w.beside())
	}
	w.rebuilt()
	if err := w.models.Rollback(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "another release") {
		t.Errorf("going back to another release's file: %v", err)
	}
	w.rebuild()
	w.close()

	if err := removeAll(w.path()); err != nil { // the next start has as much to catch up
		t.Fatal(err)
	}
	w.open()
	if p, running := w.models.Rebuilding(); !running || p.From != 0 || p.Of != w.log.Durable() || len(p.Models) != len(versions) {
		t.Errorf("while it catches up it says %v: %+v", running, p)
	}
	w.follow()
	w.rebuilt()
	if again := w.digest(); again.Total != good.Total {
		t.Errorf("caught up: %v, want %v", again, good)
	}
}

// Its release finds it again, as the replaced one.
func TestADowngradeFindsItsFile(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(300, 20)...)
	w.run()
	w.rebuild()
	last := w.append(traffic(310, 20)[300:]...)
	w.wait(last)
	good := w.digest()
	w.close()
	w.otherRelease(layout) // as if the newer one had made it, and kept ours
	w.open()
	if w.models.Applied() != 300 {
		t.Errorf("it stands at %d, want where ours stood", w.models.Applied())
	}
	w.follow()
	if again := w.digest(); again.Total != good.Total {
		t.Errorf("%v, want %v", again, good)
	}
}

// In the background mode the old file serves and takes what comes, until the rebuild
// takes over although it differs. No release takes it for its own any more.
func TestRebuildInBackground(t *testing.T) {
	w := newWorld(t)
	w.background = true
	w.append(traffic(300, 20)...)
	w.run()
	w.close()
	w.otherRelease(layout)
	w.run()
	if !w.models.Stale() || w.models.Applied() != 300 {
		t.Errorf("stale %v, at %d", w.models.Stale(), w.models.Applied())
	}
	w.outcome(w.append(traffic(310, 20)[300:]...))
	w.close()
	w.tamper(func(tx *bolt.Tx) error {
		at, err := readCheckpoint(tx)
		theirs := maps.Clone(versions)
		theirs["likes"]--
		if maps.Equal(at.Versions, theirs) || maps.Equal(at.Versions, versions) {
			t.Errorf("a file of two releases says that it is of one: %v", at.Versions)
		}
		return err
	})
	w.background = false
	w.open()
	if w.models.Applied() != 0 {
		t.Errorf("a file of two releases was taken for ours")
	}
	w.close()
	if err := removeAll(w.path() + suffixNew); err != nil {
		t.Fatal(err)
	}
	w.background = true
	w.run()
	report, err := w.models.Rebuild(t.Context(), nil)
	if err != nil || !report.OtherVersions || !report.TookOver || len(report.Differences) != 1 || w.models.Stale() {
		t.Errorf("%+v, %v, stale %v", report, err, w.models.Stale())
	}
	w.rebuild()
	for i, a := range w.delivered {
		if a.Record.Seq != uint64(301+i) {
			t.Fatalf("delivery %d is of record %d", i, a.Record.Seq)
		}
	}
}

func TestAnotherLayoutCannotServe(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(10, 2)...)
	w.run()
	w.close()
	w.otherRelease(layout - 1)
	_, err := Open(t.Context(), Config{Path: w.path(), Log: w.log, Background: true})
	if err == nil || !strings.Contains(err.Error(), "--rebuild-in-background") {
		t.Errorf("%v", err)
	}
	w.run()
	w.rebuild()
}

// What is left beside the read models serves in their place when they are gone, if
// it fits; what does not fit is not used.
func TestWhatARebuildLeftIsUsedIfItFits(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*world)
		from  uint64
	}{
		"as it was":      {func(*world) {}, 300},
		"power loss":     {func(w *world) { w.leave(suffixNew+suffixDirty, "an earlier boot") }, 0},
		"noise":          {func(w *world) { w.leave(suffixNew, strings.Repeat("noise", 10_000)) }, 0},
		"empty":          {func(w *world) { w.leave(suffixNew, "") }, 0},
		"another log":    {func(w *world) { w.spoilNew(func(c *checkpoint) { c.Epoch = id(7) }) }, 0},
		"another record": {func(w *world) { w.spoilNew(func(c *checkpoint) { c.ID = id(7) }) }, 0},
		"other versions": {func(w *world) { w.spoilNew(func(c *checkpoint) { c.Versions["likes"]-- }) }, 0},
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
			w.leave(suffixNew, string(whole))
			c.spoil(w)
			w.run()
			var first Progress
			report, err := w.models.Rebuild(t.Context(), func(p Progress) {
				if first.Stage == "" {
					first = p
				}
			})
			if err != nil || !report.Equal() || first.From != c.from {
				t.Errorf("a rebuild began at %d, want %d: %+v, %v", first.From, c.from, report, err)
			}
			w.close()

			w.leave(suffixNew, string(whole))
			c.spoil(w)
			if err := os.Remove(w.path()); err != nil {
				t.Fatal(err)
			}
			w.open()
			if w.models.Applied() != c.from {
				t.Errorf("without a file it starts at %d, want %d", w.models.Applied(), c.from)
			}
			w.follow()
			if again := w.digest(); again.Total != good.Total {
				t.Errorf("%v, want %v", again, good)
			}
		})
	}
}

func (w *world) leave(suffix, content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path()+suffix, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) spoilNew(spoil func(*checkpoint)) {
	w.t.Helper()
	db, err := bolt.Open(w.path()+suffixNew, 0o600, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		at, err := readCheckpoint(tx)
		spoil(&at)
		return errors.Join(err, putCheckpoint(tx, at))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		w.t.Fatal(err)
	}
}
