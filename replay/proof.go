package replay

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Proof proves that a record is at its place in a log whose checkpoint was signed, and
// what the record says, to who has nothing but it and a key. As text it is in the format
// c2sp.org/tlog-proof:
//
//	c2sp.org/tlog-proof@v1
//	extra <the record's leaf, base64: see eventlog.Record.Leaf>
//	index <its place, less one>
//	<the hashes beside the way from the leaf to the root, base64, one a line>
//
//	<the checkpoint>
type Proof struct {
	Leaf       []byte
	Index      uint64
	Hashes     tlog.RecordProof
	Checkpoint []byte
}

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	proofExtra  = "extra "
	proofIndex  = "index "
)

// Marshal returns the proof as text.
func (p *Proof) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s%s\n%s%d\n", proofHeader, proofExtra, base64.StdEncoding.EncodeToString(p.Leaf), proofIndex, p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintln(&b, h)
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads a proof. Whether it proves anything, Check says.
func ParseProof(text []byte) (*Proof, error) {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != proofHeader {
		return nil, fmt.Errorf("it is no proof: it does not begin with %q", proofHeader)
	}
	p := &Proof{Checkpoint: checkpoint}
	extra, isExtra := strings.CutPrefix(lines[1], proofExtra)
	index, isIndex := strings.CutPrefix(lines[2], proofIndex)
	if !isExtra || !isIndex {
		return nil, errors.New("it is no proof of a record of roomlog: there is no extra line with the record, and an index line behind it")
	}
	var err error
	if p.Leaf, err = base64.StdEncoding.DecodeString(extra); err != nil {
		return nil, fmt.Errorf("the record in it is no base64: %w", err)
	}
	if p.Index, err = strconv.ParseUint(index, 10, 63); err != nil {
		return nil, fmt.Errorf("its index is %q", index)
	}
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("%q in it is no hash", line)
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// Check returns the record that the proof proves, and the checkpoint by which it does.
func (p *Proof) Check(keys *Keys) (eventlog.Record, Checkpoint, error) {
	c, err := keys.Open(p.Checkpoint)
	if err != nil {
		return eventlog.Record{}, c, fmt.Errorf("the checkpoint in the proof counts for nothing: %w", err)
	}
	if p.Index >= c.Size {
		return eventlog.Record{}, c, fmt.Errorf("the proof is of seq %d, and its checkpoint reaches to seq %d", p.Index+1, c.Size)
	}
	if err := tlog.CheckRecord(p.Hashes, int64(c.Size), c.Root, int64(p.Index), tlog.RecordHash(p.Leaf)); err != nil {
		return eventlog.Record{}, c, fmt.Errorf("the record in the proof is not the one at seq %d of the log that was signed", p.Index+1)
	}
	r, err := eventlog.RecordOfLeaf(p.Leaf)
	if err == nil && r.Seq != p.Index+1 {
		err = fmt.Errorf("it says that it is at seq %d", r.Seq)
	}
	if err != nil {
		return r, c, fmt.Errorf("the log has no record at seq %d: %w", p.Index+1, err)
	}
	return r, c, nil
}

// Prove returns a proof of the record at seq, by the newest checkpoint, which it signs
// when the one there is does not reach so far.
func (s *Signer) Prove(ctx context.Context, seq uint64) (*Proof, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.history.newest()
	if c == nil || c.Size < seq {
		var err error
		if c, err = s.sign(ctx); err != nil {
			return nil, err
		}
	}
	if c == nil || c.Size < seq {
		return nil, fmt.Errorf("there is no record at seq %d yet", seq)
	}
	r, err := s.cfg.Log.Get(ctx, seq)
	if err != nil {
		return nil, err
	}
	p := &Proof{Leaf: r.Leaf(), Index: seq - 1, Checkpoint: c.Note}
	err = s.cfg.Models.View(func(v *projections.View) (err error) {
		p.Hashes, err = v.ProveRecord(c.Size, seq)
		return err
	})
	if err == nil {
		_, _, err = p.Check(s.keys)
	}
	if err != nil {
		return nil, fmt.Errorf("seq %d cannot be proven: %w", seq, err)
	}
	return p, nil
}
