package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// checkProof checks a proof by itself and a key, and shows the record.
func (c *verifyCmd) checkProof(a *app) error {
	keys, err := c.keys()
	if err != nil {
		return err
	}
	var e replay.Evidence // checkpoints that hand over to the key that signed the proof
	if err := e.ReadCheckpoints("", c.Checkpoint, keys); err != nil {
		return err
	}
	text, err := os.ReadFile(c.Proof)
	if err != nil {
		return fmt.Errorf("cannot read the proof: %w", err)
	}
	p, err := replay.ParseProof(text)
	var record eventlog.Record
	var by replay.Checkpoint
	if err == nil {
		record, by, err = p.Check(keys)
	}
	if err != nil {
		return &exitError{exitDiffers, fmt.Errorf("%s proves nothing: %w", c.Proof, err)}
	}
	line := replay.Proven(&record)
	if c.JSON {
		return printJSON(a.out, proven{line, by.Origin, by.Size, by.Root, by.Epoch, by.Time})
	}
	fmt.Fprintf(a.out, "proven       seq %d is in the log of %s, epoch %s\n", line.Seq, by.Origin, by.Epoch)
	fmt.Fprintf(a.out, "by           the checkpoint over %d records, signed %s\n", by.Size, by.Time)
	return printRow(a.out, &line)
}

// proven is what a proof proves, for machines.
type proven struct {
	Record replay.Line `json:"record"`
	Origin string      `json:"origin"`
	Size   uint64      `json:"size"` // of the checkpoint by which it is proven
	Root   tlog.Hash   `json:"root"`
	Epoch  string      `json:"epoch"`
	Signed schema.Time `json:"signed"`
}

// proveLive has the running server prove a record, which it does without reading the
// rest of the log.
func (c *verifyCmd) proveLive(a *app, server *remote) error {
	var proof []byte
	query := url.Values{"seq": {strconv.FormatUint(c.Prove, 10)}}
	err := server.lines(a.ctx, "POST", "/prove", query, func(text json.RawMessage) error { return json.Unmarshal(text, &proof) })
	if err != nil {
		return err
	}
	return c.write(a, proof)
}

// handover is what a rotation came to.
type handover struct {
	Key        string `json:"key"`        // verifier key of the new one
	Checkpoint string `json:"checkpoint"` // signed by both
}

// rotate has a running server rotate its key, or does so in what a stopped one left.
func (c *verifyCmd) rotate(a *app, server *remote) error {
	var h handover
	var err error
	if server != nil {
		err = server.lines(a.ctx, "POST", "/rotate-key", nil, func(text json.RawMessage) error { return json.Unmarshal(text, &h) })
	} else {
		h, err = c.rotateStopped(a)
	}
	if err != nil {
		return fmt.Errorf("the key was not rotated: %w", err)
	}
	if c.JSON {
		return printJSON(a.out, h)
	}
	fmt.Fprintf(a.out, "the key that signs from now on is\n\n%s\n\nwho trusts the one before, and keeps this checkpoint, trusts it too:\n\n%s", h.Key, h.Checkpoint)
	return nil
}

func (c *verifyCmd) rotateStopped(a *app) (h handover, err error) {
	if !replay.HasCheckpoints(c.Data) {
		return h, fmt.Errorf("nothing is signed in %s: give the --data of a server that ran before", c.Data)
	}
	unlock, err := eventlog.LockDir(c.Data)
	if err != nil {
		return h, err
	}
	defer unlock()
	signer, err := replay.OpenSigner(replay.SignerConfig{Dir: c.Data})
	if err != nil {
		return h, err
	}
	checkpoint, err := signer.Rotate(a.ctx)
	if err != nil {
		return h, err
	}
	return handover{signer.Key(), string(checkpoint.Note)}, nil
}

func (s *Server) serveRotateKey(w http.ResponseWriter, r *http.Request) {
	checkpoint, err := s.signer.Rotate(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(handover{s.signer.Key(), string(checkpoint.Note)})
}

func (s *Server) serveProve(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.FormValue("seq"), 10, 63)
	var proof *replay.Proof
	if err == nil {
		proof, err = s.signer.Prove(r.Context(), seq)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(proof.Marshal())
}

// maxLeaves is how many leaves are handed out at a time.
const maxLeaves = 4096

func (s *Server) serveLeaves(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.FormValue("from"), 10, 63)
	count, errCount := strconv.Atoi(r.FormValue("count"))
	if err = errors.Join(err, errCount); err != nil || count < 0 {
		http.Error(w, "from and count are to be numbers", http.StatusBadRequest)
		return
	}
	leaves := make([]tlog.Hash, min(count, maxLeaves))
	err = s.models.View(func(v *projections.View) error {
		leaves = leaves[:v.Leaves(from, leaves)]
		return nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(leaves)
}
