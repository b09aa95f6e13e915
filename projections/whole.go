package projections

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// A load that is much beside what the file has is not put into it row by row. A file is
// written beside it, whole, of its rows and the load's, and takes its place. That is a
// pass over all rows in order. Putting one row into its page costs as much as twenty
// rows of such a pass, about as many as a page has, and writes the page anyway.

// suffixWhole is behind the name of a file that is to take another's place.
const suffixWhole = ".whole"

// replaces reports whether what is to be written behind is to be a whole file: if it has
// a row for every page that is stored.
func (w *writer) replaces(stored *bolt.Tx) bool {
	rows := 0
	for _, t := range w.state.bound {
		rows += len(t.behind.marked)
	}
	return w.path != "" && stored.Size()/int64(os.Getpagesize()) <= int64(rows)
}

// writeWhole writes what is stored and what was decided since into a file of its own.
func (w *writer) writeWhole(stored *bolt.Tx, l *loading) error {
	path := w.path + suffixWhole
	f, err := createPages(path)
	if err != nil {
		return fmt.Errorf("writing the read models: %w", err)
	}
	root, err := w.writeBuckets(f, stored, l)
	if err = errors.Join(err, f.close(root, !w.db.NoSync)); err != nil {
		return errors.Join(fmt.Errorf("writing the read models: %w", err), removeAll(path))
	}
	return nil
}

func (w *writer) writeBuckets(f *pageFile, stored *bolt.Tx, l *loading) (root uint64, err error) {
	at, err := json.Marshal(l.at)
	if err != nil {
		return 0, err
	}
	parked, err := parkedRows(l.outcome.park)
	if err != nil {
		return 0, err
	}
	before := stored.Bucket([]byte(bucketParked)).Cursor()
	top := map[string]uint64{
		bucketMeta:   f.rows(1, sorted(map[string][]byte{string(checkpointKey): at})),
		bucketParked: f.rows(1, merged(before, sorted(parked))),
	}
	roots := map[string]map[string]uint64{} // of each projector
	tables := w.tablesInOrder()
	defer func() { // also when a damaged page is met with
		for range tables {
		}
	}()
	for t := range tables {
		if roots[t.projector] == nil {
			roots[t.projector] = map[string]uint64{}
		}
		n, size := 0, 0
		roots[t.projector][t.name] = f.rows(t.fill, merged(t.bucketIn(stored).Cursor(), func(yield func([]byte, []byte) bool) {
			for key, value := range t.behind.writtenRows() {
				if n, size = n+1, size+len(key)+len(value); !yield(key, value) {
					return
				}
			}
		}))
		w.written.add(t.projector, n, size)
	}
	for projector, of := range roots {
		top[projector] = f.buckets(of)
	}
	return f.buckets(top), nil
}

// tablesInOrder sends each table once what is to be written of it is in order: while one
// table is written, the next ones are sorted.
func (w *writer) tablesInOrder() <-chan *table {
	tables := make(chan *table, len(w.state.bound))
	go func() { // until the channel is closed
		defer close(tables)
		var s sorter
		for _, t := range w.state.bound {
			s.order(&t.behind)
			tables <- t
		}
	}()
	return tables
}

// merged yields the rows behind a cursor as they are after changes, which ascend and
// have no value where a row goes.
func merged(stored *bolt.Cursor, changes iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		k, v := stored.First()
		for key, value := range changes {
			for k != nil && bytes.Compare(k, key) < 0 {
				if !yield(k, v) {
					return
				}
				k, v = stored.Next()
			}
			if bytes.Equal(k, key) {
				k, v = stored.Next()
			}
			if value != nil && !yield(key, value) {
				return
			}
		}
		for k != nil && yield(k, v) {
			k, v = stored.Next()
		}
	}
}

// sorted yields rows in the order of their keys.
func sorted(rows map[string][]byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			if !yield([]byte(key), rows[key]) {
				return
			}
		}
	}
}

// replace has the whole file take the place of the one it was made from: at every moment
// one of the two has the name, complete.
func (w *writer) replace(l *loading) error {
	db, err := openFile(w.path+suffixWhole, w.db.NoSync)
	if err != nil {
		return err
	}
	if err := os.Rename(w.path+suffixWhole, w.path); err != nil {
		return errors.Join(fmt.Errorf("putting the read models in place: %w", err), db.Close())
	}
	old := w.db
	w.db, w.at = db, l.at
	if w.serve != nil {
		w.serve(db)
	}
	w.replaced.Go(old.Close) // once its readers are done, who may wait for what this goroutine holds
	if db.NoSync {
		return nil
	}
	return syncDir(w.path)
}
