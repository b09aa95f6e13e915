package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
)

type statusCmd struct {
	source
	Digest bool `default:"true" negatable:"" help:"Digest of the read models' content, for which all of it is read: some hundred megabytes a second (on)."`
	Watch  bool `help:"Go on showing it, with the progress of a rebuild, until interrupted; without the digest."`
	JSON   bool `name:"json" help:"One JSON object; with --watch one a line."`
}

// Help says what scripts may rely on.
func (*statusCmd) Help() string {
	return fmt.Sprintf(`Exit codes: 0 all is well; 1 the status cannot be read; 3 something needs a look, which the
output names: records are parked, the log or the read models failed or are damaged, the disk has
less than the %d MiB left below which the log takes no records, the running server is not ready,
or its read models are more than %d records behind the log. A stopped server's data directory is
looked at and not changed.`, eventlog.Reserve>>20, realtime.ReadyLag)
}

// status is where a server stands.
type status struct {
	Server      string                  `json:"server"` // running or stopped
	Unready     string                  `json:"unready,omitempty"`
	Epoch       string                  `json:"epoch"`
	Log         logStatus               `json:"log"`
	Streams     []eventlog.StreamStatus `json:"streams"`
	Projections projectionsStatus       `json:"projections"`
	Sockets     int                     `json:"sockets"`
	Rooms       int                     `json:"rooms"`
	Disk        diskStatus              `json:"disk"`
	Rebuild     *rebuildStatus          `json:"rebuild,omitempty"`  // while one goes on
	Problems    []string                `json:"problems,omitempty"` // what needs a look
}

type logStatus struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Durable uint64 `json:"durable"`
}

type projectionsStatus struct {
	Applied uint64                     `json:"applied"`
	Lag     uint64                     `json:"lag"`    // durable records that are not applied
	Digest  string                     `json:"digest"` // of the read models' content at seq applied; "" when nobody asked
	Version int                        `json:"version"`
	Parked  int                        `json:"parked"`
	Records []projections.ParkedRecord `json:"parkedRecords,omitempty"`
	Remark  string                     `json:"remark,omitempty"` // of a stopped server's: what the next start does
}

// diskStatus is in bytes.
type diskStatus struct {
	Log     uint64 `json:"log"`
	Models  int64  `json:"models"`  // with what a rebuild makes, and what it replaced
	Free    int64  `json:"free"`    // below the data directory
	Reserve int64  `json:"reserve"` // free space below which the log takes no records; 0 for a log in NATS
}

// Run shows the status of a running server, or what a stopped one left.
func (c *statusCmd) Run(a *app) error {
	if c.Watch {
		return c.watch(a)
	}
	s, err := c.read(a, c.Digest)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(a.out).Encode(s)
	} else {
		err = s.print(a.out)
	}
	if err == nil && len(s.Problems) > 0 {
		err = &exitError{exitDiffers, errors.New("something needs a look: " + s.Problems[0])}
	}
	return err
}

// read asks the running server, or looks at what a stopped one left.
func (c *statusCmd) read(a *app, withDigest bool) (s status, err error) {
	if server := dialControl(c.Data); server != nil {
		query := url.Values{"digest": {strconv.FormatBool(withDigest)}}
		err = server.lines(a.ctx, "GET", "/status", query, func(text json.RawMessage) error { return json.Unmarshal(text, &s) })
		return s, err
	}
	log, err := c.openLogToLook(a)
	if err != nil {
		return s, err
	}
	s, err = c.stopped(a.ctx, log, withDigest)
	return s, errors.Join(err, log.Close())
}

// openLogToLook opens the log of a stopped server by its files, or one in NATS.
func (c *statusCmd) openLogToLook(a *app) (*eventlog.Log, error) {
	if c.NATSURL != "" {
		return openLog(a.ctx, serverConfig{NATSURL: c.NATSURL}, a.warnings(), nil)
	}
	if err := c.hasLog(); err != nil {
		return nil, err
	}
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: c.Data, Logger: a.warnings()}, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	return log, nil
}

// stopped is the status of a server that does not run.
func (c *statusCmd) stopped(ctx context.Context, log *eventlog.Log, withDigest bool) (status, error) {
	s, err := statusOf(ctx, log, c.Data)
	if err != nil {
		return s, err
	}
	s.Server = "stopped"
	path := filepath.Join(c.Data, modelsName)
	at, err := projections.Stand(ctx, path, withDigest)
	if errors.Is(err, projections.ErrNoFile) {
		at.Remark = "there are none, and the next start makes them"
	} else if err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("the read models cannot be read, and the next start makes them anew if they are damaged: %v", err))
	}
	if at.Epoch != "" && at.Epoch != s.Epoch {
		s.Problems = append(s.Problems, "the read models belong to another log, whose epoch is "+at.Epoch)
	} else if at.Seq > s.Log.Durable {
		s.Problems = append(s.Problems, fmt.Sprintf("the read models are at seq %d, which the log does not have: it has lost records", at.Seq))
	}
	s.place(at.Seq, at.Digest, at.Parked)
	s.Projections.Remark = at.Remark
	if s.Disk.Free < s.Disk.Reserve {
		s.Problems = append(s.Problems, fmt.Sprintf("the disk has %s left, and below %s the log takes no records", inBytes(s.Disk.Free), inBytes(s.Disk.Reserve)))
	}
	return s, nil
}

// status returns where the running server stands.
func (s *Server) status(ctx context.Context, withDigest bool) (status, error) {
	now, err := statusOf(ctx, s.log, s.cfg.Data)
	if err != nil {
		return now, err
	}
	now.Server = "running"
	if now.Unready = s.gateway.Unready(); now.Unready != "" {
		now.Problems = append(now.Problems, "the server is not ready: "+now.Unready)
	}
	applied, digest := s.models.Applied(), ""
	if withDigest {
		d, err := s.models.Digest(ctx)
		if err != nil {
			return now, fmt.Errorf("cannot read the read models: %w", err)
		}
		applied, digest = d.Seq, d.Total
	}
	now.place(applied, digest, s.models.Parked())
	stats := s.gateway.Stats()
	now.Sockets, now.Rooms = stats.Sockets, stats.Rooms
	now.Rebuild = rebuildOf(s.models)
	return now, nil
}

// statusOf returns what is the log's and the disk's.
func statusOf(ctx context.Context, log *eventlog.Log, dir string) (s status, err error) {
	s.Epoch = log.Epoch()
	s.Log = logStatus{First: log.First(), Last: log.Last(), Durable: log.Durable()}
	if s.Streams, err = log.Streams(ctx); err != nil {
		return s, err
	}
	for _, stream := range s.Streams {
		s.Disk.Log += stream.Bytes
	}
	s.Disk.Reserve = log.Reserve()
	if s.Disk.Models, err = projections.Size(filepath.Join(dir, modelsName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("cannot look at the read models: %w", err)
	}
	if s.Disk.Free, err = log.FreeSpace(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	return s, nil
}

// place fills in where the read models stand.
func (s *status) place(applied uint64, digest string, parked []projections.ParkedRecord) {
	s.Projections = projectionsStatus{
		Applied: applied, Digest: digest, Version: projections.Version(), Parked: len(parked), Records: parked,
	}
	if applied < s.Log.Durable {
		s.Projections.Lag = s.Log.Durable - applied
	}
	if len(parked) > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%d records are parked: their errors say why", len(parked)))
	}
}
