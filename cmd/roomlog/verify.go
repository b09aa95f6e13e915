package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
)

type verifyCmd struct {
	source
	Checkpoint []string `placeholder:"FILE" help:"Checkpoints that were kept, to hold the log against."`
	Key        string   `placeholder:"KEY|FILE" help:"Verifier key that signs for this log, as in its log.pub; by default those of the data directory."`
	Prove      uint64   `placeholder:"SEQ" help:"Prove the record there: write a proof that needs nothing but itself and a key."`
	Output     string   `short:"o" placeholder:"FILE" help:"Where to write the proof; by default to standard output."`
	Proof      string   `placeholder:"FILE" help:"Check a proof, with --key, and show the record that it proves."`
	RotateKey  bool     `help:"Have a new key sign from now on, to which the old one hands over."`
	JSON       bool     `name:"json" help:"One JSON object."`
}

// Run verifies a log by its files, or does what else is asked for.
func (c *verifyCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return usageError(err)
	}
	switch server := dialControl(c.Data); {
	case c.Proof != "":
		return c.checkProof(a)
	case c.RotateKey:
		return c.rotate(a, server)
	case c.Prove != 0 && server != nil:
		return c.proveLive(a, server)
	default:
		return c.verify(a, server)
	}
}

func (c *verifyCmd) check() error {
	asked := 0
	for _, one := range []bool{c.Prove != 0, c.Proof != "", c.RotateKey} {
		if one {
			asked++
		}
	}
	switch {
	case asked > 1:
		return errors.New("--prove, --proof and --rotate-key are three things: ask for one of them")
	case c.Proof != "" && c.Key == "":
		return errors.New("a proof is checked with --key, the log's verifier key as you had it from whom you trust")
	case c.Output != "" && c.Prove == 0:
		return errors.New("-o says where the proof goes that --prove SEQ makes: give both")
	}
	return nil
}

// keys are those that may have signed: those that are given, or that the data directory
// publishes. nil: none are known, and none are asked for.
func (c *verifyCmd) keys() (*replay.Keys, error) {
	if c.Key == "" {
		if len(c.Checkpoint) == 0 && !replay.HasCheckpoints(c.Data) {
			return nil, nil
		}
		return replay.LoadKeys(c.Data)
	}
	text := c.Key
	if b, err := os.ReadFile(c.Key); err == nil {
		text = string(b)
	}
	keys, err := replay.ParseKeys(text)
	if err != nil {
		return nil, usagef("--key: %w", err)
	}
	return keys, nil
}

// verify reads the whole log. A server that runs is read by its files too, up to where
// they are durable; what they hold behind that is being written.
func (c *verifyCmd) verify(a *app, server *remote) error {
	var e replay.Evidence
	keys, err := c.keys()
	if err != nil {
		return err
	}
	if keys != nil { // before the server says how far the log goes: it signs on
		if err := e.ReadCheckpoints(c.Data, c.Checkpoint, keys); err != nil {
			return err
		}
	}
	log, applied, err := c.openToVerify(a, server)
	if err != nil {
		return err
	}
	defer log.Close()
	note, closeLeaves := c.leaves(a.ctx, &e, log, server, applied)
	defer closeLeaves()

	progress := newProgress(a.err, "verify", "records")
	report, err := replay.Verify(a.ctx, log, &e, c.Prove, func(done, total uint64) { progress.set(int64(done), int64(total)) })
	if err == nil {
		progress.set(int64(report.Size), int64(report.Size))
	}
	progress.finish()
	if report == nil {
		return err
	}
	if note != "" {
		report.Notes = append(report.Notes, note)
	}
	return errors.Join(c.conclude(a, report), err)
}

// openToVerify opens the log, and says up to where a running server has applied it.
func (c *verifyCmd) openToVerify(a *app, server *remote) (log *eventlog.Log, applied uint64, err error) {
	var now status
	if server != nil {
		err := server.lines(a.ctx, "GET", "/status", url.Values{"digest": {"false"}}, func(text json.RawMessage) error { return json.Unmarshal(text, &now) })
		if err != nil {
			return nil, 0, err
		}
	}
	applied = now.Projections.Applied
	if c.NATSURL != "" {
		log, err = openLog(a.ctx, serverConfig{NATSURL: c.NATSURL}, a.warnings(), nil)
		return log, applied, err
	}
	log, err = eventlog.OpenFiles(eventlog.Config{Dir: c.Data, Logger: a.warnings()}, now.Log.Durable)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the log: %w", err)
	}
	return log, applied, nil
}

// leaves adds the read models' tree to the evidence, and says why when it cannot.
func (c *verifyCmd) leaves(ctx context.Context, e *replay.Evidence, log *eventlog.Log, server *remote, applied uint64) (note string, closeLeaves func()) {
	closeLeaves = func() {}
	if server != nil {
		e.Leaves, e.Size = &remoteLeaves{ctx, server}, min(applied, log.Durable())
		return "", closeLeaves
	}
	tree, err := projections.OpenTree(filepath.Join(c.Data, modelsName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", closeLeaves
	case err != nil:
		return fmt.Sprintf("the log was not held against the read models: %v", err), closeLeaves
	case tree.Epoch != log.Epoch():
		tree.Close()
		return fmt.Sprintf("the read models are of epoch %s and not of this log, which is of epoch %s", tree.Epoch, log.Epoch()), closeLeaves
	}
	e.Leaves, e.Size = tree, tree.Size
	return "", func() { tree.Close() }
}

// remoteLeaves are those of a running server's read models.
type remoteLeaves struct {
	ctx    context.Context
	server *remote
}

func (r *remoteLeaves) Leaves(from uint64, into []tlog.Hash) (n int, err error) {
	query := url.Values{"from": {strconv.FormatUint(from, 10)}, "count": {strconv.Itoa(len(into))}}
	err = r.server.lines(r.ctx, "GET", "/leaves", query, func(text json.RawMessage) error {
		var page []tlog.Hash
		if err := json.Unmarshal(text, &page); err != nil {
			return err
		}
		n = copy(into, page)
		return nil
	})
	return n, err
}
