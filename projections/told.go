package projections

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Told is a place in a log at which read models stand.
type Told struct {
	File  string // they are in
	Epoch string // the log's
	Seq   uint64
	ID    string // of the record there
}

// ToldUpTo returns where the read models in the file path stand, and those that were
// set aside from there when the log had lost records or they were damaged. Nobody was
// ever told of a record past all of these, for records are told once they are applied.
//
// An error says why that cannot be relied on: there are none, what was set aside cannot
// be read, or the machine went down while they were open. ErrNotExist is among them.
// No server may have the file open.
func ToldUpTo(path string) ([]Told, error) {
	if down, err := wentDown(path); err != nil || down {
		return nil, errors.Join(err, errors.New("the machine went down while the read models were open"))
	}
	files := []string{path}
	for _, why := range []string{keepAhead, keepForeign, "damaged"} {
		aside, err := filepath.Glob(path + "." + why + "-*")
		if err != nil {
			return nil, err
		}
		slices.Sort(aside)
		files = append(files, aside...)
	}
	var all []Told
	for _, file := range files {
		at, err := checkpointOf(file)
		if err != nil {
			return nil, fmt.Errorf("the read models in %s cannot be read: %w", filepath.Base(file), err)
		}
		all = append(all, Told{file, at.Epoch, at.Seq, at.ID})
	}
	return all, nil
}

// checkpointOf reads a file's checkpoint, and changes nothing.
func checkpointOf(path string) (at checkpoint, err error) {
	if _, err := os.Stat(path); err != nil {
		return at, err
	}
	err = reading(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return err
		}
		defer db.Close()
		if err := inspect(db, path); err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) (err error) {
			at, err = readCheckpoint(tx)
			return err
		})
	})
	return at, err
}
