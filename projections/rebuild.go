package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"roomlog/schema"
)

// ErrRebuilding means that another rebuild, or a rollback, is under way.
var ErrRebuilding = errors.New("a rebuild is already under way")

// RebuildOptions say what a rebuild is to do.
type RebuildOptions struct {
	Accept      bool           // take over even when the read models differ: the log is the truth
	CompareOnly bool           // do not take over
	Keys        int            // how many differing rows of each read model are reported
	Progress    func(Progress) // called after each batch; nil: nobody asks
}

// RebuildReport is what came of a rebuild.
type RebuildReport struct {
	From          uint64 // where it began: behind what an earlier one had done
	Records       uint64 // in the new file at its end
	Took          time.Duration
	Live, Rebuilt Digest       // both at the same place of the log
	Differences   []string     // the projections whose digests differ, sorted
	Diff          []Difference // what differs, of each of them
	// OtherVersions says that projectors of other versions made the old read models:
	// these may differ, and were replaced even so.
	OtherVersions bool
	TookOver      bool // the new file is served from
}

// Equal reports whether the rebuilt models had the content of those they replaced.
func (r RebuildReport) Equal() bool { return len(r.Differences) == 0 }

// Rebuild makes the read models from the log in a second file, compares the two
// at one place of the log, and puts the new one in the old one's place, which is
// kept until Commit, Rollback, or a day has gone by. Read models that differ are not
// replaced unless projectors of other versions made them: someone should look first
// (RebuildWith).
//
// It works while Run goes on, and readers are served throughout: the old file is
// closed when its last reader is done. Without Run it brings the read models up to
// the end of the log as it was at the call, and tells nobody of those records.
// progress, which may be nil, is called after each batch.
//
// What is made when it is cut short, and what differs, stays beside the read models,
// and the next rebuild goes on from there.
func (m *Models) Rebuild(ctx context.Context, progress func(Progress)) (RebuildReport, error) {
	return m.RebuildWith(ctx, RebuildOptions{Progress: progress})
}

// RebuildWith is Rebuild as o says.
func (m *Models) RebuildWith(ctx context.Context, o RebuildOptions) (RebuildReport, error) {
	alone, release, err := m.claim()
	if err != nil {
		return RebuildReport{}, err
	}
	defer release()
	if m.pending() && !alone {
		return RebuildReport{}, ErrRebuilding
	}
	start := time.Now()
	m.auditRebuild(schema.AuditRebuildStep{State: schema.RebuildStarted, Seq: m.Applied()})
	var report RebuildReport
	if m.pending() {
		report, err = m.loadAlone(ctx, o.Progress)
		report.OtherVersions = true
		return report, err
	}
	comparable := !alone || m.Applied() > 0
	if alone {
		report, err = m.loadAlone(ctx, o.Progress)
	}
	if comparable && err == nil {
		report, err = m.rebuild(ctx, alone, o)
	}
	report.Took = time.Since(start)
	step := schema.AuditRebuildStep{Seq: m.Applied(), TookMs: report.Took.Milliseconds()}
	if err != nil {
		step.State, step.Error = schema.RebuildFailed, err.Error()
	} else {
		same := report.Equal()
		step.State, step.Same, step.Differences = report.state(o), &same, report.Differences
		m.cfg.Logger.Info("the read models were rebuilt", "state", step.State, "records", report.Records, "took", report.Took, "equal", same, "differences", report.Differences)
	}
	m.auditRebuild(step)
	return report, err
}

func (r RebuildReport) state(o RebuildOptions) string {
	switch {
	case r.TookOver:
		return schema.RebuildFinished
	case o.CompareOnly:
		return schema.RebuildCompared
	}
	return schema.RebuildRefused
}

// claim keeps others from rebuilding, and Run from beginning; alone says that it did
// not go on.
func (m *Models) claim() (alone bool, release func(), err error) {
	if !m.rebuilding.TryLock() {
		return false, nil, ErrRebuilding
	}
	select {
	case m.running <- struct{}{}: // Run would wait
		return true, func() { <-m.running; m.rebuilding.Unlock() }, nil
	default:
		return false, m.rebuilding.Unlock, nil
	}
}

// auditRebuild tells moderators how a rebuild goes.
func (m *Models) auditRebuild(step schema.AuditRebuildStep) {
	if err := m.audit(schema.AuditRebuild, step); err != nil {
		m.cfg.Logger.Warn("the admin stream was not told of a rebuild", "state", step.State, "error", err)
	}
}

