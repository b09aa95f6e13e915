package eventlog

import (
	"context"
	"fmt"
	"math"
)

// Follower follows the log from a position, without gaps and without repeats. Next
// and Close are for one goroutine at a time.
type Follower struct {
	l      *Log
	cursor *cursor // through the durable log of the embedded server, or one open for reading
	live   *reader // of an outside server, where others append too
}

// Follow returns a follower whose first record is the one at from, or the next
// after it that the log has. Close it after use.
func (l *Log) Follow(ctx context.Context, from uint64) (*Follower, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if l.life.Err() != nil {
		return nil, ErrClosed
	}
	f := &Follower{l: l}
	if l.server != nil || l.readOnly() {
		f.cursor = l.newCursor(from)
	} else {
		f.live = l.newReader(streamEvents, "", max(from, l.first))
		f.live.live = true
	}
	return f, nil
}

// Next returns the records that come next, between one and max of them, none past
// the durable sequence. It waits for the first. It returns ErrClosed once the log
// is closed, and the cause of ctx when that ends.
func (f *Follower) Next(ctx context.Context, max int) ([]Record, error) {
	if max < 1 {
		return nil, fmt.Errorf("follow: at most %d records make no sense", max)
	}
	if f.live != nil {
		return f.nextLive(ctx, max)
	}
	for {
		durable, moved := f.l.tail.wait()
		records, err := f.cursor.read(ctx, nil, max, durable)
		if err != nil {
			return nil, fmt.Errorf("following the log at %d: %w", f.cursor.next, f.reason(err))
		}
		if len(records) > 0 {
			return records, nil
		}
		if f.cursor.next <= durable {
			continue
		}
		if f.l.reader {
			if err := f.l.poll(ctx); err != nil {
				return nil, fmt.Errorf("following the log at %d: %w", f.cursor.next, err)
			}
			continue
		}
		select {
		case <-moved:
		case <-f.l.life.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// nextLive reads from an outside server, which delivers only what is committed by
// its own rules; so what arrives is durable.
func (f *Follower) nextLive(ctx context.Context, max int) ([]Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(f.l.life, cancel)
	defer stop()
	records, err := f.live.read(ctx, nil, max, math.MaxUint64)
	if err != nil {
		return nil, fmt.Errorf("following the log at %d: %w", f.live.next, f.reason(err))
	}
	f.l.tail.advance(nil, records[len(records)-1].Seq)
	return records, nil
}

// reason says that the log was closed where that is what broke a read.
func (f *Follower) reason(err error) error {
	if f.l.life.Err() != nil {
		return ErrClosed
	}
	return err
}

// Close ends the follower.
func (f *Follower) Close() {
	if f.cursor != nil {
		f.cursor.close()
	}
	if f.live != nil {
		f.live.close()
	}
}
