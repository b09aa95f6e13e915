package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/eventlog"
	"roomlog/schema"
)

// loadBatch is how many records are read ahead and decided at a time when nobody waits
// for them: few enough to stay in the caches.
const loadBatch = 256

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
	going, end := context.WithCancelCause(ctx)
	m.position.Lock()
	m.endRun = end
	failed := m.failed
	m.position.Unlock()
	if failed != nil {
		return failed
	}
	var keeping sync.WaitGroup
	keeping.Go(func() { m.keepOld(going) })
	err := m.run(going)
	cause := context.Cause(going)
	end(nil)
	keeping.Wait()
	if errors.Is(cause, errDamaged) {
		return cause // a reader met with it
	}
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	if errors.Is(err, errDamaged) {
		err = m.condemn(m.serving(), err)
	}
	m.fail(err)
	return err
}

func (m *Models) run(ctx context.Context) error {
	if m.pending() {
		m.auditRebuild(schema.AuditRebuildStep{State: schema.RebuildStarted, Seq: m.Applied()})
	}
	err := m.load(ctx, m.Applied()+1, m.backlog, m.applyBehind)
	if err = errors.Join(err, m.settle()); err != nil {
		return err
	}
	if err := m.install(); err != nil {
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
			records[i].decode(&next[i])
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
	verdicts, outcome, err := m.writer.apply(records, live)
	if err != nil {
		return nil, err
	}
	m.metrics.batchTime.Observe(time.Since(start).Seconds())
	m.written(&outcome)
	return verdicts, nil
}

// applyBehind applies a batch that nobody waits for.
func (m *Models) applyBehind(records []record) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	outcome, err := m.writer.load(records)
	m.written(outcome)
	switch {
	case err != nil:
	case m.pending():
		m.tracker.set("", m.writer.decided.Seq, m.backlog)
		m.reach(AtBuilding)
	default:
		m.tracker.caughtUp(m.writer)
	}
	return err
}

// settle waits until all that was applied is in the file.
func (m *Models) settle() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	outcome, err := m.writer.settle()
	m.written(outcome)
	return err
}

// written tells of a batch that is in the file.
func (m *Models) written(o *batchOutcome) {
	if o == nil {
		return
	}
	m.metrics.batchSize.Observe(float64(o.records))
	m.metrics.records.WithLabelValues("applied").Add(float64(o.applied))
	m.metrics.records.WithLabelValues("duplicate").Add(float64(o.duplicate))
	m.metrics.records.WithLabelValues("void").Add(float64(o.void))
	m.metrics.records.WithLabelValues("parked").Add(float64(o.parked))
	m.report(o.park)
	if m.pending() {
		if m.writer.at.Seq >= m.backlog {
			return // once the file is in place, see install
		}
	}
	m.advance(m.writer.at.Seq)
}

// report tells operators of parked records.
func (m *Models) report(parked []ParkedRecord) {
	for _, p := range parked {
		m.metrics.parked.WithLabelValues(p.Projector).Inc()
		m.cfg.Logger.Error("a record is parked", "seq", p.Seq, "event", p.Event, "projector", p.Projector, "error", p.Error)
		if err := m.audit(schema.AuditParked, p); err != nil {
			m.cfg.Logger.Warn("the admin stream was not told of a parked record", "seq", p.Seq, "error", err)
		}
	}
}

// load reads the records from..to and hands them to apply in large batches, each of which
// is used again once apply has returned from the next. One goroutine reads and decodes while another applies;
// both have ended at return.
func (m *Models) load(ctx context.Context, from, to uint64, apply func([]record) error) error {
	if from > to {
		return ctx.Err()
	}
	batches, spent := make(chan []record, 4), make(chan []record, 4)
	for range cap(spent) {
		spent <- nil // so many go round, and sending one never waits
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		for read, err := range m.cfg.Log.ReadBatches(ctx, from, to, loadBatch) {
			if err != nil {
				return fmt.Errorf("reading the log: %w", err)
			}
			var batch []record
			select {
			case batch = <-spent:
			case <-ctx.Done():
				return ctx.Err()
			}
			batch = slices.Grow(batch[:0], len(read))[:len(read)]
			for i := range read {
				batch[i].decode(&read[i])
			}
			batches <- batch
		}
		return nil
	})
	group.Go(func() error {
		var last []record
		for batch := range batches {
			if err := apply(batch); err != nil {
				return err
			}
			if last != nil {
				spent <- last // batch may be noted yet, see writer.load
			}
			last = batch
		}
		return nil
	})
	return group.Wait()
}