// loadAlone brings the read models up to the end of the log as Run would, which does not
// go on: what a server makes at its start whose projectors have other versions, too.
func (m *Models) loadAlone(ctx context.Context, progress func(Progress)) (RebuildReport, error) {
	start := time.Now()
	if !m.pending() {
		m.tracker.begin(m.Applied(), m.cfg.Log.Durable(), m.writer)
		defer m.tracker.end()
	}
	to := m.cfg.Log.Durable()
	err := m.load(ctx, m.Applied()+1, to, func(records []record) error {
		err := m.applyBehind(records)
		m.tracker.set("", m.writer.decided.Seq, to)
		if p, ok := m.Rebuilding(); ok && progress != nil {
			progress(p)
		}
		return err
	})
	if err = errors.Join(err, m.settle()); err == nil {
		err = m.install()
	}
	if err != nil {
		return RebuildReport{}, err
	}
	d, err := m.Digest(ctx)
	return RebuildReport{Records: d.Seq, Took: time.Since(start), Live: d, Rebuilt: d, TookOver: true}, err
}

// rebuild is RebuildWith once nothing stands in its way.
func (m *Models) rebuild(ctx context.Context, alone bool, o RebuildOptions) (RebuildReport, error) {
	path := m.cfg.Path + suffixNew
	db, at, err := m.openBeside(ctx)
	if err != nil {
		return RebuildReport{}, err
	}
	noSync, err := markDirty(path)
	if err != nil {
		return RebuildReport{}, errors.Join(err, db.Close())
	}
	db.NoSync = noSync
	b := m.newRebuild(db, at, alone, o.Progress)
	b.writer.path = path
	defer m.tracker.end()
	report, err := b.run(ctx, o)
	report.From = at.Seq
	if report.TookOver {
		return report, errors.Join(err, m.secureOld())
	}
	report.Records = b.writer.at.Seq
	switch db = b.writer.db; {
	case b.damaged || err == nil && report.Equal(): // of no use to the next one
		return report, errors.Join(err, b.writer.close(), removeAll(path, path+suffixDirty))
	}
	return report, errors.Join(err, closeClean(db, path), b.writer.replaced.Wait())
}

// serving returns the file that readers are given now.
func (m *Models) serving() *bolt.DB {
	m.file.RLock()
	defer m.file.RUnlock()
	return m.db
}

func (m *Models) isServing(db *bolt.DB) bool { return m.serving() == db }

func (m *Models) isClosed() bool {
	m.file.RLock()
	defer m.file.RUnlock()
	return m.closed
}

// rebuild is one rebuild, or rollback, under way.
type rebuild struct {
	models   *Models
	writer   *writer
	progress func(Progress)
	alone    bool
	damaged  bool   // its own file is
	taken    uint64 // where it took over; from then on the writer is Run's
}

func (m *Models) newRebuild(db *bolt.DB, at checkpoint, alone bool, progress func(Progress)) *rebuild {
	b := &rebuild{models: m, progress: progress, alone: alone, writer: newWriter(db, at, m.cfg.LoadBytes, m.faulty)}
	m.tracker.begin(at.Seq, at.Seq, b.writer)
	return b
}

func (b *rebuild) run(ctx context.Context, o RebuildOptions) (RebuildReport, error) {
	if err := b.writer.prepare(); err != nil {
		return RebuildReport{}, fmt.Errorf("preparing the rebuild: %w", err)
	}
	if err := b.follow(ctx); err != nil {
		return RebuildReport{}, err
	}
	b.at(StageComparing)
	b.models.reach(AtComparing)
	report, err := b.compare(ctx, o.Keys)
	if err != nil || o.CompareOnly || !report.Equal() && !o.Accept && !report.OtherVersions {
		return report, err
	}
	b.at(StageCatchingUp)
	b.models.reach(AtCatchingUp)
	if b.alone {
		err = b.to(ctx, b.models.cfg.Log.Durable())
	} else {
		err = b.follow(ctx)
	}
	if err != nil {
		return report, err
	}
	if err := b.sync(); err != nil { // most of it now, while Run goes on
		return report, err
	}
	old, err := b.takeOver(ctx, suffixNew)
	if err != nil {
		return report, err
	}
	report.TookOver, report.Records = true, b.taken
	return report, old.close()
}

