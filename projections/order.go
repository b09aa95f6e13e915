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
func (b *buffer) inOrder() []row {
	byKey := func(r, s row) int { return bytes.Compare(b.key(r), b.key(s)) }
	if slices.IsSortedFunc(b.marked, byKey) {
		return b.marked
	}
	skip := b.commonPrefix()
	type sorted struct {
		at uint64
		r  row
	}
	order := make([]sorted, len(b.marked))
	for n, r := range b.marked {
		order[n] = sorted{firstBytes(b.key(r)[skip:]), r}
	}
	slices.SortFunc(order, func(x, y sorted) int {
		if x.at != y.at {
			return cmp.Compare(x.at, y.at)
		}
		return byKey(x.r, y.r)
	})
	for n, s := range order {
		b.marked[n] = s.r
	}
	return b.marked
}

// written yields the rows that were written in the order of their keys, those that were
// removed without a value.
func (b *buffer) written() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, r := range b.inOrder() {
			if b.is(r, dirty) && !yield(b.key(r), b.value(r)) {
				return
			}
		}
	}
}

// commonPrefix returns how many bytes the keys of all written rows begin with.
func (b *buffer) commonPrefix() int {
	first := b.key(b.marked[0])
	n := len(first)
	for _, r := range b.marked[1:] {
		key := b.key(r)
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
