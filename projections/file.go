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

	"roomlog/schema"
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
	Layout   int            `json:"layout,omitempty"` // see version.go
}

// ParkedRecord is a record that a projector failed on.
type ParkedRecord = schema.AuditParkedRecord

// initialMap is how much address space a file is given, which costs nothing. Past it
// bbolt must wait for every reader before it can map more.
const initialMap = 1 << 36

// openFile opens a file of read models, or makes it. The error is errDamaged when
// it is there and cannot be what was written.
func openFile(path string, noSync bool) (db *bolt.DB, err error) {
	return openBolt(path, bolt.Options{
		Timeout:         time.Second,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMap,
		NoSync:          noSync,
		NoStatistics:    true,
	})
}

func openBolt(path string, options bolt.Options) (db *bolt.DB, err error) {
	// Past the end of a file that was cut short, reading the map faults.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &options)
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
