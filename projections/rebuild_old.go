package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"roomlog/schema"
)

// ErrNoOld means that no replaced file is there.
var ErrNoOld = errors.New("there are no replaced read models: nothing was rebuilt, or it is final already")

// Old says since when a replaced file is kept, and until when Run keeps it.
type Old struct {
	Since time.Time
	Until time.Time
	Bytes int64
}

// Old returns the file that the last rebuild replaced; ErrNoOld when there is none.
func (m *Models) Old() (Old, error) {
	info, err := os.Stat(m.cfg.Path + suffixOld)
	if errors.Is(err, fs.ErrNotExist) {
		return Old{}, ErrNoOld
	}
	if err != nil {
		return Old{}, fmt.Errorf("looking for the replaced read models: %w", err)
	}
	return Old{Since: info.ModTime(), Until: info.ModTime().Add(m.cfg.KeepOld), Bytes: info.Size()}, nil
}

// Commit removes the file that the last rebuild replaced.
func (m *Models) Commit() error {
	if !m.rebuilding.TryLock() {
		return ErrRebuilding
	}
	defer m.rebuilding.Unlock()
	if _, err := m.Old(); err != nil {
		return err
	}
	return m.dropOld(schema.RebuildCommitted)
}

func (m *Models) dropOld(why string) error {
	m.reach(AtCommitting)
	path := m.cfg.Path + suffixOld
	if err := errors.Join(removeAll(path, path+suffixDirty), syncDir(path)); err != nil {
		return err
	}
	m.auditRebuild(schema.AuditRebuildStep{State: why, Seq: m.Applied()})
	return nil
}

// recheck is how often Run looks for a replaced file that is not there yet.
const recheck = time.Minute

// keepOld removes the replaced file when its time is over, until ctx ends.
func (m *Models) keepOld(ctx context.Context) {
	for {
		wait := recheck
		if old, err := m.Old(); err == nil {
			wait = min(time.Until(old.Until), recheck)
		}
		if wait <= 0 {
			if err := m.expireOld(); err != nil {
				m.cfg.Logger.Warn("the replaced read models could not be removed", "error", err)
			}
			wait = recheck
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (m *Models) expireOld() error {
	if !m.rebuilding.TryLock() {
		return nil // its turn comes
	}
	defer m.rebuilding.Unlock()
	if old, err := m.Old(); err != nil || time.Now().Before(old.Until) {
		return nil
	}
	return m.dropOld(schema.RebuildExpired)
}

// Rollback puts the file that the last rebuild replaced back in its place, and keeps
// the other one as the replaced one. It is brought up to date first, and nobody is
// told again of what it applies; Run may go on meanwhile, as in a Rebuild.
func (m *Models) Rollback(ctx context.Context, progress func(Progress)) error {
	alone, release, err := m.claim()
	if err != nil {
		return err
	}
	defer release()
	if m.pending() {
		return ErrRebuilding
	}
	if _, err := m.Old(); err != nil {
		return err
	}
	err = m.rollback(ctx, alone, progress)
	step := schema.AuditRebuildStep{State: schema.RebuildRolledBack, Seq: m.Applied()}
	if err != nil {
		step.State, step.Error = schema.RebuildFailed, err.Error()
	}
	m.auditRebuild(step)
	return err
}

func (m *Models) rollback(ctx context.Context, alone bool, progress func(Progress)) error {
	path := m.cfg.Path + suffixOld
	why, err := m.unfit(ctx, path)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	if err != nil {
		return fmt.Errorf("the replaced read models cannot take over: %w", err)
	}
	if _, err := markDirty(path); err != nil {
		return err
	}
	db, at, err := openAt(path, true)
	if err != nil {
		return err
	}
	b := m.newRebuild(db, at, alone, progress)
	defer m.tracker.end()
	err = b.goBack(ctx)
	if m.isServing(db) {
		return errors.Join(err, m.secureOld())
	}
	return errors.Join(err, closeClean(db, path))
}

func (b *rebuild) goBack(ctx context.Context) error {
	b.at(StageCatchingUp)
	if err := errors.Join(b.writer.prepare(), b.follow(ctx)); err != nil {
		return err
	}
	b.models.reach(AtReturning)
	if err := b.meet(ctx); err != nil {
		return err
	}
	replaced, err := b.takeOver(ctx, suffixOld)
	if err != nil {
		return err
	}
	return replaced.close()
}
