package projections

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// loadAll loads records in batches of one size and has each of them written behind.
func loadAll(t rapid.TB, w *writer, records []record, size int) (whole, inPlace int) {
	t.Helper()
	for len(records) > 0 {
		n := min(size, len(records))
		was := w.db
		if _, err := w.load(records[:n]); err != nil {
			t.Fatalf("loading: %v", err)
		}
		if records = records[n:]; w.db != was {
			whole++
		} else {
			inPlace++
		}
	}
	if _, err := w.settle(); err != nil {
		t.Fatalf("loading: %v", err)
	}
	return whole, inPlace
}

// twins are two writers of files of their own, with the same faults: one is to apply in
// batches what the other loads.
func twins(t *testing.T, path string, fault func(projector string, r *eventlog.Record) error) (batches, loads *writer) {
	t.Helper()
	batches, loads = bare(t, path+".batches"), bare(t, path)
	for _, w := range []*writer{batches, loads} {
		w.state.first.fault, w.state.second.fault = fault, fault
	}
	return batches, loads
}

// Whatever is loaded in one go, and whether it is put into the file or a whole file is
// made with it, comes out as in batches: rows that go, parked records and the place where
// the file stands as well. bbolt finds nothing wrong with what comes of it.
func TestLoadsComeOutAsBatches(t *testing.T) {
	dir := t.TempDir()
	round, whole, inPlace := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		history := histories(50, 300).Draw(rt, "history")
		records := make([]record, len(history))
		for i, r := range history {
			r.Seq = uint64(i + 1)
			records[i] = decode(r)
		}
		bad := uint64(rapid.IntRange(1, len(records)).Draw(rt, "parked"))
		fault := func(projector string, r *eventlog.Record) error {
			if r.Seq == bad && (projector == "history" || projector == schema.HomeGraph) {
				return errors.New("a fault")
			}
			return nil
		}
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		batches, loads := twins(t, path, fault)
		defer func() { batches.db.Close(); loads.db.Close() }()
		if _, _, err := batches.apply(records, false); err != nil {
			rt.Fatal(err)
		}
		loads.most, loads.path = rapid.SampledFrom([]int{1, 10_000, 1 << 30}).Draw(rt, "most"), path
		for rest := records; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "up to")
			a, b := loadAll(rt, loads, rest[:n], rapid.IntRange(1, 100).Draw(rt, "size"))
			rest, whole, inPlace = rest[n:], whole+a, inPlace+b
		}
		if want, got := digestOf(rt, batches.db), digestOf(rt, loads.db); !reflect.DeepEqual(got, want) || got.Seq != uint64(len(records)) {
			rt.Fatalf("loaded: %v, want %v", got, want)
		}
		if want, got := parkedOf(rt, batches.db), parkedOf(rt, loads.db); !reflect.DeepEqual(got, want) || len(got) == 0 {
			rt.Fatalf("parked are %+v, want %+v", got, want)
		}
		want := digestOf(rt, loads.db)
		if err := loads.db.Close(); err != nil {
			rt.Fatal(err)
		}
		db, _, err := openAt(path, true) // what was served has the name
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		if got := digestOf(rt, db); !reflect.DeepEqual(got, want) {
			rt.Fatalf("opened again: %v, want %v", got, want)
		}
		checkPages(rt, db)
	})
	if whole == 0 || inPlace == 0 {
		t.Errorf("%d loads made a whole file, %d did not", whole, inPlace)
	}
}

func parkedOf(t rapid.TB, db *bolt.DB) (all []ParkedRecord) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) (err error) {
		all, err = parkedIn(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkPages(t rapid.TB, db *bolt.DB) {
	t.Helper()
	db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check: %v", err)
		}
		return nil
	})
}

// readWhileReplaced begins to read a file whose place a whole one then takes.
func readWhileReplaced(t *testing.T) (*world, *bolt.Tx) {
	t.Helper()
	w := newWorld(t)
	w.append(traffic(1000, 50)...)
	w.open()
	before, err := w.models.read()
	if err != nil {
		t.Fatal(err)
	}
	w.follow()
	if w.models.serving() == before.DB() {
		t.Fatal("no whole file was made")
	}
	return w, before
}

