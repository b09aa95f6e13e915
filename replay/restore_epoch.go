package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"roomlog/eventlog"
	"roomlog/projections"
)

// A client's place means something under one epoch only. A restored log keeps its epoch
// when nothing that anybody was told of is missing from it, and gets a new one when
// something is, or may be: else new records would take places that clients have seen.

// EpochChoice is what an operator says about the epoch of a restored log.
type EpochChoice string

// The choices.
const (
	EpochAuto EpochChoice = ""     // the same if it can be shown that nothing was lost
	EpochSame EpochChoice = "same" // the same also if that cannot be shown, of a stopped server's backup
	EpochNew  EpochChoice = "new"
)

// verdict says whether anything was lost.
type verdict int

const (
	unknown verdict = iota
	complete
	lost
)

// decideEpoch says whether the restored log is to have a new epoch, and why.
func (o *RestoreOptions) decideEpoch(ctx context.Context, m *Manifest, data string) (renew bool, why string, err error) {
	if o.Epoch == EpochNew {
		return true, "as was asked for", nil
	}
	v, why, err := o.compare(ctx, m, data)
	switch {
	case err != nil:
		return false, "", err
	case v == complete:
		return false, why, nil
	case o.Epoch == EpochSame && v == unknown && !m.Running:
		return false, "the backup is of a stopped server, and --same-epoch says that nothing came after it", nil
	case o.Epoch == EpochSame && v == unknown:
		return false, "", fmt.Errorf("the epoch cannot stay the same: %s, and the backup is of a running server, which may have stored more since; leave --same-epoch out", why)
	case o.Epoch == EpochSame:
		return false, "", fmt.Errorf("the epoch cannot stay the same: %s; leave --same-epoch out", why)
	case v == unknown && !m.Running:
		why += " (the backup is of a stopped server: if nothing was stored after it, --same-epoch keeps the epoch)"
	}
	return true, why, nil
}

// compare looks for what of the log in a data directory is not in the backup: in the
// read models, since nobody was told of what they did not have; in the log as far as it
// can be read; and in what was signed of it.
func (o *RestoreOptions) compare(ctx context.Context, m *Manifest, data string) (verdict, string, error) {
	if name, err := occupant(data); err != nil || name == "" {
		return unknown, "there was nothing that would say how far clients were told", err
	}
	log, err := m.open(o.Dir)
	if err != nil {
		return unknown, "", err
	}
	defer log.Close()
	c := comparison{ctx: ctx, m: m, backup: log, data: data}
	for _, look := range []func(*RestoreOptions) (verdict, string, error){c.log, c.signed, c.models} {
		if v, why, err := look(o); v != complete || err != nil {
			return v, why, err
		}
	}
	return complete, fmt.Sprintf("nothing was lost: what was in the data directory ended at seq %d, which the backup has", c.highest), nil
}

// comparison holds a data directory against a backup.
type comparison struct {
	ctx     context.Context
	m       *Manifest
	backup  *eventlog.Log
	data    string
	highest uint64 // place that was found
}

// log looks at the log. One that cannot be read says nothing: that is what a backup is
// restored for.
func (c *comparison) log(*RestoreOptions) (verdict, string, error) {
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: c.data}, 0)
	if err != nil {
		return complete, "", nil
	}
	defer log.Close()
	last := log.Durable()
	switch {
	case log.Epoch() != c.m.Epoch:
		return unknown, "the data directory has another log", nil
	case last > c.m.Last:
		return lost, fmt.Sprintf("the log in the data directory goes on to seq %d, and the backup ends at %d", last, c.m.Last), nil
	case last == 0:
		return complete, "", nil
	}
	c.highest = max(c.highest, last)
	theirs, err := log.Get(c.ctx, last)
	if err != nil {
		return complete, "", c.ctx.Err() // it is damaged there
	}
	ours, err := c.backup.Get(c.ctx, last)
	switch {
	case errors.Is(err, eventlog.ErrNotFound) || err == nil && !bytes.Equal(theirs.Leaf(), ours.Leaf()):
		return lost, fmt.Sprintf("the log in the data directory has a record at seq %d that the backup does not have", last), nil
	case err != nil:
		return unknown, "", err
	}
	return complete, "", nil
}

// signed looks at the signed checkpoints: their second line is how many records they
// are of.
func (c *comparison) signed(o *RestoreOptions) (verdict, string, error) {
	for _, name := range o.Signed {
		text, err := os.ReadFile(filepath.Join(c.data, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return unknown, "", err
		}
		_, rest, _ := strings.Cut(string(text), "\n")
		line, _, _ := strings.Cut(rest, "\n")
		size, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			return unknown, fmt.Sprintf("the signed checkpoint in %s cannot be read", name), nil
		}
		if size > c.m.Last {
			return lost, fmt.Sprintf("the signed checkpoint in the data directory is of %d records, and the backup ends at %d", size, c.m.Last), nil
		}
	}
	return complete, "", nil
}

// models looks at the read models.
func (c *comparison) models(o *RestoreOptions) (verdict, string, error) {
	told, err := projections.ToldUpTo(filepath.Join(c.data, o.Models))
	if errors.Is(err, fs.ErrNotExist) {
		return unknown, "there are no read models that would say how far clients were told", nil
	}
	if err != nil {
		return unknown, fmt.Sprintf("how far clients were told cannot be seen: %v", err), nil
	}
	found := false
	for _, s := range told {
		switch file := filepath.Base(s.File); {
		case s.Epoch != c.m.Epoch:
			continue // places under another epoch
		case s.Seq > c.m.Last:
			return lost, fmt.Sprintf("the read models in %s stand at seq %d, and the backup ends at %d", file, s.Seq, c.m.Last), nil
		case s.Seq > 0:
			r, err := c.backup.Get(c.ctx, s.Seq)
			if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
				return unknown, "", err
			}
			if err != nil || r.ID != s.ID {
				return lost, fmt.Sprintf("the read models in %s stand at a record of seq %d that the backup does not have", file, s.Seq), nil
			}
		}
		found = true
		c.highest = max(c.highest, s.Seq)
	}
	if !found {
		return unknown, "the read models in the data directory are of another log", nil
	}
	return complete, "", nil
}
