package projections

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"roomlog/eventlog"
)

// Top-level buckets besides the projectors' own. They are not part of the digest:
// the texts of errors may differ between builds that agree on everything else.
const (
	bucketMeta   = "meta"   // "checkpoint" → checkpoint as JSON
	bucketParked = "parked" // place, projector → ParkedRecord as JSON
)

var checkpointKey = []byte("checkpoint")

// checkpoint is the position that a file's content belongs to. It names the
// record, so that a log that lost its end is told from one that has it.
type checkpoint struct {
	Epoch    string         `json:"epoch"`
	Seq      uint64         `json:"seq"`
	ID       string         `json:"id"`
	Versions map[string]int `json:"versions"`
}

// ParkedRecord is a record that a projector failed on.
type ParkedRecord struct {
	Seq       uint64 `json:"seq"`
	ID        string `json:"id"`
	Event     string `json:"event"`
	Projector string `json:"projector"` // "log": nobody could read it
	Error     string `json:"error"`
}

// initialMap is how much address space a file is given. Past it bbolt must wait
// for every reader before it can map more.
const initialMap = 1 << 30

// openFile opens a file of read models, or makes it. The error is errDamaged when
// it is there and cannot be what was written.
func openFile(path string, noSync bool) (db *bolt.DB, err error) {
	// Past the end of a file that was cut short, reading the map faults.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         time.Second,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMap,
		NoSync:          noSync,
		NoStatistics:    true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("another process has %s open; stop it first", path)
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("opening the read models: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	if err := inspect(db, path); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// inspect finds a file that is shorter than its content.
func inspect(db *bolt.DB, path string) error {
	return db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d of %d bytes", errDamaged, info.Size(), tx.Size())
		}
		return nil
	})
}

// setAside renames a file to path.why-1 (or the first such name that is free), so
// that someone can look at it, and returns its new name.
func setAside(path, why string) (string, error) {
	for n := 1; ; n++ {
		aside := path + "." + why + "-" + strconv.Itoa(n)
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			return aside, os.Rename(path, aside)
		}
	}
}

// writer applies records to one file, a batch at a time. It is for one goroutine
// at a time.
type writer struct {
	db    *bolt.DB
	state *state
	at    checkpoint
}

func newWriter(db *bolt.DB, at checkpoint, fault func(string, *eventlog.Record) error) *writer {
	w := &writer{db: db, state: newState(nil), at: at}
	w.state.fault = fault
	return w
}

// prepare makes the buckets of an empty file, with a checkpoint before the first
// record.
func (w *writer) prepare() error {
	return w.db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketMeta, bucketParked} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		for _, t := range w.state.bound {
			top, err := tx.CreateBucketIfNotExists([]byte(t.projector))
			if err != nil {
				return err
			}
			if _, err := top.CreateBucketIfNotExists([]byte(t.name)); err != nil {
				return err
			}
		}
		return putCheckpoint(tx, w.at)
	})
}

// apply applies a batch in one transaction and returns what became of each
// record, and those that were parked. After an error the file stands where it was.
func (w *writer) apply(records []record, live bool) (verdicts []verdict, parked []ParkedRecord, err error) {
	tx, err := w.db.Begin(true)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the read models: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
		if err != nil {
			tx.Rollback()
			w.reset()
		}
	}()
	s := w.state
	s.batch.tx, s.parked, s.broken = tx, nil, nil
	verdicts = make([]verdict, len(records))
	for i := range records {
		verdicts[i] = s.apply(&records[i], live)
		if s.broken != nil {
			return nil, nil, s.broken
		}
	}
	last := records[len(records)-1]
	at := w.at
	at.Seq, at.ID = last.Seq, last.ID
	if err := w.flush(tx, at); err != nil {
		return nil, nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, fmt.Errorf("writing the read models: %w", err)
	}
	w.at = at
	return verdicts, s.parked, nil
}

func (w *writer) flush(tx *bolt.Tx, at checkpoint) error {
	for _, t := range w.state.bound {
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, p := range w.state.parked {
		row, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if err := tx.Bucket([]byte(bucketParked)).Put(append(seqKey(p.Seq), p.Projector...), row); err != nil {
			return err
		}
	}
	return putCheckpoint(tx, at)
}

// reset forgets what a failed transaction had buffered.
func (w *writer) reset() {
	for _, t := range w.state.bound {
		t.forget()
	}
	w.state.batch.settle()
	w.state.batch.inDB = false
}

func putCheckpoint(tx *bolt.Tx, at checkpoint) error {
	row, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(bucketMeta)).Put(checkpointKey, row)
}

// readCheckpoint returns the zero checkpoint when the file has none.
func readCheckpoint(tx *bolt.Tx) (checkpoint, error) {
	var at checkpoint
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return at, nil
	}
	row := meta.Get(checkpointKey)
	if row == nil {
		return at, nil
	}
	if err := json.Unmarshal(row, &at); err != nil {
		return at, fmt.Errorf("%w: its checkpoint: %v", errDamaged, err)
	}
	return at, nil
}
