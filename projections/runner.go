package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/eventlog"
	"roomlog/schema"
)

// loadBatch is how many records one transaction takes when nobody waits for it:
// enough that most rows of an index are written once for many records.
const loadBatch = 16384

// Run brings the read models up to date and follows the log until ctx ends; it
// then returns nil. Any other end is an error, after which nothing is applied any
// more. Only one Run goes on at a time, a second one waits.
func (m *Models) Run(ctx context.Context) error {
	select {
	case m.running <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-m.running }()
	err := m.run(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	if errors.Is(err, errDamaged) {
		// Readers keep the file they have open; the next start begins anew.
		err = errors.Join(err, m.discardDamaged(err))
	}
	m.fail(err)
	return err
}

func (m *Models) run(ctx context.Context) error {
	err := m.load(ctx, m.Applied()+1, m.backlog, func(records []record) error {
		_, err := m.apply(records, false)
		return err
	})
	if err != nil {
		return err
	}
	m.advance(m.backlog) // also when the log has lost its last records: they will not come
	f, err := m.cfg.Log.Follow(ctx, m.Applied()+1)
	if err != nil {
		return fmt.Errorf("following the log: %w", err)
	}
	defer f.Close()
	for {
		next, err := f.Next(ctx, m.cfg.MaxBatch)
		if err != nil {
			return fmt.Errorf("following the log: %w", err)
		}
		records := make([]record, len(next))
		for i := range next {
			records[i] = decode(next[i])
		}
		verdicts, err := m.apply(records, m.cfg.Deliver != nil)
		if err != nil {
			return err
		}
		if m.cfg.Deliver != nil {
			m.cfg.Deliver(delivery(next, verdicts))
		}
	}
}

func delivery(records []eventlog.Record, verdicts []verdict) []Applied {
	out := make([]Applied, len(records))
	for i := range records {
		out[i] = Applied{Record: records[i], Outcome: verdicts[i].Outcome}
	}
	return out
}

// apply applies a batch to the read models that are served.
func (m *Models) apply(records []record, live bool) ([]verdict, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	start := time.Now()
	verdicts, parked, err := m.writer.apply(records, live)
	if err != nil {
		return nil, err
	}
	m.metrics.batchTime.Observe(time.Since(start).Seconds())
	m.metrics.batchSize.Observe(float64(len(records)))
	m.count(verdicts)
	m.report(parked)
	m.advance(m.writer.at.Seq)
	return verdicts, nil
}

func (m *Models) count(verdicts []verdict) {
	var applied, duplicate, voided, parked float64
	for i := range verdicts {
		switch verdicts[i].Code {
		case "":
			applied++
		case schema.DuplicateKey:
			duplicate++
		case schema.Parked:
			parked++
		default:
			voided++
		}
	}
	m.metrics.records.WithLabelValues("applied").Add(applied)
	m.metrics.records.WithLabelValues("duplicate").Add(duplicate)
	m.metrics.records.WithLabelValues("void").Add(voided)
	m.metrics.records.WithLabelValues("parked").Add(parked)
}

// report tells operators of parked records.
func (m *Models) report(parked []ParkedRecord) {
	for _, p := range parked {
		m.metrics.parked.WithLabelValues(p.Projector).Inc()
		m.cfg.Logger.Error("a record is parked", "seq", p.Seq, "event", p.Event, "projector", p.Projector, "error", p.Error)
		if err := m.cfg.Log.Audit("parked", p); err != nil {
			m.cfg.Logger.Warn("the admin stream was not told of a parked record", "seq", p.Seq, "error", err)
		}
	}
}

// load reads the records from..to and hands them to apply in large batches. One
// goroutine reads and decodes while another applies; both have ended at return.
func (m *Models) load(ctx context.Context, from, to uint64, apply func([]record) error) error {
	if from > to {
		return ctx.Err()
	}
	batches := make(chan []record, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		send := func(batch []record) error {
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		batch := make([]record, 0, min(to-from+1, loadBatch))
		for r, err := range m.cfg.Log.Read(ctx, from, to) {
			if err != nil {
				return fmt.Errorf("reading the log: %w", err)
			}
			if batch = append(batch, decode(r)); len(batch) == cap(batch) {
				if err := send(batch); err != nil {
					return err
				}
				batch = make([]record, 0, loadBatch)
			}
		}
		if len(batch) > 0 {
			return send(batch)
		}
		return nil
	})
	group.Go(func() error {
		for batch := range batches {
			if err := apply(batch); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
