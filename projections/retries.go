package projections

import (
	bolt "go.etcd.io/bbolt"

	"roomlog/schema"
)

// retries knows of which records a load may meet a retry: it has the hash of every key
// that may still be remembered, and those of some that are not. They are in one hash table,
// for a look at memory that is in no cache costs more than all else here.
type retries struct {
	now, since schema.Time // log time, and when the newer ones began
	slots      []uint64    // a power of two, at most half full: hashes with their flags
	taken      int
	newer      uint64  // inOdd or 0: the flag of the newer ones
	lost       [2]bool // there was no room for some of the newer, and of the older: every key may be one
	most       int
	seen       uint64 // by warm, which the compiler must not leave out
}

// The lowest bits of a slot are flags.
const (
	inOdd  = 1 << iota // in which of two sets it is, the newer or the older one
	inUse              // otherwise there is no hash
	inFlag = inOdd | inUse
)

// maxHashes bounds them to 128 MB. In a log that has more keys a day both crews work as one.
const maxHashes = 1 << 23

// newRetries makes one from the keys that are remembered in the file.
func newRetries(t *table, tx *bolt.Tx) *retries {
	r := &retries{most: maxHashes}
	c := t.bucketIn(tx).Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		r.add(hashOf(key))
	}
	return r
}

// may reports whether a record may repeat one that it was asked about, and notes it.
func (t *retries) may(r *record) bool {
	t.now = max(t.now, r.Time)
	if t.now >= t.since+keyTTL { // all that is older is forgotten by now
		t.since = t.now
		t.forgetOlder()
	}
	return t.add(r.hashes.answer) || t.lost[0] || t.lost[1]
}

// add notes a hash, and reports whether it was there.
func (t *retries) add(hash uint64) bool {
	if 2*(t.taken+1) > len(t.slots) && t.taken < t.most {
		t.grow(max(1<<10, 2*len(t.slots)), inFlag)
	}
	at := t.find(hash)
	there := t.slots[at] != 0
	switch {
	case there:
	case t.taken == t.most:
		t.lost[0] = true
		return false
	default:
		t.taken++
	}
	t.slots[at] = hash&^inFlag | inUse | t.newer
	return there
}

// find returns where a hash is, or would be.
func (t *retries) find(hash uint64) int {
	mask := len(t.slots) - 1
	at := int(hash>>32) & mask
	for t.slots[at] != 0 && (t.slots[at]^hash)&^inFlag != 0 {
		at = (at + 1) & mask
	}
	return at
}

// forgetOlder leaves the newer ones, which are the older ones from now on.
func (t *retries) forgetOlder() {
	t.grow(len(t.slots), t.newer)
	t.newer ^= inOdd
	t.lost = [2]bool{false, t.lost[0]}
}

// grow makes so many slots for those of one set, or of both.
func (t *retries) grow(slots int, set uint64) {
	old := t.slots
	t.slots, t.taken = make([]uint64, slots), 0
	for _, s := range old {
		if s != 0 && (set == inFlag || s&inOdd == set) {
			t.slots[t.find(s)] = s
			t.taken++
		}
	}
}

// warm has the slots in the caches that records will ask for.
func (t *retries) warm(records []record) {
	if mask := len(t.slots) - 1; mask >= 0 {
		for i := range records {
			t.seen += t.slots[int(records[i].hashes.answer>>32)&mask]
		}
	}
}
