package projections

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
)

// written yields the rows that were written in the order of their keys, those that were
// removed without a value.
func (b *buffer) written() iter.Seq2[[]byte, []byte] {
	b.inOrder()
	return b.writtenRows()
}

// writtenRows is written once the rows are in order.
func (b *buffer) writtenRows() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, r := range b.marked {
			if b.is(r, dirty) && !yield(b.key(r), b.value(r)) {
				return
			}
		}
	}
}

// inOrder returns the rows that were written in the order of their keys.
func (b *buffer) inOrder() []row {
	new(sorter).order(b)
	return b.marked
}

func (b *buffer) byKey(r, s row) int { return bytes.Compare(b.key(r), b.key(s)) }

// sorter puts rows in the order of their keys. These lie far apart in memory, where a
// look costs more than all else. So it gathers eight bytes of each, those behind what all
// begin with, and distributes the rows by these: a radix sort from the most significant
// digit on. Rows that have all eight in common are then sorted by what follows.
//
// It may be used for one buffer after the other: it keeps its memory.
type sorter struct {
	*buffer
	rows, spare []gathered
}

// gathered is a row with eight bytes of its key.
type gathered struct {
	bytes uint64
	row   row
}

// fewRows are sorted faster by comparing them.
const fewRows = 32

// order puts the rows that were written into a buffer in the order of their keys, in
// which those of many tables were written.
func (s *sorter) order(b *buffer) {
	if slices.IsSortedFunc(b.marked, b.byKey) {
		return
	}
	s.buffer, s.rows = b, s.rows[:0]
	for _, r := range b.marked {
		s.rows = append(s.rows, gathered{row: r})
	}
	s.sort(s.rows, 0)
	for i, g := range s.rows {
		b.marked[i] = g.row
	}
}

// sort sorts rows whose keys are the same up to a place.
func (s *sorter) sort(rows []gathered, from int) {
	byKey := func(x, y gathered) int { return s.byKey(x.row, y.row) }
	if slices.IsSortedFunc(rows, byKey) {
		return
	}
	if len(rows) > fewRows {
		end := s.gather(rows, from)
		if differing := bitsOf(rows); differing != 0 { // or some end where others have zero bytes
			s.distribute(rows, differing, end)
			return
		}
	}
	slices.SortFunc(rows, byKey)
}

// gather gets eight bytes of each key, behind what all have in common from a place on.
// It returns where they end.
func (s *sorter) gather(rows []gathered, from int) (end int) {
	rest := func(g gathered) []byte {
		key := s.key(g.row)
		return key[min(from, len(key)):]
	}
	common := shared(rest(rows[0]), rest(rows[len(rows)-1]))
	for i := 0; i < len(rows); i++ {
		key := rest(rows[i])
		if !bytes.HasPrefix(key, common) { // it is less: begin again
			common = shared(key, common)
			i = -1
			continue
		}
		rows[i].bytes = firstBytes(key[len(common):])
	}
	return from + len(common) + 8
}

// distribute sorts rows by what is gathered, which ends at a place of the keys and
// differs in some bits.
func (s *sorter) distribute(rows []gathered, differing uint64, end int) {
	shift := max(0, bits.Len64(differing)-8)
	var ends [256]int // of the rows by the first eight bits from where they differ
	for i := range rows {
		ends[byte(rows[i].bytes>>shift)]++
	}
	sum := 0
	for digit, n := range ends {
		ends[digit], sum = sum, sum+n
	}
	s.spare = append(s.spare[:0], rows...)
	for _, g := range s.spare {
		at := &ends[byte(g.bytes>>shift)]
		rows[*at] = g
		*at++
	}
	begin := 0
	for _, n := range ends {
		s.sortGathered(rows[begin:n], end)
		begin = n
	}
}

// sortGathered sorts rows by what is gathered, which ends at a place of the keys, and by
// what follows.
func (s *sorter) sortGathered(rows []gathered, end int) {
	if len(rows) > fewRows {
		if differing := bitsOf(rows); differing != 0 {
			s.distribute(rows, differing, end)
		} else {
			s.sort(rows, end)
		}
		return
	}
	insertionSort(rows)
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].bytes == rows[0].bytes {
			n++
		}
		if n > 1 {
			s.sort(rows[:n], end)
		}
		rows = rows[n:]
	}
}

// insertionSort sorts a few rows by what is gathered.
func insertionSort(rows []gathered) {
	for i := 1; i < len(rows); i++ {
		g, at := rows[i], i
		for ; at > 0 && rows[at-1].bytes > g.bytes; at-- {
			rows[at] = rows[at-1]
		}
		rows[at] = g
	}
}

// bitsOf returns the bits in which what is gathered differs.
func bitsOf(rows []gathered) (differing uint64) {
	for i := range rows {
		differing |= rows[i].bytes ^ rows[0].bytes
	}
	return differing
}

// shared returns what two keys begin with.
func shared(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// firstBytes is the beginning of a key as a number that sorts as keys do, but for
// those that differ only by zero bytes at their ends.
func firstBytes(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
