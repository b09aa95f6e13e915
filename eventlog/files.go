package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrReadOnly means that the log is open for reading alone.
var ErrReadOnly = errors.New("the log is open for reading only")

func (l *Log) readOnly() bool { return l.sealed || l.reader }

// OpenFiles opens a log by its files alone, for reading: that of a stopped server, a
// copy or a backup, or what a running one has written so far. No server is started,
// for it would cut off what it cannot read; nothing is changed, and what is damaged
// is an ErrDamaged when it is come upon. Of Config only Dir and Logger are used.
//
// The durable sequence is the last record that can be read, at most to when that is
// not 0, and is moved by Extend alone.
func OpenFiles(cfg Config, to uint64) (*Log, error) {
	l, err := newLog(Config{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	l.sealed = true
	close(l.committed) // there is no committer
	l.queue.close()
	first, last, err := uint64(0), uint64(0), error(nil)
	if l.epoch, err = epochInFiles(cfg.Dir); err == nil {
		first, last, err = extent(blockFolder(cfg.Dir, streamEvents), streamEvents)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if to != 0 {
		last = min(last, to)
	}
	l.first = max(first, 1)
	l.last.Store(last)
	l.tail = newTail(last)
	return l, nil
}

// Extend moves the durable sequence of a log that OpenFiles opened on to a record that
// is known to be durable: from the running server whose files these are. It wakes who
// follows.
func (l *Log) Extend(to uint64) {
	if l.sealed {
		l.tail.advance(nil, to)
	}
}

// epochInFiles reads the log's epoch from the stream's meta file.
func epochInFiles(dir string) (string, error) {
	path := filepath.Join(streamFolder(dir, streamEvents), "meta.inf")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: there is no log in %s", ErrNotFound, dir)
	}
	if err != nil {
		return "", fmt.Errorf("reading the log's files: %w", err)
	}
	var meta struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	epoch := meta.Metadata[epochKey]
	if epoch == "" {
		return "", fmt.Errorf("%w: %s names no epoch", ErrDamaged, path)
	}
	return epoch, nil
}

// extent returns the first and the last sequence that the files of a stream hold, 0 and
// 0 for an empty one.
func extent(msgs, stream string) (first, last uint64, err error) {
	r := &blockReader{stream: stream, msgs: msgs}
	defer r.close()
	blocks, err := blockIndexes(r.msgs)
	if err != nil {
		return 0, 0, err
	}
	for _, index := range blocks {
		if first, _, err = firstOfBlock(blockPath(r.msgs, index)); err != nil {
			return 0, 0, fmt.Errorf("reading the log's files: %w", err)
		} else if first <= maxSequence {
			break
		}
		first = 0
	}
	for _, index := range slices.Backward(blocks) {
		if err := r.open(index); err != nil {
			return 0, 0, fmt.Errorf("reading the log's files: %w", err)
		}
		if last = r.lastReadable(); last > 0 {
			break
		}
	}
	return first, last, nil
}

// maxSequence is above any that a log comes to, and below the marks of the block files.
const maxSequence = 1<<62 - 1

// lastReadable returns the highest sequence of the open block. What is damaged there
// is passed over as long as its length can be believed; where not, nothing behind it
// can be found.
func (r *blockReader) lastReadable() (last uint64) {
	for {
		m, err := r.message()
		switch {
		case err == nil:
			if m.seq&(blockNoRecord|blockDeleted) == 0 {
				last = max(last, m.seq)
			}
		case errors.Is(err, ErrDamaged):
			r.rest = r.rest[r.damaged:]
		default: // the end, a torn write, or no length at all
			return last
		}
	}
}

// readFiles reads a stream of a log that is open by its files, from a place on.
func (l *Log) readFiles(ctx context.Context, stream string, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r, err := l.newBlockReader(stream, max(from, 1))
		if err != nil {
			yield(Record{}, fmt.Errorf("reading %s: %w", stream, err))
			return
		}
		defer r.close()
		var records []Record
		for {
			records, err = r.read(ctx, records, readBatch, maxSequence)
			for _, record := range records {
				if !yield(record, nil) {
					return
				}
			}
			if errors.Is(err, errEndOfBlocks) {
				return
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("reading %s: %w", stream, err))
				return
			}
		}
	}
}

// getFromFiles is Get in a log that is open by its files. Damage before the record is
// passed over.
func (l *Log) getFromFiles(ctx context.Context, seq uint64) (Record, error) {
	r, err := l.newBlockReader(streamEvents, seq)
	if err != nil {
		return Record{}, err
	}
	defer r.close()
	records, err := r.read(ctx, nil, 1, seq)
	for errors.Is(err, ErrDamaged) && r.damaged > 0 {
		r.rest, r.damaged = r.rest[r.damaged:], 0
		records, err = r.read(ctx, nil, 1, seq)
	}
	if err == nil && len(records) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Record{}, err
	}
	return records[0], nil
}

// pickNear is how far ahead a record may lie to be read up to: looking for its block
// costs as much.
const pickNear = 4096

// pickFromFiles is Pick in a log that is open by its files: there, too, it goes through
// a block no more than once.
func (l *Log) pickFromFiles(ctx context.Context, seqs []uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var r *blockReader
		for _, seq := range seqs {
			if seq > l.Durable() {
				return
			}
			if r == nil || seq-r.last > pickNear {
				if r != nil {
					r.close()
				}
				var err error
				if r, err = l.newBlockReader(streamEvents, seq); err != nil {
					yield(Record{}, fmt.Errorf("getting record %d: %w", seq, err))
					return
				}
			}
			r.next = seq
			records, err := r.read(ctx, nil, 1, seq)
			if err != nil {
				err = fmt.Errorf("getting record %d: %w", seq, err)
			} else if len(records) == 0 {
				continue
			} else if yield(records[0], nil) {
				continue
			}
			r.close()
			if err != nil {
				yield(Record{}, err)
			}
			return
		}
		if r != nil {
			r.close()
		}
	}
}

// timeInFiles returns the first place of a stream whose record was stored at or after
// t, 0 for none.
func (l *Log) timeInFiles(ctx context.Context, stream string, t time.Time) (uint64, error) {
	r := &blockReader{stream: stream, msgs: blockFolder(l.cfg.Dir, stream)}
	defer r.close()
	blocks, err := blockIndexes(r.msgs)
	if err != nil {
		return 0, err
	}
	begin := blocks[0]
	for _, index := range blocks {
		_, stored, err := firstOfBlock(blockPath(r.msgs, index))
		if err != nil {
			return 0, err
		}
		if stored >= t.UnixNano() {
			break
		}
		begin = index
	}
	if err := r.open(begin); err != nil {
		return 0, err
	}
	for ctx.Err() == nil {
		m, err := r.message()
		switch {
		case err == io.EOF:
			if err := r.open(r.index + 1); errors.Is(err, os.ErrNotExist) {
				return 0, nil
			} else if err != nil {
				return 0, err
			}
		case err != nil:
			return 0, fmt.Errorf("block %d: %w", r.index, err)
		case m.seq&(blockNoRecord|blockDeleted) == 0 && m.time >= t.UnixNano():
			return m.seq, nil
		}
	}
	return 0, context.Cause(ctx)
}
