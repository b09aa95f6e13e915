package replay

import (
	"context"
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
	if err := e.Past.GoTo(ctx, l.Seq-1); err != nil {
		return err
	}
	if l.Changes, err = e.Past.Explain(r); err != nil {
		return err
	}
	if l.Changes == nil {
		l.Changes = []projections.Change{}
	}
	return e.Past.Apply(r)
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
