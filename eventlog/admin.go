package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"roomlog/schema"
)

// The places of ADMIN are its own. A fact has its place in EVENTS too, as Origin,
// and is not handed out before it is durable there.

const adminBatch = 256 // records that are asked for at a time

// AdminEntry shows a record of ADMIN to people. Whether a fact is void is not known
// here.
func (r *Record) AdminEntry() schema.AuditEntry {
	e := schema.AuditEntry{Seq: r.Seq, Time: r.Time, LogSeq: r.Origin, Data: r.Data}
	if kind, noted := strings.CutPrefix(r.Event, auditEvent); noted {
		e.Kind = kind
		return e
	}
	actor := r.Actor
	e.Kind, e.Event, e.Actor = schema.AuditFact, r.Event, &actor
	return e
}

// AdminBefore returns up to limit records of ADMIN before a place, 0 for its end,
// the newest first. Fewer than limit are all there are. What is too old to be kept
// and what is no record is passed over.
func (l *Log) AdminBefore(ctx context.Context, before uint64, limit int) ([]Record, error) {
	if l.sealed {
		return nil, ErrReadOnly
	}
	stream, err := l.js.Stream(ctx, streamAdmin)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", streamAdmin, err)
	}
	state := stream.CachedInfo().State
	if before == 0 || before > state.LastSeq {
		before = state.LastSeq + 1
	}
	first := max(state.FirstSeq, 1) // a stream that never held anything says 0
	var found []Record
	for before > first && len(found) < limit {
		from := max(first, before-min(before, uint64(min(limit-len(found), adminBatch))))
		records, err := l.adminRange(ctx, from, before)
		if err != nil {
			return nil, fmt.Errorf("reading %s before %d: %w", streamAdmin, before, err)
		}
		slices.Reverse(records)
		found = append(found, records...)
		before = from
	}
	return found, nil
}

// adminRange returns the records from..before-1, in order.
func (l *Log) adminRange(ctx context.Context, from, before uint64) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, l.js, streamAdmin, int(before-from), jetstreamext.GetBatchSeq(from))
	if err != nil {
		return nil, err
	}
	records := make([]Record, 0, before-from)
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break // they grew too old a moment ago
		}
		if err != nil {
			return nil, err
		}
		if m.Sequence >= before {
			break
		}
		if r := decode(m.Sequence, m.Subject, m.Header, m.Data); r.Err == nil && l.mayTell(&r) {
			records = append(records, r)
		}
	}
	return records, nil
}

// mayTell reports whether a record of ADMIN is no fact that EVENTS may yet lose.
func (l *Log) mayTell(r *Record) bool { return l.server == nil || r.Origin <= l.Durable() }

// AdminAtTime returns the first place of ADMIN that was stored at or after t: the
// one past its end when there is none yet.
func (l *Log) AdminAtTime(ctx context.Context, t time.Time) (uint64, error) {
	if l.sealed {
		seq, err := l.timeInFiles(ctx, streamAdmin, t)
		if err == nil && seq == 0 {
			seq = maxSequence
		}
		return seq, err
	}
	stream, err := l.js.Stream(ctx, streamAdmin)
	if err != nil {
		return 0, fmt.Errorf("looking up %v in %s: %w", t, streamAdmin, err)
	}
	t = t.UTC()
	m, err := l.direct(ctx, streamAdmin, getRequest{StartTime: &t, Batch: 1})
	if errors.Is(err, ErrNotFound) {
		return stream.CachedInfo().State.LastSeq + 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking up %v in %s: %w", t, streamAdmin, err)
	}
	return sequenceOf(m)
}

// ReadAdmin returns the records of ADMIN from a place on, oldest first: the facts
// of /admin, and what Audit recorded. It ends at the newest, or with one error.
func (l *Log) ReadAdmin(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range l.readStream(ctx, streamAdmin, "", from) {
			if err == nil && !l.mayTell(&r) {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// AdminFollower follows ADMIN from a place on. It is for one goroutine.
type AdminFollower struct {
	l    *Log
	live *reader
}

// FollowAdmin returns a follower of ADMIN whose first record is the one at from, or
// the next after it. Close it after use.
func (l *Log) FollowAdmin(from uint64) *AdminFollower {
	live := l.newReader(streamAdmin, "", max(from, 1))
	live.live = true
	return &AdminFollower{l, live}
}

// Next returns the records that come next, between one and most of them, and waits
// for the first. It returns ErrClosed once the log is closed, and the cause of ctx
// when that ends.
func (f *AdminFollower) Next(ctx context.Context, most int) ([]Record, error) {
	if f.l.readOnly() {
		return nil, ErrReadOnly
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(f.l.life, func() { cancel(ErrClosed) })
	defer stop()
	records, err := f.live.read(ctx, nil, most, math.MaxUint64)
	if err != nil {
		return nil, fmt.Errorf("following %s at %d: %w", streamAdmin, f.live.next, err)
	}
	for i := range records {
		if err := f.l.waitDurable(ctx, records[i].Origin); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Close ends the follower.
func (f *AdminFollower) Close() { f.live.close() }

// waitDurable waits until what the embedded server has at a place of EVENTS is
// durable. An outside one tells of nothing before.
func (l *Log) waitDurable(ctx context.Context, seq uint64) error {
	for l.server != nil {
		durable, moved := l.tail.wait()
		if seq <= durable {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// originOf reads a record's place in EVENTS from the header that the server gives
// to what it copies: "EVENTS 1042 events.admin.> > events.admin.admin.report"; a
// stream of another domain has more behind its name.
func originOf(header string) uint64 {
	stream, rest, _ := strings.Cut(header, " ")
	if name, _, _ := strings.Cut(stream, ":"); name != streamEvents {
		return 0
	}
	place, _, _ := strings.Cut(rest, " ")
	seq, _ := strconv.ParseUint(place, 10, 64) // 0 when there is none
	return seq
}
