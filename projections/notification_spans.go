package projections

import (
	"encoding/binary"
	"slices"
)

// spans is a set of messages by their numbers in a conversation: runs of them, in
// order, with a gap between any two. It is what makes counts right whatever happens
// to one of the messages: that one is in the set, or it never counted.
type spans []span

type span struct{ first, last uint64 }

// maxSpans bounds a row of one who answers but never reads, where every answer of
// theirs leaves a gap. The oldest span is forgotten then, as if it was read.
const maxSpans = 1000

func (s spans) size() (n uint64) {
	for _, run := range s {
		n += run.last - run.first + 1
	}
	return n
}

// pairs shows the numbers as people do: the first and the last of each run.
func (s spans) pairs() [][2]uint64 {
	all := make([][2]uint64, len(s))
	for i, run := range s {
		all[i] = [2]uint64{run.first, run.last}
	}
	return all
}

// at returns the index of the first span that does not end before n.
func (s spans) at(n uint64) int {
	i, _ := slices.BinarySearchFunc(s, n, func(run span, n uint64) int {
		if run.last < n {
			return -1
		}
		return 1
	})
	return i
}

func (s spans) has(n uint64) bool {
	i := s.at(n)
	return i < len(s) && s[i].first <= n
}

func (s spans) with(n uint64) spans {
	if s.has(n) {
		return s
	}
	i := s.at(n)
	s = slices.Insert(slices.Clone(s), i, span{n, n})
	if i+1 < len(s) && s[i+1].first == n+1 {
		s[i].last = s[i+1].last
		s = slices.Delete(s, i+1, i+2)
	}
	if i > 0 && s[i-1].last == n-1 {
		s[i-1].last = s[i].last
		s = slices.Delete(s, i, i+1)
	}
	return s[max(0, len(s)-maxSpans):]
}

func (s spans) without(n uint64) spans {
	if !s.has(n) {
		return s
	}
	i := s.at(n)
	var rest spans
	if run := s[i]; run.first < n {
		rest = append(rest, span{run.first, n - 1})
	}
	if run := s[i]; n < run.last {
		rest = append(rest, span{n + 1, run.last})
	}
	return slices.Concat(s[:i], rest, s[i+1:])
}

// after returns what is higher than n.
func (s spans) after(n uint64) spans {
	s = slices.Clone(s[s.at(n+1):])
	if len(s) > 0 {
		s[0].first = max(s[0].first, n+1)
	}
	return s
}

// A row holds how many spans there are, then of each the gap before it and how far
// it reaches.
func (s spans) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	before := uint64(0)
	for _, run := range s {
		b = binary.AppendUvarint(b, run.first-before)
		b = binary.AppendUvarint(b, run.last-run.first)
		before = run.last
	}
	return b
}

func (f *fields) spans() (s spans) {
	before := uint64(0)
	for n := f.uint(); n > 0; n-- {
		first := before + f.uint()
		before = first + f.uint()
		s = append(s, span{first, before})
	}
	return s
}

// encodedSpans returns a set as it is in the row.
func (f *fields) encodedSpans() []byte {
	all := f.rest
	for n := f.uint(); n > 0; n-- {
		f.uint()
		f.uint()
	}
	return all[:len(all)-len(f.rest)]
}

// noSpans is the empty set as rows hold it.
var noSpans = spans{}.encode(nil)

// appendWith is with for an encoded set and a number behind all that are in it: each
// message does that for all who have not read the ones before it.
func appendWith(b, set []byte, n uint64) []byte {
	f := fields{set}
	count := f.uint()
	if count == maxSpans {
		f = fields{set}
		return f.spans().with(n).encode(b)
	}
	runs, length, last := f.rest, uint64(0), uint64(0)
	ofLast := 0 // where the length of the last run is
	for range count {
		last += f.uint()
		ofLast = len(runs) - len(f.rest)
		length = f.uint()
		last += length
	}
	if count > 0 && n == last+1 {
		b = binary.AppendUvarint(b, count)
		return binary.AppendUvarint(append(b, runs[:ofLast]...), length+1)
	}
	b = append(binary.AppendUvarint(b, count+1), runs...)
	b = binary.AppendUvarint(b, n-last)
	return binary.AppendUvarint(b, 0)
}
