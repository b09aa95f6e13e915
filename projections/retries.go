package projections

import (
	bolt "go.etcd.io/bbolt"

	"roomlog/schema"
)

// retries knows of which records a load may meet a retry: it has the hash of every key
// that may still be remembered, and those of some that are not.
type retries struct {
	now, since   schema.Time // log time, and when newer was begun
	newer, older keySet
}

// keySet is a set of them, or of all there are once it is full.
type keySet map[uint64]struct{}

// maxHashes bounds a set: some 150 MB. In a log that has more keys a day both crews work
// as one.
const maxHashes = 1 << 23

func (h keySet) has(hash uint64) bool {
	_, there := h[hash]
	return there || len(h) >= maxHashes
}

func (h keySet) add(hash uint64) {
	if len(h) < maxHashes {
		h[hash] = struct{}{}
	}
}

// newRetries makes one from the keys that are remembered in the file.
func newRetries(t *table, tx *bolt.Tx) *retries {
	r := &retries{newer: keySet{}}
	c := t.bucketIn(tx).Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		r.newer.add(hashOf(key))
	}
	return r
}

// may reports whether a record may repeat one that it was asked about, and notes it.
func (t *retries) may(r *record) bool {
	t.now = max(t.now, r.Time)
	if t.now >= t.since+keyTTL { // all that is older is forgotten by now
		t.since, t.older, t.newer = t.now, t.newer, keySet{}
	}
	again := t.newer.has(r.hashes.answer) || t.older.has(r.hashes.answer)
	t.newer.add(r.hashes.answer)
	return again
}
