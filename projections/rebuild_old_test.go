package projections

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Going back and forth between two files under load delivers every record once, and
// what serves is as the log says.
func TestRollbackWhileServing(t *testing.T) {
	w := newWorld(t)
	w.run()
	records := traffic(4000, 50)
	w.append(records[:1000]...)
	w.rebuild()
	var busy sync.WaitGroup
	busy.Go(func() {
		for batch := range slices.Chunk(records[1000:], 50) {
			w.append(batch...)
		}
	})
	for range 10 {
		if err := w.models.Rollback(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	busy.Wait()
	w.outcome(w.log.Durable())
	for i, a := range w.delivered {
		if a.Record.Seq != uint64(i+1) {
			t.Fatalf("delivery %d is of record %d", i+1, a.Record.Seq)
		}
	}
	live := w.digest()
	w.close()
	w.open() // and without Run
	if err := w.models.Rollback(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if again := w.digest(); again.Total != live.Total || w.beside() != suffixOld {
		t.Errorf("%v, want %v; beside it %q", again, live, w.beside())
	}
	w.follow()
	w.rebuild()
}

// A replaced file that was not safe when the power went does not come back.
func TestRollbackOfWhatIsNotSound(t *testing.T) {
	for why, spoil := range map[string]func(*world){
		"the machine went down": func(w *world) { w.leave(suffixOld+suffixDirty, "an earlier boot") },
		"damaged":               func(w *world) { w.leave(suffixOld, strings.Repeat("noise", 10_000)) },
		"no replaced":           func(w *world) { os.Remove(w.path() + suffixOld) },
	} {
		t.Run(why, func(t *testing.T) {
			w := newWorld(t)
			w.append(traffic(100, 10)...)
			w.run()
			w.rebuild()
			if _, err := os.Stat(w.path() + suffixOld + suffixDirty); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the replaced file is not safe: %v", err)
			}
			before := w.digest()
			spoil(w)
			if err := w.models.Rollback(t.Context(), nil); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("it went back: %v", err)
			}
			if after := w.digest(); after.Total != before.Total {
				t.Error("what serves has changed")
			}
			w.rebuild()
		})
	}
}

func TestCommit(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(100, 10)...)
	w.run()
	if err := w.models.Commit(); !errors.Is(err, ErrNoOld) {
		t.Errorf("without a rebuild: %v", err)
	}
	w.rebuild()
	if err := w.models.Commit(); err != nil || w.beside() != "" {
		t.Errorf("%v; beside it %q", err, w.beside())
	}
	if err := w.models.Rollback(t.Context(), nil); !errors.Is(err, ErrNoOld) {
		t.Errorf("a rollback afterwards: %v", err)
	}
}

// A replaced file is kept for a day after it was replaced, however old its content.
func TestAReplacedFileIsKeptForADay(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(100, 10)...)
	w.run()
	w.close()
	w.open()
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(w.path(), old, old); err != nil {
		t.Fatal(err)
	}
	w.rebuild()
	kept, err := w.models.Old()
	if left := time.Until(kept.Until); err != nil || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("kept for %v, %v", left, err)
	}
	w.follow()
	if err := w.models.expireOld(); err != nil || w.beside() != suffixOld {
		t.Errorf("at once: %v; beside it %q", err, w.beside())
	}
	w.close()
	if err := os.Chtimes(w.path()+suffixOld, old, old); err != nil {
		t.Fatal(err)
	}
	w.run()
	for deadline := time.Now().Add(patience); w.beside() != ""; {
		if time.Now().After(deadline) {
			t.Fatalf("after a day %q is there", w.beside())
		}
	}
}

// An exchange that ends anywhere is put right by the next start.
func TestAnExchangeThatWasCutShort(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(100, 10)...)
	w.run()
	w.rebuild()
	good := w.digest()
	w.close()
	if err := os.Link(w.path(), w.path()+suffixOldNew); err != nil {
		t.Fatal(err)
	}
	w.open()
	if w.beside() != suffixOld {
		t.Errorf("cut short before: %q", w.beside())
	}
	w.close()
	if err := os.Rename(w.path()+suffixOld, w.path()+suffixOldNew); err != nil {
		t.Fatal(err)
	}
	w.open()
	if w.beside() != suffixOld {
		t.Errorf("cut short behind: %q", w.beside())
	}
	w.follow()
	if again := w.digest(); again.Total != good.Total {
		t.Errorf("%v, want %v", again, good)
	}
}

// A long difference is counted whole and shown in part, in a form for people.
func TestDifferencesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(500, 20)...)
	w.run()
	w.close()
	w.tamper(func(tx *bolt.Tx) error {
		timelines := tx.Bucket([]byte("feeds")).Bucket([]byte("bodies"))
		for k, _ := timelines.Cursor().First(); k != nil; k, _ = timelines.Cursor().First() {
			if err := timelines.Delete(k); err != nil {
				return err
			}
		}
		return timelines.Put([]byte("long"), []byte(strings.Repeat("é\x00", 500)))
	})
	w.run()
	report, err := w.models.RebuildWith(t.Context(), RebuildOptions{Keys: 3})
	if err != nil || len(report.Diff) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	d := report.Diff[0]
	if d.Projection != "feeds" || d.Rows < 50 || len(d.Shown) != 3 {
		t.Errorf("%s: %d rows, shown %d", d.Projection, d.Rows, len(d.Shown))
	}
	for _, text := range []string{readable([]byte(strings.Repeat("é\x00", 500))), fmt.Sprint(d.Shown[0].Key), fmt.Sprint(d.Shown[0].Rebuilt)} {
		if len(text) > 4*maxReadable+30 || text == "" {
			t.Errorf("shown as %s", text)
		}
	}
	if got := readable([]byte("a\x00é\xff")); got != `"a\x00é\xff"` {
		t.Errorf("shown as %s", got)
	}
}
