package replay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// report draws the conclusions once the whole log is read.
func (v *verification) report() (*Report, error) {
	root, err := v.tree.root()
	if err != nil {
		return nil, err
	}
	r := &Report{
		Epoch: v.log.Epoch(), Records: v.records, Size: v.tree.size, Root: root,
		Checkpoints: v.agree, Signed: v.signed(), Compared: v.compared,
	}
	v.blameModels()
	v.end(r)
	v.otherHistories()
	v.bracket()
	v.remark(r)
	slices.SortStableFunc(v.found.list, func(a, b Finding) int { return cmp.Compare(a.From, b.From) })
	for i := range v.found.list {
		one := &v.found.list[i]
		switch one.Kind {
		case Damaged, Missing, Changed, Inserted:
			one.Text = one.sentence()
		}
		if one.From != 0 && one.Kind != Models && (r.FirstBad == 0 || one.From < r.FirstBad) {
			r.FirstBad = one.From
		}
	}
	r.Findings, r.More = append([]Finding{}, v.found.list...), v.found.more
	if v.prove != 0 && len(r.Findings) == 0 {
		r.Proof, err = v.proof()
	}
	return r, err
}

// blameModels turns what only the read models speak against, where a checkpoint says
// that the log is as it was, into what is wrong with these.
func (v *verification) blameModels() {
	for i := range v.found.list {
		one := &v.found.list[i]
		switch one.Kind {
		case Changed, Missing, Inserted:
			if one.From <= v.signed() {
				one.Kind = Models
				one.Text = fmt.Sprintf("the read models' tree is another one from record %d on, where the log is as it was signed (%s): rebuild the read models", one.From, v.good)
			}
		}
	}
}

// end finds that the log ends before it did.
func (v *verification) end(r *Report) {
	known, who := v.tree.size, ""
	if v.evidence.Leaves != nil && v.evidence.Size > known && v.blind == nil {
		known, who = v.evidence.Size, "the read models had applied it"
	}
	for i := range v.evidence.Checkpoints[v.next:] {
		if k := &v.evidence.Checkpoints[v.next+i]; k.Size > known || k.Size == known && who != "" {
			known, who = k.Size, fmt.Sprintf("it was signed (%s)", k)
		}
	}
	size := v.tree.size
	switch {
	case known > size && v.tail != nil && !errors.Is(v.tail, io.ErrUnexpectedEOF):
		v.found.add(Finding{Damaged, size + 1, known, fmt.Sprintf("unreadable, where %s: %v", who, v.tail)})
	case known > size:
		v.found.add(Finding{Shorter, size + 1, known, fmt.Sprintf("the log ends at record %d, and %s up to record %d", size, who, known)})
	case v.tail != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("behind record %d is a write that was cut short or goes on, of which nobody was told", size))
	}
}

// otherHistories finds the checkpoints that speak against one that is over more records,
// and that the log agrees with: no log can be as both of them say, unless another epoch
// began in between, without records that were lost.
func (v *verification) otherHistories() {
	for ; len(v.bad) > 0 && v.bad[0].Size <= v.signed(); v.bad = v.bad[1:] {
		switch bad := v.bad[0]; {
		case bad.Epoch != v.good.Epoch:
			from := bad.after.end() + 1
			v.found.add(Finding{Differs, from, bad.Size, fmt.Sprintf(
				"the log's first %d records are not as they were signed in epoch %s (%s): the first that is another one is among %d to %d, and the log has gone on in another epoch since", bad.Size, bad.Epoch, bad, from, bad.Size)})
		case bad.Size < v.signed(): // of the same size: found before the log was read
			v.found.add(Finding{Kind: Split, Text: fmt.Sprintf(
				"a checkpoint over %d records (%s) is of another history than this log, which is as it was signed later (%s)", bad.Size, bad, v.good)})
		}
	}
}

// end is up to where a checkpoint, nil for none, reaches.
func (k *Known) end() uint64 {
	if k == nil {
		return 0
	}
	return k.Size
}

// bracket tells where the log is not as it was signed, as exactly as it can.
func (v *verification) bracket() {
	if len(v.bad) == 0 {
		return
	}
	bad, from := v.bad[0], v.signed()+1
	if v.found.explains(from, bad.Size) {
		return
	}
	for _, g := range v.gaps {
		if g.to >= from && g.from <= bad.Size {
			v.found.add(Finding{Missing, max(g.from, from), min(g.to, bad.Size), fmt.Sprintf("missing, and the log is not as it was signed (%s)", bad)})
		}
	}
	if v.found.explains(from, bad.Size) {
		return
	}
	first := "nothing says up to where it was"
	if v.good != nil {
		first = fmt.Sprintf("its first %d are (%s)", v.good.Size, v.good)
	}
	with := ""
	if v.compared >= bad.Size {
		with = "; the read models agree with what the log has now: they were changed too, or made of it since"
	}
	v.found.add(Finding{Differs, from, bad.Size, fmt.Sprintf(
		"the log's first %d records are not as they were signed (%s), and %s: the first bad record is one of %d to %d%s", bad.Size, bad, first, from, bad.Size, with)})
}

// remark notes what is no difference, and worth knowing.
func (v *verification) remark(r *Report) {
	for _, g := range v.gaps {
		if v.found.explains(g.from, g.to) {
			continue
		}
		says := "nothing says whether there was one"
		switch {
		case g.to <= v.signed():
			says = "and there was none when it was signed"
		case g.to <= v.compared:
			says = "and the read models never had one"
		}
		r.Notes = append(r.Notes, fmt.Sprintf("the log has no record at seq %d to %d, %s", g.from, g.to, says))
	}
	epochs := map[string]bool{v.log.Epoch(): true}
	for i := range v.evidence.Checkpoints {
		if k := &v.evidence.Checkpoints[i]; !epochs[k.Epoch] {
			epochs[k.Epoch] = true
			r.Notes = append(r.Notes, fmt.Sprintf("the log is of epoch %s now, and was of epoch %s when it was signed (%s): it was replaced, or had to go on without lost records", v.log.Epoch(), k.Epoch, k))
		}
	}
	if v.blind != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("from record %d on the read models could not be read: %v", v.compared+1, v.blind))
	}
	if v.agree == 0 && v.compared == 0 && len(v.found.list) == 0 {
		r.Notes = append(r.Notes, "nothing was there to compare with: that every record can be read is all that is known")
	}
}

// proof is that of the record which was to be proven, from a log with which all is well.
func (v *verification) proof() (*Proof, error) {
	switch {
	case v.leaf == nil:
		return nil, fmt.Errorf("there is no record at seq %d to be proven", v.prove)
	case v.by == nil:
		return nil, fmt.Errorf("no checkpoint reaches to seq %d yet, which is signed within a minute while the server runs, and when it stops", v.prove)
	}
	hashes, err := tlog.ProveRecord(int64(v.by.Size), int64(v.prove-1), &v.tree)
	if err != nil {
		return nil, err
	}
	return &Proof{Leaf: v.leaf, Index: v.prove - 1, Hashes: hashes, Checkpoint: v.by.Note}, nil
}