const (
	// maxRounds ends the chase of a log that grows as fast as it is applied.
	maxRounds = 8
	// nearBy is how many records are left to be applied while Run waits: some
	// milliseconds' work.
	nearBy = 256
)

// follow comes close to the file that serves and grows.
func (b *rebuild) follow(ctx context.Context) error {
	for range maxRounds {
		target := b.models.Applied()
		if err := b.to(ctx, target); err != nil {
			return err
		}
		if b.models.Applied()-target < nearBy {
			break
		}
	}
	return nil
}

// meet waits until the file that serves is where this one is at least, which an
// earlier rebuild may have brought further.
func (b *rebuild) meet(ctx context.Context) error {
	m := b.models
	if !b.alone {
		return m.WaitApplied(ctx, b.writer.at.Seq)
	}
	err := m.load(ctx, m.Applied()+1, b.writer.at.Seq, m.applyBehind)
	return errors.Join(err, m.settle())
}

// to applies the log up to a place.
func (b *rebuild) to(ctx context.Context, seq uint64) error {
	err := b.models.load(ctx, max(b.writer.at.Seq+1, b.models.cfg.Log.First()), seq, func(records []record) error {
		if _, err := b.writer.load(records); err != nil {
			return err
		}
		b.tell(seq)
		b.models.reach(AtBuilding)
		return nil
	})
	if _, behind := b.writer.settle(); err == nil {
		err = behind
	}
	b.damaged = b.damaged || errors.Is(err, errDamaged)
	b.tell(seq)
	return err
}

func (b *rebuild) at(stage string) {
	b.models.tracker.set(stage, b.writer.decided.Seq, 0)
	if p, ok := b.models.Rebuilding(); ok && b.progress != nil {
		b.progress(p)
	}
}

func (b *rebuild) tell(of uint64) {
	b.models.tracker.set("", b.writer.decided.Seq, max(of, b.models.cfg.Log.Durable()))
	if p, ok := b.models.Rebuilding(); ok && b.progress != nil {
		b.progress(p)
	}
}

// compare digests both files at the place where the old one stands now. Run goes
// on: the old file is read in a transaction that stays where it was.
func (b *rebuild) compare(ctx context.Context, keys int) (report RebuildReport, err error) {
	if err := b.meet(ctx); err != nil {
		return report, err
	}
	live, err := b.models.read()
	if err != nil {
		return report, err
	}
	defer live.Rollback()
	at, err := standing(live)
	if errors.Is(err, errDamaged) {
		return report, b.models.condemn(live.DB(), err)
	} else if err != nil {
		return report, err
	}
	report.OtherVersions = !maps.Equal(at.Versions, versions)
	if err := b.to(ctx, at.Seq); err != nil {
		return report, err
	}
	err = b.writer.db.View(func(rebuilt *bolt.Tx) error {
		if err := b.digestBoth(ctx, live, rebuilt, &report); err != nil {
			return err
		}
		report.Differences = differing(report.Live, report.Rebuilt)
		err := reading(func() (err error) {
			report.Diff, err = diff(ctx, live, rebuilt, report.Differences, keys)
			return err
		})
		b.damaged = errors.Is(err, errDamaged)
		return err
	})
	return report, err
}

// digestBoth digests both files at once, ahead of which the disk reads them.
func (b *rebuild) digestBoth(ctx context.Context, live, rebuilt *bolt.Tx, report *RebuildReport) error {
	var beside errgroup.Group
	beside.Go(func() error { readAhead(ctx, b.models.cfg.Path, b.writer.path); return nil })
	beside.Go(func() (err error) {
		report.Rebuilt, err = digest(ctx, rebuilt)
		return err
	})
	var ofLive error
	report.Live, ofLive = digest(ctx, live)
	err := beside.Wait()
	b.damaged = errors.Is(err, errDamaged)
	if errors.Is(ofLive, errDamaged) {
		return b.models.condemn(live.DB(), ofLive)
	}
	return cmp.Or(ofLive, err)
}

// standing returns where a file stands that has a checkpoint.
func standing(tx *bolt.Tx) (at checkpoint, err error) {
	err = reading(func() error {
		if at, err = readCheckpoint(tx); err == nil && at.Epoch == "" {
			return fmt.Errorf("%w: it has no checkpoint", errDamaged)
		}
		return err
	})
	return at, err
}
