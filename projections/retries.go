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

// keySet is a set of hashes, or of all there are once it has as many as it may.
type keySet struct {
	hashes map[uint64]struct{}
	most   int
}

// maxHashes bounds a set to some 150 MB. In a log that has more keys a day both crews work
// as one.
const maxHashes = 1 << 23

func newKeySet(most int) keySet { return keySet{map[uint64]struct{}{}, most} }

func (s keySet) has(hash uint64) bool {
	_, there := s.hashes[hash]
	return there || len(s.hashes) >= s.most
}

func (s keySet) add(hash uint64) {
	if len(s.hashes) < s.most {
		s.hashes[hash] = struct{}{}
	}
}

// newRetries makes one from the keys that are remembered in the file.
func newRetries(t *table, tx *bolt.Tx) *retries {
	r := &retries{newer: newKeySet(maxHashes), older: newKeySet(maxHashes)}
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
		t.since, t.older, t.newer = t.now, t.newer, newKeySet(t.newer.most)
	}
	again := t.newer.has(r.hashes.answer) || t.older.has(r.hashes.answer)
	t.newer.add(r.hashes.answer)
	return again
}
