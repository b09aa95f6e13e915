package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
)

func (m *Models) open(ctx context.Context) error {
	if err := mendExchange(m.cfg.Path); err != nil {
		return err
	}
	m.backlog = m.cfg.Log.Durable()
	m.path = m.cfg.Path
	db, at, err := m.openValid(ctx)
	if err != nil {
		return err
	}
	m.db = db
	m.writer = newWriter(db, at, m.cfg.LoadBytes, m.faulty)
	m.writer.path, m.writer.serve = m.path, m.serve
	err = removeAll(m.cfg.Path+suffixWhole, m.cfg.Path+suffixNew+suffixWhole) // of a process that ended
	if err = errors.Join(err, m.prepare()); err != nil {
		db.Close()
		return fmt.Errorf("preparing the read models: %w", err)
	}
	if m.pending() || m.backlog > at.Seq+muchToCatchUp {
		m.tracker.begin(at.Seq, m.backlog, m.writer)
	}
	m.advance(at.Seq)
	return nil
}

// pending reports whether the file is still made beside the one it is to replace.
func (m *Models) pending() bool { return m.making.Load() }

// prepare makes the file ready for the first batch.
func (m *Models) prepare() error {
	if err := m.writer.prepare(); err != nil {
		return err
	}
	if m.cfg.Sync && !m.pending() {
		if err := m.db.Sync(); err != nil {
			return err // and the note stays: the file may be anything
		}
		return removeAll(m.path + suffixDirty)
	}
	noSync, err := markDirty(m.path)
	m.db.NoSync = noSync
	m.noSync = noSync && !m.cfg.Sync
	return err
}

func (m *Models) faulty(projector string, r *eventlog.Record) error {
	if m.fault == nil {
		return nil
	}
	return m.fault(projector, r)
}

// fresh is the checkpoint of a file in which nothing is yet.
func (m *Models) fresh() checkpoint {
	return checkpoint{Epoch: m.cfg.Log.Epoch(), Versions: versions, Layout: layout}
}

// openValid opens the file, or another one when it does not fit the log.
func (m *Models) openValid(ctx context.Context) (*bolt.DB, checkpoint, error) {
	path := m.cfg.Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return m.openAnew(ctx)
	}
	down, err := wentDown(path)
	if err != nil {
		return nil, checkpoint{}, err
	}
	if down {
		m.cfg.Logger.Warn("the machine went down while the read models were open; they start from nothing", "records", m.backlog)
		if err := removeAll(path); err != nil {
			return nil, checkpoint{}, err
		}
		return m.openAnew(ctx)
	}
	db, at, err := openAt(path, false)
	if errors.Is(err, errDamaged) {
		return m.openDamaged(ctx, err)
	}
	if err != nil {
		return nil, at, err
	}
	if at.Epoch == "" { // it is empty
		if err := errors.Join(db.Close(), removeAll(path)); err != nil {
			return nil, at, err
		}
		return m.openAnew(ctx)
	}
	reason, keep, err := m.mismatch(ctx, db, at)
	switch {
	case errors.Is(err, errDamaged):
		db.Close()
		return m.openDamaged(ctx, err)
	case err != nil:
		db.Close()
		return nil, at, err
	case reason == "":
		at.Layout = layout
		return db, at, nil
	case keep == keepOther:
		return m.openOther(ctx, db, at)
	case keep == keepAhead:
		loss := &Loss{Reason: "the read models do not fit it, " + reason, Applied: at.Seq, Durable: m.backlog}
		return nil, at, errors.Join(loss, db.Close())
	}
	err = db.Close()
	if err == nil {
		err = m.startAnew(at, reason)
	}
	if err != nil {
		return nil, at, fmt.Errorf("starting the read models from nothing: %w", err)
	}
	return m.openAnew(ctx)
}

// openDamaged opens another file in the place of one that is damaged.
func (m *Models) openDamaged(ctx context.Context, cause error) (*bolt.DB, checkpoint, error) {
	if err := m.discardDamaged(cause); err != nil {
		return nil, checkpoint{}, err
	}
	return m.openAnew(ctx)
}

// openAnew opens a file where there is none: what a rebuild had made when it was cut
// short, if it fits, and otherwise a new one.
func (m *Models) openAnew(ctx context.Context) (*bolt.DB, checkpoint, error) {
	path := m.cfg.Path
	if why, err := m.unfit(ctx, path+suffixNew); err != nil {
		return nil, checkpoint{}, err
	} else if why == "" {
		if _, err := markDirty(path); err != nil {
			return nil, checkpoint{}, err
		}
		if err := errors.Join(os.Rename(path+suffixNew, path), syncDir(path), removeAll(path+suffixNew+suffixDirty)); err != nil {
			return nil, checkpoint{}, fmt.Errorf("putting the rebuilt read models in place: %w", err)
		}
		m.cfg.Logger.Info("the read models start from what a rebuild had made of them")
		return openAt(path, false)
	}
	db, _, err := openAt(path, false)
	return db, m.fresh(), err
}

