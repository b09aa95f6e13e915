package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
)

// server returns the running server to ask, nil for none: a log in NATS is read there.
func (s source) server() *remote {
	if s.NATSURL != "" {
		return nil
	}
	return dialControl(s.Data)
}

// openToRead opens a log, where nothing is changed: in NATS, or by the files that a
// stopped server, a copy or a backup has.
func (s source) openToRead(a *app) (*eventlog.Log, error) {
	if s.NATSURL != "" {
		log, err := eventlog.OpenReader(a.ctx, eventlog.Config{URL: s.NATSURL, Logger: a.warnings()})
		if err != nil {
			return nil, fmt.Errorf("cannot open the log: %w", err)
		}
		return log, nil
	}
	if err := s.hasLog(); err != nil {
		return nil, err
	}
	if used, err := eventlog.InUse(s.Data); err != nil {
		return nil, err
	} else if used {
		return nil, fmt.Errorf("the server on %s starts, stops or is rebuilt: try again when it has", s.Data)
	}
	last, err := lastOfBackup(s.Data)
	if err != nil {
		return nil, err
	}
	return s.openFiles(a, last)
}

// openFiles opens the log by its files up to a record; 0 for all.
func (s source) openFiles(a *app, to uint64) (*eventlog.Log, error) {
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: s.Data, Logger: a.warnings()}, to)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	return log, nil
}

// lastOfBackup returns the record that a backup ends with; 0 for none, or for no backup.
func lastOfBackup(dir string) (uint64, error) {
	if !replay.IsBackup(dir) {
		return 0, nil
	}
	manifest, err := replay.ReadManifest(dir)
	if err != nil {
		return 0, err
	}
	return manifest.Last, nil
}

// reading is a log that is only read, with read models for it.
type reading struct {
	replay.Auditor
	left *projections.Models // that a server left; nil for none that fit
	past *projections.Past   // made for this; nil when those are good

	applying sync.WaitGroup
	stop     context.CancelFunc // of applying; nil when nothing is applied
}

// openReading opens a log and looks for the read models that its server left.
func (s source) openReading(a *app) (*reading, error) {
	log, err := s.openToRead(a)
	if err != nil {
		return nil, err
	}
	r := &reading{Auditor: replay.Auditor{Log: log}}
	if s.NATSURL == "" {
		path := filepath.Join(s.Data, modelsName)
		r.left, err = projections.OpenReadOnly(a.ctx, projections.Config{Path: path, Log: log, Logger: a.warnings()})
		if err != nil && !errors.Is(err, projections.ErrUnfit) {
			return nil, errors.Join(fmt.Errorf("cannot open the read models: %w", err), r.close())
		}
		if _, there := os.Stat(path); err != nil && there == nil {
			a.warnings().Warn("others are made of the log, for this once", "read models", path, "reason", err)
		}
	}
	return r, nil
}

// at has the read models stand at a place: those that were left, or others made of them
// or from nothing.
func (r *reading) at(a *app, seq uint64) error {
	if r.left != nil && r.left.Applied() == seq {
		r.Models = r.left
		return nil
	}
	cfg := projections.PastConfig{Log: r.Log, Progress: progressOf(a)}
	if r.left != nil && r.left.Applied() < seq {
		cfg.From = r.left
	}
	var err error
	if r.past, err = projections.OpenPast(a.ctx, cfg); err != nil {
		return err
	}
	r.Models = r.past.Models
	return r.past.GoTo(a.ctx, seq)
}

// upTo has the read models stand where they do for a filter, and move on with the log
// if follow.
func (r *reading) upTo(a *app, f replay.Filter, follow bool) error {
	end, err := r.End(a.ctx, f)
	if err != nil {
		return err
	}
	if !follow && r.left != nil && r.left.Applied() >= end {
		r.Models = r.left
		return nil
	}
	if err := r.at(a, end); err != nil || !follow {
		return err
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(a.ctx)
	r.applying.Go(func() { r.Models.Run(ctx) }) // WaitApplied says why it ended
	return nil
}

func (r *reading) close() error {
	var errs []error
	if r.stop != nil {
		r.stop()
		r.applying.Wait()
	}
	if r.past != nil {
		errs = append(errs, r.past.Close())
	}
	if r.left != nil {
		errs = append(errs, r.left.Close())
	}
	return errors.Join(append(errs, r.Log.Close())...)
}

// progressOf shows how far read models are that take more than a moment to be made.
func progressOf(a *app) func(applied, of uint64) {
	var shown *progress
	return func(applied, of uint64) {
		if shown == nil && applied < of {
			shown = newProgress(a.err, "read models", "records")
		}
		if shown == nil {
			return
		}
		if shown.set(int64(applied), int64(of)); applied >= of {
			shown.finish()
			shown = nil
		}
	}
}
