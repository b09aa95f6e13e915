package replay

import (
	"context"
	"errors"
	"fmt"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Explainer says what each record of a replay changed. For that it takes read models
// through the log, as far as the lines go. It is for one goroutine.
type Explainer struct {
	Log  *eventlog.Log
	Past *projections.Past // no further than before the first line

	follower *eventlog.Follower // behind the last line; nil before the first
	ahead    []eventlog.Record  // what it has read and nobody has asked for
}

// explainAhead is how many records are read at a time where lines come close together.
const explainAhead = 64

// Explain sets the changes of lines, which come in the order of the log from one call to
// the next, and which Log has.
func (e *Explainer) Explain(ctx context.Context, lines []Line) error {
	for i := range lines {
		if err := e.explain(ctx, &lines[i]); err != nil {
			return fmt.Errorf("explain record %d: %w", lines[i].Seq, err)
		}
	}
	return nil
}

func (e *Explainer) explain(ctx context.Context, l *Line) error {
	r, err := e.next(ctx, l.Seq)
	if err != nil {
		return err
	}
	l.Changes, err = e.apply(ctx, r)
	return err
}

// Replay is Auditor.Replay with changes, or Follow if follow, by the past alone: for who
// has no other read models. It goes through the log once. A filter that only read models
// can decide is an error.
func (e *Explainer) Replay(ctx context.Context, f Filter, follow bool, emit func([]Line) error) error {
	if f.Decided() {
		return errors.New("what a room was told, or the history of an id, takes read models of the log's end")
	}
	a := Auditor{Log: e.Log, Models: e.Past.Models}
	from, to, err := a.span(ctx, f)
	if err != nil {
		return err
	}
	for r, err := range a.scan(ctx, from, to) {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if err := e.show(ctx, f, r, emit); err != nil {
			return err
		}
	}
	if !follow || f.ends() {
		return nil
	}
	follower, err := e.Log.Follow(ctx, max(from, to+1))
	if err != nil {
		return fmt.Errorf("follow the log from seq %d: %w", to+1, err)
	}
	defer follower.Close()
	for {
		records, err := follower.Next(ctx, batchSize)
		if err != nil {
			return fmt.Errorf("follow the log: %w", err)
		}
		for _, r := range records {
			if err := e.show(ctx, f, r, emit); err != nil {
				return err
			}
		}
	}
}

// show emits the line of a record that matches, with its changes.
func (e *Explainer) show(ctx context.Context, f Filter, r eventlog.Record, emit func([]Line) error) error {
	if !f.match(&r) {
		return nil
	}
	changes, err := e.apply(ctx, r)
	if err != nil {
		return fmt.Errorf("explain record %d: %w", r.Seq, err)
	}
	var line [1]Line
	err = e.Past.View(func(v *projections.View) error {
		line[0] = lineOf(v, &r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up the outcome of record %d: %w", r.Seq, err)
	}
	line[0].Changes = changes
	return emit(line[:])
}

// apply takes the past to a record, and returns what it changed.
func (e *Explainer) apply(ctx context.Context, r eventlog.Record) ([]projections.Change, error) {
	if err := e.Past.GoTo(ctx, r.Seq-1); err != nil {
		return nil, err
	}
	changes, err := e.Past.Explain(r)
	if err != nil {
		return nil, err
	}
	if changes == nil {
		changes = []projections.Change{}
	}
	return changes, e.Past.Apply(r)
}

// next returns the record at seq.
func (e *Explainer) next(ctx context.Context, seq uint64) (r eventlog.Record, err error) {
	for len(e.ahead) > 0 && e.ahead[0].Seq < seq {
		e.ahead = e.ahead[1:]
	}
	if len(e.ahead) == 0 {
		if err := e.seek(ctx, seq); err != nil {
			return r, err
		}
	}
	r, e.ahead = e.ahead[0], e.ahead[1:]
	if r.Seq != seq {
		return r, fmt.Errorf("%w: it is gone", eventlog.ErrNotFound)
	}
	return r, nil
}

// seek reads on where the last record was, or begins at seq.
func (e *Explainer) seek(ctx context.Context, seq uint64) (err error) {
	if e.follower == nil || e.Past.Applied()+1 != seq {
		e.Close()
		if e.follower, err = e.Log.Follow(ctx, seq); err != nil {
			return err
		}
	}
	e.ahead, err = e.follower.Next(ctx, explainAhead)
	return err
}

// Close ends the reading. Past stays open.
func (e *Explainer) Close() {
	if e.follower != nil {
		e.follower.Close()
		e.follower = nil
	}
}
