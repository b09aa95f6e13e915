package replay

import (
	"context"
	"iter"
	"slices"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// list yields the places of a view, ascending, from one on.
type list func(v *projections.View, from uint64) iter.Seq[uint64]

// query is a filter with what had to be looked up for it.
type query struct {
	Filter
	of *dossier // nil: any
}

func (a Auditor) query(ctx context.Context, f Filter) (q query, err error) {
	q.Filter = f
	if f.Of != "" {
		q.of, err = a.open(ctx, f.Of)
	}
	return q, err
}

// lists returns where the history index has what q asks for, nil when the log must be
// read instead. The condition that mostly leaves least comes first.
func (q *query) lists() []list {
	switch {
	case q.of != nil:
		return q.of.lists()
	case q.Entity != "":
		return []list{func(v *projections.View, from uint64) iter.Seq[uint64] { return v.EntitySeqs(q.Entity, from) }}
	case q.Room != "":
		return []list{func(v *projections.View, from uint64) iter.Seq[uint64] { return v.ToldSeqs(q.Room, from) }}
	case q.Actor != "":
		return []list{func(v *projections.View, from uint64) iter.Seq[uint64] { return v.ActorSeqs(q.Actor, from) }}
	}
	return nil
}

// has reports whether r, which match has let through, is one that q asks for.
func (q *query) has(v *projections.View, r *eventlog.Record) bool {
	return (q.of == nil || q.of.has(v, r)) && (q.Room == "" || v.WasTold(q.Room, r.Seq))
}

// listed yields the records of from..to that any of lists has, in order.
func (a Auditor) listed(ctx context.Context, lists []list, from, to uint64) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for from <= to {
			seqs, more, err := a.seqs(lists, from, to)
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			for r, err := range a.Log.Pick(ctx, seqs) {
				a.count(1)
				if !yield(r, err) || err != nil {
					return
				}
			}
			if !more {
				return
			}
			from = seqs[len(seqs)-1] + 1
		}
	}
}

// seqs returns the next places of from..to that any of lists has, at most batchSize of
// them, and whether there may be more.
func (a Auditor) seqs(lists []list, from, to uint64) (seqs []uint64, more bool, err error) {
	err = a.Models.View(func(v *projections.View) error {
		for _, l := range lists {
			n := 0
			for seq := range l(v, from) {
				if seq > to {
					break
				}
				if n++; n > batchSize {
					more = true
					break
				}
				seqs = append(seqs, seq)
			}
		}
		return nil
	})
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	if len(seqs) > batchSize {
		seqs, more = seqs[:batchSize], true
	}
	return seqs, more, err
}

// get is one record.
func (a Auditor) get(ctx context.Context, seq uint64) (eventlog.Record, error) {
	a.count(1)
	return a.Log.Get(ctx, seq)
}

func (a Auditor) count(records int64) {
	if a.Reads != nil {
		a.Reads.Add(records)
	}
}

// span returns the first and the last seq that can match f.
func (a Auditor) span(ctx context.Context, f Filter) (from, to uint64, err error) {
	from, to = max(f.From, a.Log.First(), 1), a.Log.Durable()
	if f.To != 0 {
		to = min(to, f.To)
	}
	if !f.Until.IsZero() {
		last, err := a.At(ctx, f.Until)
		if err != nil {
			return 0, 0, err
		}
		to = min(to, last)
	}
	if !f.Since.IsZero() {
		seq, err := a.Log.SeqAtTime(ctx, f.Since)
		if err != nil {
			return 0, 0, errSince(f, err)
		}
		from = max(from, seq)
	}
	return from, to, nil
}

// End returns the last place that a replay of f can show, as the log stands now: read
// models that stand there, or later, do for it.
func (a Auditor) End(ctx context.Context, f Filter) (uint64, error) {
	_, to, err := a.span(ctx, f)
	return to, err
}

// isRoom reports whether a room may have that name.
func isRoom(name string) bool {
	_, _, ok := schema.ParseRoom(name)
	return ok
}