// openOther decides what becomes of a file that projectors of other versions wrote.
// It stays where it is until there is another one, so that their release finds it.
func (m *Models) openOther(ctx context.Context, db *bolt.DB, at checkpoint) (*bolt.DB, checkpoint, error) {
	path := m.cfg.Path
	if why, err := m.unfit(ctx, path+suffixOld); err != nil || why == "" {
		if err = errors.Join(err, db.Close()); err == nil {
			err = m.exchange(suffixOld)
		}
		if err != nil {
			return nil, at, err
		}
		m.cfg.Logger.Info("the read models that this release's projectors had left are in use again", "other", path+suffixOld)
		return openAt(path, false)
	}
	if m.cfg.Background {
		if at.Layout != layout {
			return nil, at, errors.Join(errors.New("this release lays the read models' rows out in another way and cannot serve the old ones: start without --rebuild-in-background"), db.Close())
		}
		m.cfg.Logger.Warn("another release's projectors wrote the read models; they serve until they are rebuilt", "records", m.backlog)
		m.stale = true
		at.Versions = mixed()
		return db, at, nil
	}
	if err := db.Close(); err != nil {
		return nil, at, err
	}
	m.cfg.Logger.Warn("another release's projectors wrote the read models; they are made anew from the log", "path", path, "records", m.backlog)
	m.path = path + suffixNew
	m.making.Store(true)
	return m.openBeside(ctx)
}

// openBeside opens the file that a rebuild makes: where the last one left it, if it
// was cut short and the file fits, and else a new one.
func (m *Models) openBeside(ctx context.Context) (*bolt.DB, checkpoint, error) {
	path := m.cfg.Path + suffixNew
	why, err := m.unfit(ctx, path)
	if err != nil {
		return nil, checkpoint{}, err
	}
	if why == "" {
		return openAt(path, true)
	}
	if err := removeAll(path, path+suffixDirty); err != nil {
		return nil, checkpoint{}, err
	}
	db, _, err := openAt(path, true)
	return db, m.fresh(), err
}

// unfit says why a file cannot serve this log and these projectors, "" when it can.
func (m *Models) unfit(ctx context.Context, path string) (why string, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "there is none", nil
	}
	if down, err := wentDown(path); err != nil || down {
		return "the machine went down while it was written", err
	}
	db, at, err := openAt(path, true)
	if errors.Is(err, errDamaged) {
		return "it is damaged", nil
	}
	if err != nil {
		return "", err
	}
	if at.Epoch == "" {
		why = "it is empty"
	} else {
		why, _, err = m.mismatch(ctx, db, at)
	}
	if errors.Is(err, errDamaged) {
		why, err = "it is damaged", nil
	}
	return why, errors.Join(err, db.Close())
}

// openAt opens a file and says where it stands.
func openAt(path string, noSync bool) (db *bolt.DB, at checkpoint, err error) {
	if db, err = openFile(path, noSync); err != nil {
		return nil, at, err
	}
	if at, err = checkpointIn(db); err != nil {
		return nil, at, err
	}
	return db, at, nil
}

// checkpointIn says where a file stands. One that cannot say so is closed.
func checkpointIn(db *bolt.DB) (at checkpoint, err error) {
	err = reading(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			at, err = readCheckpoint(tx)
			return err
		})
	})
	if err != nil {
		db.Close()
	}
	return at, err
}

// Why read models that do not fit the log are kept. Some may be all that is left of it.
const (
	keepAhead   = "ahead"   // the log has lost records that they have: see Loss
	keepForeign = "foreign" // another log is in the place of theirs
	keepOther   = "other"   // projectors of other versions wrote them
)

// startAnew makes way for new read models.
func (m *Models) startAnew(at checkpoint, reason string) error {
	aside, err := setAside(m.cfg.Path, keepForeign)
	if err != nil {
		return err
	}
	m.cfg.Logger.Warn("the read models start from nothing", "reason", reason, "applied", at.Seq, "records", m.backlog, "kept", aside)
	return nil
}

// audit tells moderators what befell the read models of a server: to read a log must
// not write to it.
func (m *Models) audit(kind string, data any) error {
	if m.cfg.Passing {
		return nil
	}
	return m.cfg.Log.Audit(kind, data)
}

func (m *Models) discardDamaged(cause error) error {
	aside, err := setAside(m.path, "damaged")
	if err != nil {
		return fmt.Errorf("setting the damaged read models aside: %w", err)
	}
	m.cfg.Logger.Error("the read models are damaged and start from nothing", "error", cause, "kept", aside)
	return nil
}

// mismatch says why the log does not have a checkpoint, "" when it has, and why the
// file is to be kept. Only durable records are ever applied: a checkpoint that is not
// there was there once.
func (m *Models) mismatch(ctx context.Context, db *bolt.DB, at checkpoint) (reason, keep string, err error) {
	switch {
	case at.Epoch != m.cfg.Log.Epoch():
		return "they belong to another log", keepForeign, nil
	case at.Seq > m.cfg.Log.Durable():
		return "they are ahead of the log", keepAhead, nil
	}
	if at.Seq > 0 {
		r, err := m.cfg.Log.Get(ctx, at.Seq)
		switch {
		case errors.Is(err, eventlog.ErrNotFound):
			return "the log does not have the record they stand at", keepAhead, nil
		case err != nil:
			return "", "", fmt.Errorf("finding the read models' checkpoint in the log: %w", err)
		case r.ID != at.ID:
			return "the log has another record where they stand", keepAhead, nil
		}
		if what, err := m.lost(ctx, db, at, &r); err != nil || what != "" {
			return what, keepAhead, err
		}
	}
	if !maps.Equal(at.Versions, versions) {
		return "another release's projectors wrote them", keepOther, nil
	}
	return "", "", nil
}
