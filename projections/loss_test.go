package projections

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/schema"
)

// Read models whose log lacks what they have of it are not opened, and not changed,
// until another epoch begins.
func TestALogThatLostRecordsIsNotGoneOnWith(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*bolt.Tx) error
		want  string
	}{
		"ahead": {func(tx *bolt.Tx) error {
			return changeCheckpoint(tx, func(c *checkpoint) { c.Seq += 5 })
		}, "they are ahead of the log"},
		"another id there": {func(tx *bolt.Tx) error {
			return changeCheckpoint(tx, func(c *checkpoint) { c.ID = id(7) })
		}, "another record where they stand"},
		"other content there": {func(tx *bolt.Tx) error {
			leaf := MissingLeaf(50)
			return tx.Bucket([]byte("tree")).Bucket([]byte("leaves")).Put(seqKey(50), leaf[:])
		}, "another record where they stand"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.append(traffic(50, 5)...)
			w.run()
			good := w.digest()
			w.close()
			w.tamper(test.spoil)
			w.losesRecords(test.want)
			w.losesRecords(test.want) // it is as it was
			if err := w.log.BeginEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.run()
			if again := w.digest(); again.Total != good.Total {
				t.Errorf("it came out as %v, want %v", again, good)
			}
		})
	}
}

func (w *world) losesRecords(why string) {
	w.t.Helper()
	m, err := Open(w.t.Context(), Config{Path: w.path(), Log: w.log})
	var loss *Loss
	if !errors.As(err, &loss) || !strings.Contains(err.Error(), why) {
		w.t.Errorf("opening: %v, want %q", err, why)
	}
	if err == nil {
		m.Close()
	}
}

// Damage in the middle of the log, which the server passes over in silence, is known by
// the tree; a gap that was there when the read models came by is none of it.
func TestRecordsThatWentMissingInTheMiddleAreKnown(t *testing.T) {
	w := newWorld(t)
	w.run()
	for range 20 {
		w.must("alice", "post:create", schema.PostCreate{Content: strings.Repeat("x", 10_000)})
	}
	for range 400 { // some block ends
		w.must("alice", "post:create", schema.PostCreate{Content: strings.Repeat("y", 30_000)})
	}
	w.close()
	if err := w.log.Close(); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(w.dir, "jetstream", "*", "streams", "EVENTS", "msgs", "*.blk"))
	if err != nil || len(blocks) < 2 {
		t.Fatalf("blocks %v, %v: the test tests nothing", blocks, err)
	}
	path := filepath.Join(filepath.Dir(blocks[0]), "1.blk")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.Remove(filepath.Join(filepath.Dir(path), "index.db"))); err != nil {
		t.Fatal(err)
	}
	w.openLog()
	w.losesRecords("any more")
	if err := w.log.BeginEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.rebuild()
	w.close()
	m, err := Open(context.Background(), Config{Path: w.path(), Log: w.log})
	if err != nil {
		t.Fatalf("with a gap that was always there: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	var records, missing []uint64
	for r, err := range w.log.Read(t.Context(), 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r.Seq)
	}
	if missing, err = w.log.Missing(t.Context(), 420); err != nil || len(missing) == 0 || len(missing)+len(records) != 420 {
		t.Errorf("%d records and %d places without one, %v", len(records), len(missing), err)
	}
}
