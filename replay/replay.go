package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// Outcomes of a record, as lines show them. A void record has its code after
// the prefix: "void:POST_NOT_FOUND".
const (
	Applied    = "applied"
	Parked     = "parked"  // a projector failed on it; operators have been told
	Pending    = "pending" // the read models have not reached it yet
	Unknown    = "unknown" // there are no read models to ask, only a proof of the record
	voidPrefix = "void:"
)

// Line is one record as an auditor sees it.
type Line struct {
	Seq       uint64           `json:"seq"`
	Time      schema.Time      `json:"time"`
	ID        string           `json:"id"`
	Event     string           `json:"event"`
	Namespace schema.Namespace `json:"namespace"`
	Actor     schema.Actor     `json:"actor"`
	Entity    string           `json:"entity"`
	Version   int              `json:"version"`
	Data      json.RawMessage  `json:"data"`
	Outcome   string           `json:"outcome"`
}

// Auditor reads a log together with the outcomes that its read models hold. Its
// methods may be called from any goroutine.
type Auditor struct {
	Log    *eventlog.Log
	Models *projections.Models
}

// batchSize is how many records are read, looked up and handed on at a time.
const batchSize = 256

// Replay calls emit with the records that match f, in the order of the log, a
// batch at a time, up to the end of the log as it is at the call. An error of
// emit ends it.
func (a Auditor) Replay(ctx context.Context, f Filter, emit func([]Line) error) error {
	_, err := a.replay(ctx, f, emit)
	return err
}

// Follow is Replay, and then goes on with the records that are committed, each
// as soon as the read models have decided it, until ctx ends or emit fails.
// A filter that ends (To) is not followed past its end.
func (a Auditor) Follow(ctx context.Context, f Filter, emit func([]Line) error) error {
	next, err := a.replay(ctx, f, emit)
	if err != nil || f.To != 0 {
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
			if f.match(&records[i]) {
				matching = append(matching, records[i])
			}
		}
		if err := a.emit(matching, emit); err != nil {
			return err
		}
	}
}

// replay shows what the log holds now and returns the seq after it.
func (a Auditor) replay(ctx context.Context, f Filter, emit func([]Line) error) (next uint64, err error) {
	from, to, err := a.span(ctx, f)
	if err != nil {
		return 0, err
	}
	next = max(from, to+1)
	if from > to {
		return next, nil
	}
	if f.Actor != "" || f.Entity != "" {
		applied := min(a.Models.Applied(), to)
		if err := a.indexed(ctx, f, from, applied, emit); err != nil {
			return 0, err
		}
		from = max(from, applied+1) // the index ends there; the tail is read record by record
	}
	if from > to {
		return next, nil
	}
	return next, a.batches(f, a.Log.Read(ctx, from, to), emit)
}

// span returns the first and the last seq that can match f.
func (a Auditor) span(ctx context.Context, f Filter) (from, to uint64, err error) {
	from, to = max(f.From, a.Log.First(), 1), a.Log.Durable()
	if f.To != 0 {
		to = min(to, f.To)
	}
	if !f.Since.IsZero() {
		seq, err := a.Log.SeqAtTime(ctx, f.Since)
		if err != nil {
			return 0, 0, fmt.Errorf("find the first record since %s: %w", f.Since, err)
		}
		from = max(from, seq)
	}
	return from, to, nil
}

// indexed shows the matching records of from..to, all of them applied, by way of
// the history index.
func (a Auditor) indexed(ctx context.Context, f Filter, from, to uint64, emit func([]Line) error) error {
	records := func(yield func(eventlog.Record, error) bool) {
		for from <= to {
			seqs, err := a.seqs(f, from, to)
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			for _, seq := range seqs {
				r, err := a.Log.Get(ctx, seq)
				if !yield(r, err) || err != nil {
					return
				}
			}
			if len(seqs) < batchSize {
				return
			}
			from = seqs[len(seqs)-1] + 1
		}
	}
	return a.batches(f, records, emit)
}

// seqs returns the next places of from..to that the index knows for f, at most
// batchSize of them.
func (a Auditor) seqs(f Filter, from, to uint64) (seqs []uint64, err error) {
	err = a.Models.View(func(v *projections.View) error {
		index := v.ActorSeqs(f.Actor, from)
		if f.Entity != "" {
			index = v.EntitySeqs(f.Entity, from)
		}
		for seq := range index {
			if seq > to || len(seqs) == batchSize {
				break
			}
			seqs = append(seqs, seq)
		}
		return nil
	})
	return seqs, err
}

// batches hands those of records that match f on to emit.
func (a Auditor) batches(f Filter, records iter.Seq2[eventlog.Record, error], emit func([]Line) error) error {
	batch := make([]eventlog.Record, 0, batchSize)
	for r, err := range records {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if !f.match(&r) {
			continue
		}
		if batch = append(batch, r); len(batch) == batchSize {
			if err := a.emit(batch, emit); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return a.emit(batch, emit)
}

// emit gives records their outcomes, all as of one position, and hands them on.
func (a Auditor) emit(records []eventlog.Record, emit func([]Line) error) error {
	if len(records) == 0 {
		return nil
	}
	lines := make([]Line, len(records))
	err := a.Models.View(func(v *projections.View) error {
		for i := range records {
			lines[i] = lineOf(&records[i])
			lines[i].Outcome = outcomeOf(v, &records[i])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up outcomes: %w", err)
	}
	return emit(lines)
}

// Proven shows a record that a proof proves. What the log's order made of it, a proof
// does not tell.
func Proven(r *eventlog.Record) Line {
	l := lineOf(r)
	l.Outcome = Unknown
	return l
}

func lineOf(r *eventlog.Record) Line {
	return Line{
		Seq:       r.Seq,
		Time:      r.Time,
		ID:        r.ID,
		Event:     r.Event,
		Namespace: schema.NamespaceOf(r.Event),
		Actor:     r.Actor,
		Entity:    r.Entity,
		Version:   r.Version,
		Data:      r.Data,
	}
}

func outcomeOf(v *projections.View, r *eventlog.Record) string {
	if r.Seq > v.Seq() {
		return Pending
	}
	switch code := v.Outcome(r.Seq); code {
	case "":
		return Applied
	case schema.Parked:
		return Parked
	default:
		return voidPrefix + string(code)
	}
}
