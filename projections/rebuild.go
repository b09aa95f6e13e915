package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Names beside the read models' own.
const (
	suffixNew    = ".new"     // what a rebuild is making
	suffixOld    = ".old"     // what the last rebuild replaced
	suffixOldNew = ".old.new" // becomes .old
)

// ErrRebuilding means that another rebuild is under way.
var ErrRebuilding = errors.New("a rebuild is already under way")

// Progress is how far a rebuild is.
type Progress struct {
	Records, Of uint64        // applied so far, and wanted
	Rate        float64       // records a second since the start
	ETA         time.Duration // at that rate
}

// RebuildReport is what came of a rebuild.
type RebuildReport struct {
	Records       uint64 // in the new file when it took the old one's place
	Took          time.Duration
	Live, Rebuilt Digest   // both at the same place of the log
	Differences   []string // the projections whose digests differ, sorted
}

// Equal reports whether the rebuilt models had the content of those they replaced.
func (r RebuildReport) Equal() bool { return len(r.Differences) == 0 }

// Rebuild makes the read models from the log in a second file, compares the two
// at one place of the log, and puts the new one in the old one's place, which is
// kept under Path with ".old" behind it. The new one takes over even when they
// differ: the log is the truth.
//
// It works while Run goes on, and readers are served throughout: the old file is
// closed when its last reader is done. Without Run it brings the read models up to
// the end of the log as it was at the call, and tells nobody of those records.
// progress, which may be nil, is called after each batch.
func (m *Models) Rebuild(ctx context.Context, progress func(Progress)) (RebuildReport, error) {
	if !m.rebuilding.TryLock() {
		return RebuildReport{}, ErrRebuilding
	}
	defer m.rebuilding.Unlock()
	alone := false
	select {
	case m.running <- struct{}{}: // Run would wait
		alone = true
		defer func() { <-m.running }()
	default:
	}
	path := m.cfg.Path + suffixNew
	if err := removeAll(path); err != nil {
		return RebuildReport{}, err
	}
	db, err := openFile(path, true)
	if err != nil {
		return RebuildReport{}, err
	}
	b := &rebuild{models: m, progress: progress, start: time.Now()}
	b.writer = newWriter(db, checkpoint{Epoch: m.cfg.Log.Epoch(), Versions: versions}, m.faulty)
	report, err := b.run(ctx, alone)
	if err != nil && m.isServing(db) {
		return report, err // it took over, and something after that failed
	}
	if err != nil {
		return report, errors.Join(err, db.Close(), removeAll(path))
	}
	m.cfg.Logger.Info("the read models were rebuilt", "records", report.Records, "took", report.Took, "equal", report.Equal(), "differences", report.Differences)
	return report, nil
}

func (m *Models) isServing(db *bolt.DB) bool {
	m.file.RLock()
	defer m.file.RUnlock()
	return m.db == db
}

func (m *Models) isClosed() bool {
	m.file.RLock()
	defer m.file.RUnlock()
	return m.closed
}

// rebuild is one rebuild under way.
type rebuild struct {
	models   *Models
	writer   *writer
	progress func(Progress)
	start    time.Time
}

func (b *rebuild) run(ctx context.Context, alone bool) (RebuildReport, error) {
	m := b.models
	if err := b.writer.prepare(); err != nil {
		return RebuildReport{}, fmt.Errorf("preparing the rebuild: %w", err)
	}
	// Come close while the old file serves and grows.
	for range maxRounds {
		target := m.Applied()
		if err := b.to(ctx, target); err != nil {
			return RebuildReport{}, err
		}
		if m.Applied()-target < loadBatch {
			break
		}
	}
	report, err := b.compare(ctx)
	if err != nil {
		return report, err
	}
	if alone {
		if err := b.to(ctx, m.cfg.Log.Durable()); err != nil {
			return report, err
		}
	} else if err := b.to(ctx, m.Applied()); err != nil {
		return report, err
	}
	old, err := b.takeOver(ctx)
	if err != nil {
		return report, err
	}
	report.Records, report.Took = b.writer.at.Seq, time.Since(b.start)
	return report, old.Close() // waits for its readers
}

// maxRounds ends the chase of a log that grows as fast as it is applied.
const maxRounds = 8

// to applies the log up to a place.
func (b *rebuild) to(ctx context.Context, seq uint64) error {
	return b.models.load(ctx, max(b.writer.at.Seq+1, b.models.cfg.Log.First()), seq, func(records []record) error {
		if _, _, err := b.writer.apply(records, false); err != nil {
			return err
		}
		b.tell(seq)
		return nil
	})
}

func (b *rebuild) tell(of uint64) {
	if b.progress == nil {
		return
	}
	p := Progress{Records: b.writer.at.Seq, Of: max(of, b.models.cfg.Log.Durable())}
	if took := time.Since(b.start).Seconds(); took > 0 {
		p.Rate = float64(p.Records) / took
		p.ETA = time.Duration(float64(p.Of-p.Records) / p.Rate * float64(time.Second))
	}
	b.progress(p)
}

// compare digests both files at the place where the old one stands now. Run goes
// on: the old file is read in a transaction that stays where it was.
func (b *rebuild) compare(ctx context.Context) (RebuildReport, error) {
	var report RebuildReport
	tx, err := b.models.read()
	if err != nil {
		return report, err
	}
	defer tx.Rollback()
	at, err := readCheckpoint(tx)
	if err != nil {
		return report, err
	}
	if err := b.to(ctx, at.Seq); err != nil {
		return report, err
	}
	if report.Live, err = digest(ctx, tx); err != nil {
		return report, err
	}
	err = b.writer.db.View(func(tx *bolt.Tx) error {
		report.Rebuilt, err = digest(ctx, tx)
		return err
	})
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if report.Live.Projections[name] != report.Rebuilt.Projections[name] {
			report.Differences = append(report.Differences, name)
		}
	}
	return report, err
}

// takeOver catches up between two batches of Run, makes the new file safe and
// serves from it. It returns the old file.
func (b *rebuild) takeOver(ctx context.Context) (old *bolt.DB, err error) {
	m := b.models
	m.applying.Lock() // Close waits for it, too
	defer m.applying.Unlock()
	if m.isClosed() {
		return nil, ErrClosed
	}
	if err := b.to(ctx, m.writer.at.Seq); err != nil {
		return nil, err
	}
	if err := b.writer.db.Sync(); err != nil {
		return nil, fmt.Errorf("syncing the rebuilt read models: %w", err)
	}
	b.writer.db.NoSync = m.noSync
	if err := replaceFile(m.cfg.Path); err != nil {
		return nil, fmt.Errorf("putting the rebuilt read models in place: %w", err)
	}
	m.file.Lock()
	defer m.file.Unlock()
	old, m.db, m.writer = m.db, b.writer.db, b.writer
	m.advance(m.writer.at.Seq)
	return old, nil
}

// replaceFile renames path.new to path and keeps what was there as path.old. At
// every moment path is one of the two. Nothing is there when someone deleted the
// file that is open: a rebuild is how they get one again.
func replaceFile(path string) error {
	if err := removeAll(path + suffixOldNew); err != nil {
		return err
	}
	err := os.Link(path, path+suffixOldNew)
	if err == nil {
		err = os.Rename(path+suffixOldNew, path+suffixOld)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(path+suffixNew, path); err != nil {
		return err
	}
	return syncDir(path)
}

// syncDir makes the names in a file's folder durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
