package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Report is what a verification came to.
type Report struct {
	Epoch       string    `json:"epoch"`
	Records     uint64    `json:"records"`     // that the log has
	Size        uint64    `json:"size"`        // places: the last record's
	Root        tlog.Hash `json:"root"`        // of the tree over them
	Checkpoints int       `json:"checkpoints"` // that the log agrees with
	Signed      uint64    `json:"signed"`      // up to which place one of them says so
	Compared    uint64    `json:"compared"`    // up to which place it was held against the read models' tree
	FirstBad    uint64    `json:"firstBad,omitempty"`
	Findings    []Finding `json:"findings"`
	More        int       `json:"more,omitempty"` // findings that are not listed
	Notes       []string  `json:"notes,omitempty"`

	Proof *Proof `json:"-"` // what was to be proven
}

// Verify makes the tree of a whole log anew, holds it against evidence, and says what is
// wrong with the log and where. It reads the records once, in order. With prove it
// proves the record there by the newest checkpoint, if all is well with both. An error
// means that it could not be done.
func Verify(ctx context.Context, log *eventlog.Log, e *Evidence, prove uint64, progress func(done, total uint64)) (*Report, error) {
	v := &verification{log: log, evidence: e, prove: prove}
	v.found.list = slices.Clone(e.Findings)
	v.begin()
	for r, err := range log.Scan(ctx) {
		switch {
		case errors.Is(err, eventlog.ErrDamaged):
			v.damaged(r.Seq, err)
		case err != nil:
			return nil, fmt.Errorf("reading the log: %w", err)
		default:
			v.record(&r)
		}
		if progress != nil && v.tree.size%1024 == 0 {
			progress(v.tree.size, log.Durable())
		}
		if v.failed != nil {
			return nil, v.failed
		}
	}
	return v.report()
}

// verification is one Verify under way.
type verification struct {
	log      *eventlog.Log
	evidence *Evidence
	prove    uint64
	failed   error

	tree    grown
	records uint64
	found   findings
	gaps    []gap // places without a record of which the read models say nothing, or the same
	tail    error // what stands behind the end of the log cannot be read

	next  int    // of the checkpoints, which are in the order of their sizes
	good  *Known // the last one that the log agrees with
	bad   []disagreement
	agree int

	leaves   [4096]tlog.Hash // of the read models' tree
	from     uint64          // place of the first of them
	have     int
	compared uint64
	blind    error // why the read models cannot be read any further

	by   *Known // the checkpoint that is to prove
	leaf []byte // of the record that is to be proven
}

type gap struct{ from, to uint64 }

// disagreement is a checkpoint that the log does not agree with.
type disagreement struct {
	*Known
	after *Known // the last one before it that the log agrees with, nil for none
}

func (v *verification) begin() {
	v.checkpoints() // those of an empty log
	if v.prove == 0 {
		return
	}
	for i := range v.evidence.Checkpoints {
		if k := &v.evidence.Checkpoints[i]; k.Size >= v.prove && k.Size <= v.log.Durable() {
			v.by = k
		}
	}
	v.tree.keep(v.prove)
	if v.by != nil {
		v.tree.keep(v.by.Size + 1)
	}
}

func (v *verification) record(r *eventlog.Record) {
	v.records++
	if last := v.tree.size; r.Seq <= last {
		text := fmt.Sprintf("record %d stands behind record %d", r.Seq, last)
		if r.Seq == last {
			text = fmt.Sprintf("record %d is there twice", r.Seq)
		}
		v.found.misplaced(r.Seq, text)
		return
	}
	v.pass(r.Seq)
	if r.Seq == v.prove {
		v.leaf = r.Leaf()
	}
	hash := projections.LeafHash(r)
	switch want, known := v.expected(r.Seq); {
	case !known || want == hash:
	case want == projections.MissingLeaf(r.Seq):
		v.found.at(Inserted, r.Seq, "at places where there was no record")
	default:
		v.found.at(Changed, r.Seq, "not what the read models had applied")
	}
	v.add(hash)
}

// damaged stands for a record that cannot be read.
func (v *verification) damaged(seq uint64, why error) {
	if seq > v.log.Durable() {
		v.tail = why
		return
	}
	v.pass(seq)
	v.found.at(Damaged, seq, "unreadable: "+why.Error())
	v.add(projections.MissingLeaf(seq))
}

// pass goes over the places before seq at which the log has no record.
func (v *verification) pass(seq uint64) {
	for missing := v.tree.size + 1; missing < seq; missing++ {
		none := projections.MissingLeaf(missing)
		if want, known := v.expected(missing); known && want != none {
			v.found.at(Missing, missing, "missing: the read models had applied what was there")
		} else if n := len(v.gaps); n > 0 && v.gaps[n-1].to+1 == missing {
			v.gaps[n-1].to = missing
		} else {
			v.gaps = append(v.gaps, gap{missing, missing})
		}
		v.add(none)
	}
}

// expected returns the hash that the read models' tree has at a place. Places are asked
// for in order.
func (v *verification) expected(seq uint64) (tlog.Hash, bool) {
	if v.evidence.Leaves == nil || seq > v.evidence.Size || v.blind != nil {
		return tlog.Hash{}, false
	}
	if seq >= v.from+uint64(v.have) {
		v.from = seq
		if v.have, v.blind = v.evidence.Leaves.Leaves(seq, v.leaves[:]); v.blind != nil || v.have == 0 {
			return tlog.Hash{}, false
		}
	}
	v.compared = seq
	return v.leaves[seq-v.from], true
}

// add adds the leaf of the next place, and holds the tree against the checkpoints that
// end there.
func (v *verification) add(leaf tlog.Hash) {
	v.tree.add(leaf)
	v.checkpoints()
}

func (v *verification) checkpoints() {
	for ; v.next < len(v.evidence.Checkpoints); v.next++ {
		k := &v.evidence.Checkpoints[v.next]
		if k.Size != v.tree.size {
			return
		}
		root, err := v.tree.root()
		switch {
		case err != nil:
			v.failed = err
			return
		case root == k.Root:
			v.good = k
			v.agree++
		default:
			v.bad = append(v.bad, disagreement{k, v.good})
		}
	}
}

// signed returns up to where the log is as it was signed.
func (v *verification) signed() uint64 { return v.good.end() }
