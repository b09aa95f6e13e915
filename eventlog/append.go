package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roomlog/schema"
)

// Reserve is the free space, in bytes, below which a log with files of its own takes
// no records: enough that the group under way, the server's own files and the read
// models never meet a full disk in the middle of a write, after which the server
// would refuse the stream until a restart.
const Reserve = 64 << 20

// Append queues a fact for the next group commit and returns without waiting for
// the disk; it blocks only while the queue is full. Version 0 stands for the
// catalogue's own. Records are committed in the order of the calls of one
// goroutine.
//
// done is called exactly once, in queue order, from the committer's goroutine,
// after the record is on disk (seq is its place) or with an error; it must not
// block. It is not called when Append itself returns an error. A *schema.Error in
// the error is what a client may be told; a temporary one may be tried again with
// the same record.
func (l *Log) Append(ctx context.Context, r Record, done func(seq uint64, err error)) error {
	return l.append(ctx, r, l.source, done)
}

// Import is Append for a record of another log, of which it keeps everything but the
// place: its source, too.
func (l *Log) Import(ctx context.Context, r Record, done func(seq uint64, err error)) error {
	return l.append(ctx, r, r.Source(), done)
}

func (l *Log) append(ctx context.Context, r Record, source string, done func(seq uint64, err error)) error {
	if l.readOnly() {
		return ErrReadOnly
	}
	event, ok := schema.Lookup(r.Event)
	if !ok || event.Kind != schema.Fact {
		return fmt.Errorf("append: %q is no fact of the catalogue", r.Event)
	}
	e, err := l.newEntry(event, r, source)
	if err != nil {
		return fmt.Errorf("append %s: %w", r.Event, err)
	}
	e.done = done
	return l.queue.put(ctx, e)
}

// AppendWait appends a fact and waits until it is on disk. When ctx ends first,
// the record may still be committed.
func (l *Log) AppendWait(ctx context.Context, r Record) (uint64, error) {
	type result struct {
		seq uint64
		err error
	}
	committed := make(chan result, 1)
	err := l.Append(ctx, r, func(seq uint64, err error) { committed <- result{seq, err} })
	if err != nil {
		return 0, err
	}
	select {
	case c := <-committed:
		return c.seq, c.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// newEntry encodes a record in the caller's goroutine, so that senders share the
// work and hear at once of a record that cannot be stored.
func (l *Log) newEntry(event *schema.Event, r Record, source string) (*entry, error) {
	if r.Version == 0 {
		r.Version = event.Version
	}
	r.Event, r.Seq, r.Err = event.Name, 0, nil
	msg, r, size, err := encode(r, event.Subject(), source)
	if err != nil {
		return nil, err
	}
	if limit := l.nc.MaxPayload(); int64(size) > limit {
		return nil, fmt.Errorf("the record has %d bytes, the log takes at most %d", size, limit)
	}
	return &entry{record: r, msg: msg, size: size}, nil
}

// commitLoop is the committer: the one goroutine that publishes facts, makes them
// durable and answers for them.
func (l *Log) commitLoop() {
	defer close(l.committed)
	for {
		group := l.queue.take()
		if group == nil {
			return
		}
		l.commit(group)
	}
}

// commit publishes a group, waits for its acks, syncs, advances the durable
// sequence, answers; in this order.
func (l *Log) commit(group []*entry) {
	start := time.Now()
	err := l.writable()
	if full := errors.Is(err, ErrFull); full != l.full {
		l.full = full
		if full {
			l.log.Error("the log takes no records for now", "error", err)
		} else {
			l.log.Info("the log takes records again")
		}
	}
	if err != nil {
		err = unavailable(err)
		for _, e := range group {
			e.done(0, err)
		}
		return
	}
	if err := l.pub.publish(group); err != nil {
		if l.server != nil {
			// The embedded server answers within microseconds or, after a write error,
			// never again until it is restarted.
			l.fail(fmt.Errorf("%w: it has most likely met a write error; free the disk or replace it, then start again: %w", ErrLost, err))
		} else {
			l.log.Warn("records were not acked by NATS", "error", err)
		}
	}
	l.makeDurable(group)
	for _, e := range group {
		if e.err == nil && !e.acked {
			e.err = unavailable(ErrLost)
		}
		if e.err != nil {
			e.done(0, e.err)
		} else {
			e.done(e.record.Seq, nil)
		}
	}
	l.metrics.group(len(group), time.Since(start))
}

// writable says why a group should not even be tried.
func (l *Log) writable() error {
	if err := l.Err(); err != nil {
		return err
	}
	if l.server == nil {
		return nil
	}
	free, err := l.cfg.FreeSpace(l.cfg.Dir)
	if err != nil {
		return err
	}
	if free < Reserve {
		return fmt.Errorf("%w: %d MiB are left of the %d that the log keeps free; it goes on once there is space", ErrFull, free>>20, Reserve>>20)
	}
	return nil
}

// makeDurable syncs what the server acked and lets followers see it.
func (l *Log) makeDurable(group []*entry) {
	var last uint64
	var bytes int64
	stored := make([]Record, 0, len(group))
	for _, e := range group {
		if !e.acked {
			continue
		}
		last = max(last, e.record.Seq)
		stored = append(stored, e.record)
		if !e.duplicate {
			bytes += int64(e.size)
		}
	}
	if len(stored) == 0 {
		return
	}
	l.last.Store(max(l.last.Load(), last))
	if l.blocks != nil {
		start := time.Now()
		if err := l.blocks.commit(bytes); err != nil {
			l.fail(fmt.Errorf("making the log durable failed, nothing further is acked: %w", err))
		}
		l.metrics.sync(time.Since(start))
	}
	if err := l.Err(); err != nil {
		for _, e := range group {
			e.acked, e.err = false, unavailable(err)
		}
		return
	}
	if l.server == nil {
		stored = nil // other nodes' records stand between these
	}
	l.tail.advance(stored, last)
}
