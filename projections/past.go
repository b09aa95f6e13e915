package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
)

// ErrUnfit means that a file of read models cannot be used for a log as it is.
var ErrUnfit = errors.New("the read models do not fit the log")

// OpenReadOnly opens the read models that a stopped server left, to be read: nothing is
// changed beside them or in them, not by Close either, and Run must not be called. They
// may be behind the log. Of Config only Path, Log and Logger are used. The error is
// ErrUnfit when there are none, or they are damaged, of another log, of other versions
// of the projectors, or ahead of the log.
func OpenReadOnly(ctx context.Context, cfg Config) (*Models, error) {
	m, err := newModels(Config{Path: cfg.Path, Log: cfg.Log, Logger: cfg.Logger, Passing: true})
	if err != nil {
		return nil, err
	}
	m.reading, m.path = true, cfg.Path
	at, err := m.openToRead(ctx)
	if err != nil {
		m.metrics.unregister()
		return nil, err
	}
	m.advance(at.Seq)
	return m, nil
}

func (m *Models) openToRead(ctx context.Context) (at checkpoint, err error) {
	if _, err := os.Stat(m.path); errors.Is(err, fs.ErrNotExist) {
		return at, fmt.Errorf("%w: there are none", ErrUnfit)
	}
	if down, err := wentDown(m.path); err != nil {
		return at, err
	} else if down {
		return at, fmt.Errorf("%w: the machine went down while they were open", ErrUnfit)
	}
	db, err := openBolt(m.path, bolt.Options{ReadOnly: true, Timeout: time.Second, NoStatistics: true})
	if err == nil {
		at, err = checkpointIn(db)
	}
	if err != nil {
		return at, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	why := "they are empty"
	if at.Epoch != "" {
		why, _, err = m.mismatch(ctx, db, at)
	}
	if err == nil && why != "" {
		err = fmt.Errorf("%w: %s", ErrUnfit, why)
	}
	if err != nil {
		return at, errors.Join(err, db.Close())
	}
	m.db = db
	return at, nil
}

// Past is read models of a reader's own that stand at a place of the log of their
// choice, and go forward from there. They live in a folder of the system's for
// temporary files until Close. Those of its methods that are not of Models are for one
// goroutine.
type Past struct {
	*Models
	folder   string
	progress func(applied, of uint64)
}

// PastConfig says how a Past is made.
type PastConfig struct {
	Log      *eventlog.Log
	From     *Models                  // begin with a copy of these; nil: from nothing
	Progress func(applied, of uint64) // told some times a second of long work; nil: nobody
	Logger   *slog.Logger             // nil: silent
}

// pastBytes is what is held in memory while a past is made: beside a running server.
const pastBytes = 64 << 20

// OpenPast returns read models at the log's beginning, or where those stand that they
// are a copy of.
func OpenPast(ctx context.Context, cfg PastConfig) (*Past, error) {
	folder, err := os.MkdirTemp("", "roomlog-models-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for read models: %w", err)
	}
	p := &Past{folder: folder, progress: cfg.Progress}
	path := filepath.Join(folder, "models.db")
	if cfg.From != nil {
		err = cfg.From.copyTo(path)
	}
	if err == nil {
		p.Models, err = Open(ctx, Config{Path: path, Log: cfg.Log, LoadBytes: pastBytes, Passing: true, Logger: cfg.Logger})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make read models in %s: %w", folder, err), os.RemoveAll(folder))
	}
	return p, nil
}

// copyTo writes the file as of now to another one.
func (m *Models) copyTo(path string) error {
	tx, err := m.read()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return tx.CopyFile(path, 0o600)
}

// GoTo applies what the log has up to a place. There is no way back.
func (p *Past) GoTo(ctx context.Context, seq uint64) error {
	at := p.Applied()
	switch {
	case seq == at:
		return nil
	case seq < at:
		return fmt.Errorf("read models at %d do not go back to %d", at, seq)
	}
	err := p.load(ctx, at+1, seq, func(batch []record) error {
		err := p.applyBehind(batch)
		if err == nil && p.progress != nil {
			p.progress(batch[len(batch)-1].Seq, seq)
		}
		return err
	})
	if err = errors.Join(err, p.settle()); err != nil {
		return fmt.Errorf("making the read models as of record %d: %w", seq, err)
	}
	p.advance(seq) // the last ones may be missing from the log
	return nil
}

// Apply applies the next record that the log has. Which that is the caller knows.
func (p *Past) Apply(r eventlog.Record) error {
	_, err := p.apply([]record{decode(r)}, false)
	return err
}

// Close removes them.
func (p *Past) Close() error {
	p.reading = true // nothing of it need be on disk
	return errors.Join(p.Models.Close(), os.RemoveAll(p.folder))
}
