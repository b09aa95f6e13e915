package eventlog

import (
	"context"
	"errors"
	"iter"
)

// How Pick reads what is not in memory (measured: Get 40 µs, Read 500 µs and then
// 5 µs a record).
const (
	pickGap = 8  // unwanted records that are read past rather than asked around
	pickRun = 12 // records for which a Read is begun
)

// Pick returns the records at the given sequences, which ascend. One that the log
// does not have is left out. It ends early with one error.
func (l *Log) Pick(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	if l.sealed {
		return l.pickFromFiles(ctx, seqs)
	}
	return func(yield func(Record, error) bool) {
		for len(seqs) > 0 {
			n := 1
			for n < len(seqs) && seqs[n]-seqs[n-1] <= pickGap {
				n++
			}
			pick := l.pickEach
			if n >= pickRun {
				pick = l.pickRun
			}
			for r, err := range pick(ctx, seqs[:n]) {
				if !yield(r, err) || err != nil {
					return
				}
			}
			seqs = seqs[n:]
		}
	}
}

// pickEach is Pick of a few.
func (l *Log) pickEach(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, seq := range seqs {
			r, err := l.Get(ctx, seq)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// pickRun is Pick of many that lie close together.
func (l *Log) pickRun(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range l.Read(ctx, seqs[0], seqs[len(seqs)-1]) {
			if err != nil {
				yield(r, err)
				return
			}
			for len(seqs) > 0 && seqs[0] < r.Seq {
				seqs = seqs[1:]
			}
			if len(seqs) > 0 && seqs[0] == r.Seq && !yield(r, nil) {
				return
			}
		}
	}
}
