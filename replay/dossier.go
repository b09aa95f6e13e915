package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// kinds are what an id may be of, as names in the history index begin.
var kinds = []string{"user", "post", "comment", "message", "conversation", "report", "notification"}

// dossier is all under which the history index has what Filter.Of names.
type dossier struct {
	kind, id string // kind "": any
	names    []string
	made     uint64   // place of the record that made it, 0 for none or not known
	talk     string   // of a message: its conversation, where receipts name it
	reports  []uint64 // places of the reports about it
}

// splitID splits what Filter.Of names: "user:alice", or "alice" and a kind of "".
func splitID(of string) (kind, id string) {
	if kind, id, found := strings.Cut(of, ":"); found && slices.Contains(kinds, kind) {
		return kind, id
	}
	return "", of
}

// open gathers what the read models know of f.Of.
func (a Auditor) open(ctx context.Context, of string) (*dossier, error) {
	d := &dossier{}
	d.kind, d.id = splitID(of)
	names := []string{d.kind + ":" + d.id}
	switch {
	case d.kind == "" && schema.ValidID(d.id):
		names = names[:0]
		for _, kind := range kinds {
			names = append(names, kind+":"+d.id)
		}
	case d.kind == "":
		names = []string{schema.UserRoom(d.id)}
	}
	var talk uint64
	err := a.Models.View(func(v *projections.View) error {
		if d.kind != "user" && schema.ValidID(d.id) {
			d.made, _ = v.MadeAt(d.id)
			talk, _ = v.SaidIn(d.id)
		}
		for id, seq := range v.ReportsAbout(d.kind, d.id) {
			names = append(names, "report:"+id)
			d.reports = append(d.reports, seq)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", of, err)
	}
	slices.Sort(d.reports)
	d.names = names
	if talk != 0 {
		err = a.openMessage(ctx, d, talk)
	}
	return d, err
}

// openMessage finds the record that made a message among those of its conversation: at
// first from the time on that the id itself tells.
func (a Auditor) openMessage(ctx context.Context, d *dossier, talk uint64) error {
	r, err := a.get(ctx, talk)
	if err != nil {
		return fmt.Errorf("find the conversation of message %s: %w", d.id, err)
	}
	d.talk = r.ID
	id, err := ulid.ParseStrict(d.id)
	if err != nil {
		return fmt.Errorf("find message %s: %w", d.id, err)
	}
	near, err := a.Log.SeqAtTime(ctx, ulid.Time(id.Time()).Add(-time.Second))
	if err != nil {
		return fmt.Errorf("find message %s: %w", d.id, err)
	}
	for _, from := range []uint64{near, talk} { // clocks may have lied
		for r, err := range a.listed(ctx, []list{d.talkFrom(from)}, from, a.Models.Applied()) {
			if err != nil {
				return fmt.Errorf("find message %s: %w", d.id, err)
			}
			if r.ID == d.id {
				d.made = r.Seq
				return nil
			}
		}
	}
	return nil
}

// talkFrom is a message's conversation from a place on.
func (d *dossier) talkFrom(begin uint64) list {
	return func(v *projections.View, from uint64) iter.Seq[uint64] {
		return v.EntitySeqs(schema.ConversationRoom(d.talk), max(from, begin))
	}
}

// lists are where the index has the records that has may be true of.
func (d *dossier) lists() []list {
	var all []list
	for _, name := range d.names {
		all = append(all, func(v *projections.View, from uint64) iter.Seq[uint64] { return v.NamedSeqs(name, from) })
	}
	all = append(all, func(_ *projections.View, from uint64) iter.Seq[uint64] {
		seqs := slices.Sorted(slices.Values(append(d.reports[:len(d.reports):len(d.reports)], d.made)))
		at, _ := slices.BinarySearch(seqs, max(from, 1))
		return slices.Values(seqs[at:])
	})
	if d.talk != "" && d.made != 0 {
		all = append(all, d.talkFrom(d.made+1))
	}
	return all
}

// has reports whether a record belongs to the dossier.
func (d *dossier) has(v *projections.View, r *eventlog.Record) bool {
	if r.Seq == d.made || r.ID == d.id && d.kind != "user" || d.isNamedBy(r) {
		return true
	}
	for _, name := range d.names {
		for seq := range v.NamedSeqs(name, r.Seq) {
			if seq == r.Seq {
				return true
			}
			break
		}
	}
	return false
}

// isNamedBy reports whether a record's data names it where the index does not have it:
// in a receipt, or as what a report or a removal is about.
func (d *dossier) isNamedBy(r *eventlog.Record) bool {
	var data struct {
		MessageID string        `json:"messageId"`
		Target    schema.Target `json:"target"`
	}
	switch schema.NamespaceOf(r.Event) {
	case schema.Messaging, schema.Admin:
		if json.Unmarshal(r.Data, &data) != nil {
			return false
		}
	}
	return data.MessageID == d.id && (d.kind == "" || d.kind == "message") ||
		data.Target.ID == d.id && (d.kind == "" || d.kind == data.Target.Type)
}
