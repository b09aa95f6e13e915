package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"roomlog/schema"
)

// Names beside the read models' own. Every one of them may have a note behind it
// that says whether it can be trusted after a power loss (dirty.go).
const (
	suffixNew    = ".new"     // what a rebuild is making
	suffixOld    = ".old"     // what the last rebuild replaced; modified when it was
	suffixOldNew = ".old.new" // becomes .old
)

// Point is a moment of a rebuild at which the process may end, and must then start
// and serve.
type Point string

// The points, in order. What the next start finds at each of them:
const (
	AtBuilding   Point = "building"   // .new with a part of the log: the next rebuild goes on from there
	AtComparing  Point = "comparing"  // the same
	AtCatchingUp Point = "catchingUp" // the same, when both were compared
	AtReturning  Point = "returning"  // .old, brought up to date: it is still the old one
	AtExchanging Point = "exchanging" // the same, and nobody has been told of anything later
	AtLinked     Point = "linked"     // the file under two names: the second one goes
	AtRenamed    Point = "renamed"    // the other file in place: what it replaced becomes .old
	AtExchanged  Point = "exchanged"  // both in place, and nothing served from them yet
	AtCommitting Point = "committing" // .old, which somebody no longer wants
)

func (m *Models) reach(p Point) {
	if m.cfg.At != nil {
		m.cfg.At(p)
	}
}

// exchange puts the file path+from in the place of path, and keeps what was there as
// path.old. At every moment path is one of the two. Nothing is there when someone
// deleted the file that is open: a rebuild is how they get one again.
func (m *Models) exchange(from string) error {
	path := m.cfg.Path
	_, err := os.Stat(path)
	there := err == nil
	if _, err := markDirty(path); err != nil {
		return err
	}
	if err := removeAll(path + suffixOldNew); err != nil {
		return err
	}
	if there {
		if _, err := markDirty(path + suffixOld); err != nil {
			return err
		}
		now := time.Now()
		if err := errors.Join(os.Chtimes(path, now, now), os.Link(path, path+suffixOldNew)); err != nil {
			return err
		}
	}
	m.reach(AtLinked)
	if err := os.Rename(path+from, path); err != nil {
		return err
	}
	m.reach(AtRenamed)
	if there {
		if err := os.Rename(path+suffixOldNew, path+suffixOld); err != nil {
			return err
		}
	}
	if err := syncDir(path); err != nil {
		return err
	}
	m.reach(AtExchanged)
	return removeAll(path + suffixNew + suffixDirty)
}

// mendExchange ends an exchange that was cut short.
func mendExchange(path string) error {
	if same, err := sameFile(path, path+suffixOldNew); err != nil || same {
		return errors.Join(err, removeAll(path+suffixOldNew))
	}
	if err := os.Rename(path+suffixOldNew, path+suffixOld); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the replaced read models: %w", err)
	}
	return nil
}

func sameFile(a, b string) (bool, error) {
	one, err := os.Stat(a)
	if err == nil {
		var other fs.FileInfo
		if other, err = os.Stat(b); err == nil {
			return os.SameFile(one, other), nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, fmt.Errorf("looking for the read models: %w", err)
}

// secureOld makes the replaced file safe from a power loss. It need not be served
// from any more.
func (m *Models) secureOld() error {
	path := m.cfg.Path + suffixOld
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing the replaced read models: %w", err)
	}
	return removeAll(path + suffixDirty)
}

// takeOver catches up between two batches of Run and serves from the new file, which
// is path+from so far. It returns the old one's writer.
func (b *rebuild) takeOver(ctx context.Context, from string) (old *writer, err error) {
	m := b.models
	m.applying.Lock() // Close waits for it, too
	defer m.applying.Unlock()
	if m.isClosed() {
		return nil, ErrClosed
	}
	if err := m.Err(); err != nil {
		return nil, err
	}
	written, err := m.writer.settle()
	if err != nil {
		return nil, err
	}
	m.written(written)
	if err := b.to(ctx, m.writer.at.Seq); err != nil {
		return nil, err
	}
	if err := b.sync(); err != nil {
		return nil, err
	}
	m.reach(AtExchanging)
	if err := m.exchange(from); err != nil {
		return nil, fmt.Errorf("putting the other read models in place: %w", err)
	}
	if !m.noSync {
		if err := removeAll(m.cfg.Path + suffixDirty); err != nil {
			return nil, err
		}
	}
	b.writer.db.NoSync, b.writer.written = m.noSync, nil
	b.writer.path, b.writer.serve = m.cfg.Path, m.serve
	m.file.Lock()
	defer m.file.Unlock()
	old, m.db, m.writer, m.stale = m.writer, b.writer.db, b.writer, false
	b.taken = m.writer.at.Seq
	m.advance(b.taken)
	return old, nil
}

// sync makes a file durable that is to be served from with every batch synced. Where
// a note says that it is not, that says it all.
func (b *rebuild) sync() error {
	if b.models.noSync {
		return nil
	}
	if err := b.writer.db.Sync(); err != nil {
		return fmt.Errorf("syncing the rebuilt read models: %w", err)
	}
	return nil
}

// install puts the file that was made at start in the place of the one that other
// projectors wrote.
func (m *Models) install() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if !m.pending() {
		m.tracker.leave(m.writer)
		return nil
	}
	if !m.noSync {
		if err := m.db.Sync(); err != nil {
			return fmt.Errorf("syncing the rebuilt read models: %w", err)
		}
	}
	if err := m.exchange(suffixNew); err != nil {
		return fmt.Errorf("putting the rebuilt read models in place: %w", err)
	}
	if !m.noSync {
		if err := removeAll(m.cfg.Path + suffixDirty); err != nil {
			return err
		}
	}
	m.db.NoSync, m.writer.written = m.noSync, nil
	m.path, m.writer.path = m.cfg.Path, m.cfg.Path
	m.making.Store(false)
	took := m.tracker.end()
	m.cfg.Logger.Info("the read models were made anew for this release's projectors", "records", m.writer.at.Seq, "took", took)
	m.auditRebuild(schema.AuditRebuildStep{State: schema.RebuildFinished, Seq: m.writer.at.Seq, TookMs: took.Milliseconds()})
	m.advance(m.writer.at.Seq)
	return m.secureOld()
}

// syncDir makes the names in a file's folder durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