// Whoever reads while a whole file takes the place of the one that serves goes on reading
// what they began with; who begins later reads the other one.
func TestReadersOfAReplacedFile(t *testing.T) {
	w, before := readWhileReplaced(t)
	defer before.Rollback()
	if at, err := readCheckpoint(before); err != nil || at.Seq != 0 {
		t.Errorf("the reader is at %+v, %v", at, err)
	}
	if d := w.digest(); d.Seq != 1000 {
		t.Errorf("another reader is at %d", d.Seq)
	}
	if w.beside() != "" {
		t.Errorf("beside the read models are %s", w.beside())
	}
	before.Rollback()
	w.close()
	w.run()
	w.rebuild()
}

// A file whose place another took is closed by nobody but Close, or the end of a rebuild:
// they return once its readers are done, one of whom may meet with damage meanwhile.
func TestTheEndWaitsForReplacedFiles(t *testing.T) {
	for name, end := range map[string]func(*world) error{
		"close": func(w *world) error {
			w.stop()
			err := <-w.done
			w.stop = nil
			return errors.Join(err, w.models.Close())
		},
		"rebuild": func(w *world) error { _, err := w.models.Rebuild(w.t.Context(), nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w, before := readWhileReplaced(t)
			ended := make(chan error, 1)
			go func() { ended <- end(w) }()
			select {
			case err := <-ended:
				t.Errorf("it did not wait for the reader: %v", err)
				ended <- nil
			case <-time.After(200 * time.Millisecond):
			}
			if err := w.models.condemn(before.DB(), errDamaged); err != errDamaged {
				t.Errorf("the reader who met with damage: %v", err)
			}
			before.Rollback()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			w.close()
		})
	}
}

// A process that ends while it writes a whole file leaves a piece of one, which the next
// start removes.
func TestAPieceOfAWholeFile(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(1000, 50)...)
	w.leave(suffixWhole, "a piece")
	w.leave(suffixNew+suffixWhole, "a piece")
	w.open()
	if w.beside() != "" {
		t.Errorf("beside the read models are %s", w.beside())
	}
	w.follow()
	w.rebuild()
}

// A whole file that cannot be written ends the load, and leaves the file as it was.
func TestAWholeFileThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(1000, 50)...)
	w.open()
	in := w.path() + suffixWhole
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.models.Run(t.Context()); err == nil || errors.Is(err, errDamaged) {
		t.Fatalf("Run ended with %v", err)
	}
	if d := w.digest(); d.Seq != 0 {
		t.Errorf("the read models are at %d", d.Seq)
	}
	w.close()
	if err := os.Remove(in); err != nil {
		t.Fatal(err)
	}
	w.run()
	if d := w.digest(); d.Seq != last {
		t.Errorf("the read models are at %d, want %d", d.Seq, last)
	}
}

// What was made beside the read models and took their place has whole files take that
// place from then on.
func TestAWholeFileAfterARebuild(t *testing.T) {
	for name, made := range map[string]func(*world){
		"made at start": func(w *world) { w.close(); w.otherRelease(layout); w.open(); w.rebuild() },
		"rebuilt":       func(w *world) { w.rebuild() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			records := traffic(4000, 50)
			w.append(records[:1000]...)
			w.open()
			w.rebuild()
			made(w)
			was := w.models.serving()
			if !strings.HasSuffix(was.Path(), suffixNew+suffixWhole) {
				t.Errorf("the rebuild was not written as a whole file: %s", was.Path())
			}
			last := w.append(records[1000:]...)
			if err := errors.Join(w.models.load(t.Context(), 1001, last, w.models.applyBehind), w.models.settle()); err != nil {
				t.Fatal(err)
			}
			if w.models.serving() == was {
				t.Error("no whole file was made")
			}
			want := w.digest()
			w.close()
			w.open()
			if got := w.digest(); got.Seq != last || got.Total != want.Total {
				t.Errorf("after a restart %v, want %v", got, want)
			}
		})
	}
}
