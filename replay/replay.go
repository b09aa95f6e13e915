package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Auditor reads a log together with the outcomes that its read models hold. Its
// methods may be called from any goroutine.
type Auditor struct {
	Log    *eventlog.Log
	Models *projections.Models
	Reads  *atomic.Int64 // counts the records that are read from the log; nil: nobody does
}

// batchSize is how many records are read, looked up and handed on at a time.
const batchSize = 256

// Replay calls emit with the records that match f, in the order of the log, a
// batch at a time, up to the end of the log as it is at the call. An error of
// emit ends it.
func (a Auditor) Replay(ctx context.Context, f Filter, emit func([]Line) error) error {
	q, err := a.query(ctx, f)
	if err != nil {
		return err
	}
	_, err = a.replay(ctx, q, emit)
	return err
}

// Follow is Replay, and then goes on with the records that are committed, each
// as soon as the read models have decided it, until ctx ends or emit fails.
// A filter that ends (To, Until) is not followed past its end.
func (a Auditor) Follow(ctx context.Context, f Filter, emit func([]Line) error) error {
	q, err := a.query(ctx, f)
	if err != nil {
		return err
	}
	next, err := a.replay(ctx, q, emit)
	if err != nil || f.ends() {
		return err
	}
	follower, err := a.Log.Follow(ctx, next)
	if err != nil {
		return fmt.Errorf("follow the log from seq %d: %w", next, err)
	}
	defer follower.Close()
	for {
		records, err := follower.Next(ctx, batchSize)
		if err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
		if err := a.Models.WaitApplied(ctx, records[len(records)-1].Seq); err != nil {
			return fmt.Errorf("wait for the read models: %w", err)
		}
		matching := records[:0:0]
		for i := range records {
			if q.match(&records[i]) {
				matching = append(matching, records[i])
			}
		}
		if err := a.emit(q, matching, emit); err != nil {
			return err
		}
	}
}

// replay shows what the log holds now and returns the seq after it.
func (a Auditor) replay(ctx context.Context, q query, emit func([]Line) error) (next uint64, err error) {
	from, to, err := a.span(ctx, q.Filter)
	if err != nil {
		return 0, err
	}
	next = max(from, to+1)
	if from > to {
		return next, nil
	}
	if q.Decided() {
		if err := a.Models.WaitApplied(ctx, to); err != nil {
			return 0, fmt.Errorf("wait for the read models: %w", err)
		}
	}
	if lists := q.lists(); lists != nil {
		applied := min(a.Models.Applied(), to)
		if err := a.batches(q, a.listed(ctx, lists, from, applied), emit); err != nil {
			return 0, err
		}
		from = max(from, applied+1) // the index ends there; the tail is read record by record
	}
	if from > to {
		return next, nil
	}
	return next, a.batches(q, a.scan(ctx, from, to), emit)
}

// scan yields the records of from..to as the log has them.
func (a Auditor) scan(ctx context.Context, from, to uint64) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range a.Log.Read(ctx, from, to) {
			a.count(1)
			if !yield(r, err) {
				return
			}
		}
	}
}

// batches hands those of records that match on to emit.
func (a Auditor) batches(q query, records iter.Seq2[eventlog.Record, error], emit func([]Line) error) error {
	batch := make([]eventlog.Record, 0, batchSize)
	for r, err := range records {
		if err != nil { // what came before it is shown first
			return errors.Join(a.emit(q, batch, emit), fmt.Errorf("read the log: %w", err))
		}
		if !q.match(&r) {
			continue
		}
		if batch = append(batch, r); len(batch) == batchSize {
			if err := a.emit(q, batch, emit); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return a.emit(q, batch, emit)
}

// emit gives records their outcomes, all as of one position, and hands them on.
func (a Auditor) emit(q query, records []eventlog.Record, emit func([]Line) error) error {
	lines := make([]Line, 0, len(records))
	if len(records) == 0 {
		return nil
	}
	err := a.Models.View(func(v *projections.View) error {
		for i := range records {
			if !q.has(v, &records[i]) {
				continue
			}
			l := lineOf(v, &records[i])
			if q.CloudEvents {
				l.cloudEvent(&records[i])
			}
			lines = append(lines, l)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up outcomes: %w", err)
	}
	if len(lines) == 0 {
		return nil
	}
	return emit(lines)
}

// At returns the place at which the log stood at a time: that of the last record before
// the first one that was accepted later; 0 when all were.
func (a Auditor) At(ctx context.Context, t time.Time) (uint64, error) {
	// What was stored by then had been accepted by then. Of what was stored later some
	// may have been, too: all of it in a log that was imported.
	from, err := a.Log.SeqAtTime(ctx, t.Add(1))
	if err != nil {
		return 0, fmt.Errorf("find where the log stood at %s: %w", t.Format(time.RFC3339), err)
	}
	for r, err := range a.scan(ctx, from, 0) {
		if err != nil {
			return 0, fmt.Errorf("find where the log stood at %s: %w", t.Format(time.RFC3339), err)
		}
		if r.Err == nil && r.Time.Go().After(t) {
			return r.Seq - 1, nil
		}
	}
	return a.Log.Durable(), nil
}

func errSince(f Filter, err error) error {
	return fmt.Errorf("find the first record since %s: %w", f.Since, err)
}
