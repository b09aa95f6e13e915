package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Standing is what a file of read models says of itself, and what the next start is to
// make of it.
type Standing struct {
	Epoch  string
	Seq    uint64
	Parked []ParkedRecord
	Digest string // "" unless it was asked for
	Remark string // what the next start does besides catching up: "" for nothing
}

// ErrNoFile means that there are no read models yet.
var ErrNoFile = errors.New("there are no read models")

// Stand looks at a file of read models that no server has open, and changes nothing,
// not even what is wrong with it: ErrNoFile when there is none, another error when it
// is damaged or somebody has it open.
func Stand(ctx context.Context, path string, withDigest bool) (s Standing, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return s, ErrNoFile
	}
	down, err := wentDown(path)
	if err != nil {
		return s, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { // bbolt panics when it opens what is no file of its own
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second, NoStatistics: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return s, fmt.Errorf("another process has %s open; wait until it is done", path)
	case errors.Is(err, os.ErrPermission):
		return s, fmt.Errorf("opening the read models: %w", err)
	case err != nil:
		return s, fmt.Errorf("%w: %v", errDamaged, err)
	}
	defer db.Close()
	if err := inspect(db, path); err != nil {
		return s, err
	}
	err = reading(func() error { return db.View(func(tx *bolt.Tx) error { return s.read(ctx, tx, withDigest) }) })
	if down && err == nil {
		s.Remark = "the machine went down while they were open, so the next start makes them anew"
	}
	return s, err
}

func (s *Standing) read(ctx context.Context, tx *bolt.Tx, withDigest bool) error {
	at, err := readCheckpoint(tx)
	if err != nil || at.Epoch == "" {
		return err
	}
	s.Epoch, s.Seq = at.Epoch, at.Seq
	if !maps.Equal(at.Versions, versions) {
		s.Remark = "another release made them, so the next start makes them anew"
	}
	if s.Parked, err = parkedIn(tx); err != nil || !withDigest || !maps.Equal(at.Versions, versions) {
		return err
	}
	d, err := digestIn(ctx, tx)
	s.Digest = d.Total
	return err
}

func parkedIn(tx *bolt.Tx) (all []ParkedRecord, err error) {
	err = tx.Bucket([]byte(bucketParked)).ForEach(func(_, row []byte) error {
		var p ParkedRecord
		if err := json.Unmarshal(row, &p); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	})
	return all, err
}

// Size returns how many bytes the read models at path have on disk, with what a rebuild
// makes beside them and what it replaced.
func Size(path string) (total int64, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filepath.Base(path)) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}
