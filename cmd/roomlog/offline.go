package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
)

// The names below the data directory.
const (
	modelsName = "models.db"
	logName    = "jetstream"
)

// openLog opens the log that cfg names.
func openLog(ctx context.Context, cfg serverConfig, logger *slog.Logger, metrics prometheus.Registerer) (*eventlog.Log, error) {
	if replay.IsBackup(cfg.Data) {
		return nil, fmt.Errorf("%s is a backup, and what writes to it would spoil it: restore it, and give the --data that it was restored to", cfg.Data)
	}
	known := uint64(0)
	if cfg.NATSURL == "" && !cfg.AcceptLoss {
		known = replay.KnownUpTo(cfg.Data, modelsName)
	}
	log, err := eventlog.Open(ctx, eventlog.Config{
		Known:      known,
		Dir:        cfg.Data,
		URL:        cfg.NATSURL,
		Replicas:   cfg.Replicas,
		Fsync:      eventlog.FsyncMode(cfg.Fsync),
		NATSListen: cfg.NATSListen,
		Logger:     logger,
		Registerer: metrics,
		OnSync:     cfg.onSync,
		FreeSpace:  cfg.freeSpace,
	})
	if errors.Is(err, eventlog.ErrLocked) {
		return nil, fmt.Errorf("%w; stop it, or give another --data", err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", adviseOnLoss(err, cfg.Data))
	}
	return log, nil
}

// source names a log for commands that read one: a running server's, that of a
// stopped one, or one in NATS.
type source struct {
	Data    string `default:"./roomlog-data" placeholder:"DIR" help:"The server's data directory (${default}), whether it runs or not."`
	NATSURL string `name:"nats-url" placeholder:"URL" help:"Read the log in this NATS cluster."`
}

// hasLog says why the data directory has none.
func (s source) hasLog() error {
	if _, err := os.Stat(filepath.Join(s.Data, logName)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no log in %s: give the --data of a server that ran before", s.Data)
	}
	return nil
}

// offline is the log and the read models of a server that does not run.
type offline struct {
	log     *eventlog.Log
	models  *projections.Models
	scratch string // folder to remove again; "" for none

	applying sync.WaitGroup
	stop     context.CancelFunc // of applying; nil when nothing is applied
}

// openOffline opens what a stopped server left, or a log in NATS with read
// models of its own.
func (s source) openOffline(ctx context.Context, logger *slog.Logger) (*offline, error) {
	o := &offline{}
	dir := s.Data
	if s.NATSURL == "" {
		if err := finishRestore(dir, logger); err != nil {
			return nil, err
		}
		if err := s.hasLog(); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(filepath.Join(dir, modelsName)); err != nil {
		if dir, err = os.MkdirTemp("", "roomlog-models-"); err != nil {
			return nil, fmt.Errorf("cannot make a folder for read models: %w", err)
		}
		o.scratch = dir
	}
	var err error
	if o.log, err = openLog(ctx, serverConfig{Data: dir, NATSURL: s.NATSURL}, logger, nil); err != nil {
		return nil, errors.Join(err, o.close())
	}
	o.models, err = projections.Open(ctx, projections.Config{
		Path:    filepath.Join(dir, modelsName),
		Log:     o.log,
		Deliver: func([]projections.Applied) {}, // nobody is connected
		Passing: o.scratch != "",
		Logger:  logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the read models: %w", adviseOnLoss(err, s.Data)), o.close())
	}
	return o, nil
}

// catchUp applies what the log has and the read models do not, and goes on
// applying until close.
func (o *offline) catchUp(ctx context.Context) error {
	ctx, o.stop = context.WithCancel(ctx)
	o.applying.Go(func() { o.models.Run(ctx) }) // WaitApplied says why it ended
	return o.models.WaitApplied(ctx, o.log.Durable())
}

func (o *offline) auditor() replay.Auditor { return replay.Auditor{Log: o.log, Models: o.models} }

func (o *offline) close() error {
	var errs []error
	if o.stop != nil {
		o.stop()
		o.applying.Wait()
	}
	if o.models != nil {
		errs = append(errs, o.models.Close())
	}
	if o.log != nil {
		errs = append(errs, o.log.Close())
	}
	if o.scratch != "" {
		errs = append(errs, os.RemoveAll(o.scratch))
	}
	return errors.Join(errs...)
}
