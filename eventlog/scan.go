package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
)

// Scan reads the whole log for who looks for what is wrong with it: it goes on past
// damage, which it yields in its place as an error that is an ErrDamaged (and an
// io.ErrUnexpectedEOF where a file ends within a record), with the sequence that should
// have come there as the record's. What it yields need not ascend.
// Any other error is the last. Damage past the durable sequence is a write that was cut
// short or goes on, unless the log is known to have been longer. Only a log that is open
// by its files shows all of it; of another one Scan yields what Read does.
func (l *Log) Scan(ctx context.Context) iter.Seq2[Record, error] {
	if !l.sealed {
		return l.Read(ctx, 1, 0)
	}
	return func(yield func(Record, error) bool) {
		s := &scan{to: l.Durable(), yield: yield}
		s.r = &blockReader{stream: streamEvents, msgs: blockFolder(l.cfg.Dir, streamEvents)}
		defer s.r.close()
		blocks, err := blockIndexes(s.r.msgs)
		for i, index := range blocks {
			if i > 0 && index != blocks[i-1]+1 {
				err = s.damage(fmt.Errorf("block %d is missing", blocks[i-1]+1))
			}
			if err == nil {
				err = s.block(ctx, index)
			}
			if err != nil {
				break
			}
		}
		if err != nil && !errors.Is(err, errScanned) {
			yield(Record{}, fmt.Errorf("reading the log's files: %w", err))
		}
	}
}

// errScanned ends a scan that nobody wants more of.
var errScanned = errors.New("scanned")

// scan is one Scan under way.
type scan struct {
	r     *blockReader
	to    uint64
	last  uint64 // highest sequence that was yielded, or passed over as damaged
	bare  bool   // of records only Seq is wanted
	yield func(Record, error) bool

	damaged bool // some damage was yielded; see known.go
}

// block reads a block to its end.
func (s *scan) block(ctx context.Context, index int) error {
	if err := s.r.open(index); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("block %d is gone: %w", index, err)
	} else if err != nil {
		return err
	}
	for ctx.Err() == nil {
		m, err := s.r.message()
		switch {
		case errors.Is(err, io.EOF) && len(s.r.rest) == 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return s.damage(fmt.Errorf("block %d ends within a record: %w", index, io.ErrUnexpectedEOF))
		case errors.Is(err, ErrDamaged):
			s.r.rest = s.r.rest[s.r.damaged:]
			err = s.damage(fmt.Errorf("block %d: a record does not have its checksum", index))
		case err != nil: // no length to go on by
			return s.damage(fmt.Errorf("block %d: %w", index, err))
		case m.seq&(blockNoRecord|blockDeleted) != 0 || m.seq > s.to:
			// A place without a record, or past what is asked for.
		default:
			s.last = max(s.last, m.seq)
			record := Record{Seq: m.seq}
			if !s.bare {
				record = m.record()
			}
			if !s.yield(record, nil) {
				return errScanned
			}
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// damage yields damage in the place of the next record.
func (s *scan) damage(err error) error {
	s.last++
	if !s.yield(Record{Seq: s.last}, fmt.Errorf("%w: %w", ErrDamaged, err)) {
		return errScanned
	}
	return nil
}
