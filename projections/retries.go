package projections

import (
	bolt "go.etcd.io/bbolt"

	"roomlog/schema"
)

// retries knows of which records a load may meet a retry: it has the hash of every key
// that may still be remembered, and those of some that are not.
type retries struct {
	now, since schema.Time // log time, and when the newer of hashes was begun
	newer      map[uint64]struct{}
	older      map[uint64]struct{}
}

// newRetries makes one from the keys that are remembered in the file.
func newRetries(t *table, tx *bolt.Tx) *retries {
	r := &retries{newer: map[uint64]struct{}{}}
	c := t.bucketIn(tx).Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		r.newer[hashOf(key)] = struct{}{}
	}
	return r
}

// may reports whether a record may repeat one that it was told of, and notes it.
func (t *retries) may(r *record) bool {
	t.now = max(t.now, r.Time)
	if t.now >= t.since+keyTTL { // all that is older is forgotten by now
		t.since, t.older, t.newer = t.now, t.newer, make(map[uint64]struct{}, len(t.newer))
	}
	hash := hashOf(pair(r.Actor.ID, r.Key))
	_, again := t.newer[hash]
	if !again {
		_, again = t.older[hash]
		t.newer[hash] = struct{}{}
	}
	return again
}
