package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"roomlog/eventlog"
	"roomlog/projections"
)

type statusCmd struct {
	source
	JSON bool `name:"json" help:"One JSON object."`
}

// status is where a server stands.
type status struct {
	Epoch       string            `json:"epoch"`
	Log         logStatus         `json:"log"`
	Projections projectionsStatus `json:"projections"`
	Sockets     int               `json:"sockets"`
	Rooms       int               `json:"rooms"`
	Rebuild     *rebuildStatus    `json:"rebuild,omitempty"` // while one goes on
}

type logStatus struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Durable uint64 `json:"durable"`
}

type projectionsStatus struct {
	Applied uint64                     `json:"applied"`
	Digest  string                     `json:"digest"` // of the read models' content at seq applied
	Version int                        `json:"version"`
	Parked  int                        `json:"parked"`
	Records []projections.ParkedRecord `json:"parkedRecords,omitempty"`
}

// Run shows the status of a running server, or what a stopped one left.
func (c *statusCmd) Run(a *app) error {
	var s status
	state := "running"
	server := dialControl(c.Data)
	var err error
	if server != nil {
		err = server.lines(a.ctx, "GET", "/status", nil, func(text json.RawMessage) error { return json.Unmarshal(text, &s) })
	} else {
		state = "stopped"
		s, err = c.stopped(a)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(a.out).Encode(s)
	}
	return s.print(a.out, state)
}

func (c *statusCmd) stopped(a *app) (status, error) {
	o, err := c.openOffline(a.ctx, a.warnings())
	if err != nil {
		return status{}, err
	}
	s, err := statusOf(a.ctx, o.log, o.models)
	return s, errors.Join(err, o.close())
}

// status returns where the running server stands.
func (s *Server) status(ctx context.Context) (status, error) {
	now, err := statusOf(ctx, s.log, s.models)
	stats := s.gateway.Stats()
	now.Sockets, now.Rooms = stats.Sockets, stats.Rooms
	now.Rebuild = rebuildOf(s.models)
	return now, err
}

func statusOf(ctx context.Context, log *eventlog.Log, models *projections.Models) (status, error) {
	digest, err := models.Digest(ctx)
	if err != nil {
		return status{}, fmt.Errorf("cannot read the read models: %w", err)
	}
	parked := models.Parked()
	return status{
		Epoch: log.Epoch(),
		Log:   logStatus{First: log.First(), Last: log.Last(), Durable: log.Durable()},
		Projections: projectionsStatus{
			Applied: digest.Seq,
			Digest:  digest.Total,
			Version: projections.Version(),
			Parked:  len(parked),
			Records: parked,
		},
	}, nil
}

func (s status) print(out io.Writer, state string) error {
	behind := "up to date"
	if s.Projections.Applied < s.Log.Durable {
		behind = fmt.Sprintf("%d behind", s.Log.Durable-s.Projections.Applied)
	}
	fmt.Fprintf(out, "server       %s\n", state)
	fmt.Fprintf(out, "epoch        %s\n", s.Epoch)
	fmt.Fprintf(out, "log          seq %d to %d, durable up to %d\n", s.Log.First, s.Log.Last, s.Log.Durable)
	fmt.Fprintf(out, "read models  at seq %d, %s, version %d, %d parked\n", s.Projections.Applied, behind, s.Projections.Version, s.Projections.Parked)
	fmt.Fprintf(out, "digest       %s\n", s.Projections.Digest)
	for _, p := range s.Projections.Records {
		fmt.Fprintf(out, "parked       seq %d in %s: %s\n", p.Seq, p.Projector, p.Error)
	}
	_, err := fmt.Fprintf(out, "clients      %d sockets in %d rooms\n", s.Sockets, s.Rooms)
	return err
}
