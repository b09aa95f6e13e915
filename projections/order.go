package projections

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
)

// inOrder returns the rows that were written in the order of their keys. Sorting by
// keys far apart in memory costs more than writing them, so they are compared by the
// eight bytes behind what all of them begin with, which mostly decides.
func (b *buffer) inOrder() []uint32 {
	byKey := func(i, j uint32) int { return bytes.Compare(b.key(int(i)), b.key(int(j))) }
	if slices.IsSortedFunc(b.dirty, byKey) {
		return b.dirty
	}
	skip := b.commonPrefix()
	type sorted struct {
		at uint64
		i  uint32
	}
	order := make([]sorted, len(b.dirty))
	for n, i := range b.dirty {
		order[n] = sorted{firstBytes(b.key(int(i))[skip:]), i}
	}
	slices.SortFunc(order, func(x, y sorted) int {
		if x.at != y.at {
			return cmp.Compare(x.at, y.at)
		}
		return byKey(x.i, y.i)
	})
	for n, s := range order {
		b.dirty[n] = s.i
	}
	return b.dirty
}

// written yields the rows that were written in the order of their keys, those that were
// removed without a value.
func (b *buffer) written() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		last := -1
		for _, i := range b.inOrder() {
			i := int(i)
			if i == last || !b.rows[i].dirty { // written, taken back, and perhaps written again
				continue
			}
			if last = i; !yield(b.key(i), b.value(i)) {
				return
			}
		}
	}
}

// commonPrefix returns how many bytes the keys of all written rows begin with.
func (b *buffer) commonPrefix() int {
	first := b.key(int(b.dirty[0]))
	n := len(first)
	for _, i := range b.dirty[1:] {
		key := b.key(int(i))
		n = min(n, len(key))
		for at := range n {
			if key[at] != first[at] {
				n = at
				break
			}
		}
	}
	return n
}

// firstBytes is the beginning of a key as a number that sorts as keys do, but for
// those that differ only by zero bytes at their ends.
func firstBytes(key []byte) uint64 {
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
