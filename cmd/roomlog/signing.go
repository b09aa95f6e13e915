package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// signEvery is how often a checkpoint is signed over what was added meanwhile.
const signEvery = time.Minute

// openModels opens the read models of a log that has all that it had; of another one
// only when the operator gives up what is gone.
func (s *Server) openModels(ctx context.Context, metrics prometheus.Registerer) error {
	err := s.openWhole(ctx, metrics)
	var loss *projections.Loss
	if errors.As(err, &loss) && s.cfg.AcceptLoss {
		if err = s.acceptLoss(ctx, loss); err == nil {
			err = s.openWhole(ctx, metrics)
		}
	}
	return adviseOnLoss(err, s.cfg.Data)
}

// openWhole fails with a *projections.Loss when the log lacks what was signed or applied.
func (s *Server) openWhole(ctx context.Context, metrics prometheus.Registerer) (err error) {
	if err := replay.CheckLoss(s.cfg.Data, s.log); err != nil {
		return err
	}
	s.models, err = projections.Open(ctx, projections.Config{
		Path:       filepath.Join(s.cfg.Data, modelsName),
		Log:        s.log,
		Sync:       s.cfg.SyncModels,
		Background: s.cfg.RebuildInBackground,
		At:         s.cfg.onRebuild,
		Deliver:    func(batch []projections.Applied) { s.gateway.Deliver(batch) }, // not called before Run
		Logger:     s.logger,
		Registerer: metrics,
	})
	return err
}

// acceptLoss begins a new epoch: no client takes what follows for what it knew, the read
// models start from nothing, and the checkpoints are set aside.
func (s *Server) acceptLoss(ctx context.Context, loss *projections.Loss) error {
	s.logger.Error("the log goes on without records that it had, in a new epoch", "reason", loss.Reason, "known", loss.Applied, "durable", loss.Durable)
	if err := s.log.BeginEpoch(ctx); err != nil {
		return err
	}
	if err := replay.SetAside(s.cfg.Data); err != nil {
		return err
	}
	return s.log.Audit(schema.AuditLoss, schema.AuditLostRecords{Reason: loss.Reason, Applied: loss.Applied, Durable: loss.Durable})
}

// adviseOnLoss adds to a loss what there is to do.
func adviseOnLoss(err error, dir string) error {
	var loss *projections.Loss
	if !errors.As(err, &loss) && !errors.Is(err, eventlog.ErrCut) {
		return err
	}
	return fmt.Errorf("%w; see which with %s verify --data %s, and restore a backup, or give them up with serve --accept-loss", err, self(), dir)
}

// keepSigned waits until the read models have caught up, holds the log's tree against
// the newest checkpoint, which must still be true, calls ready, and then signs from time
// to time until ctx ends. It returns the loss that it met with.
func (s *Server) keepSigned(ctx context.Context, ready func()) error {
	if s.models.WaitApplied(ctx, s.log.Durable()) != nil {
		return nil // who ended ctx, or the read models, says why
	}
	if err := s.sign(ctx); err != nil {
		return err
	}
	ready()
	every := s.cfg.signEvery
	if every == 0 {
		every = signEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := s.sign(ctx); err != nil {
				return err
			}
		}
	}
}

// sign signs a checkpoint. What keeps it from being written is said, and tried again the
// next time: the log itself is well. A loss is returned.
func (s *Server) sign(ctx context.Context) error {
	_, err := s.signer.Sign(ctx)
	var loss *projections.Loss
	if errors.As(err, &loss) {
		return adviseOnLoss(err, s.cfg.Data)
	}
	if err != nil && ctx.Err() == nil {
		s.logger.Warn("no checkpoint could be signed; it is tried again", "error", err)
	}
	return nil
}
