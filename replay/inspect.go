package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// AdminFilter says which entries of the ADMIN stream are shown. The zero value shows
// all of them; what is set must all hold.
type AdminFilter struct {
	Kind  string    `json:"kind,omitempty"`  // "fact", "refused", …: schema.AuditKinds
	Actor string    `json:"actor,omitempty"` // who sent a fact, or whom a note is about
	Since time.Time `json:"since,omitzero"`  // noted or accepted at or after
}

// Validate returns an error that says what to write instead when no entry could
// match f.
func (f AdminFilter) Validate() error {
	if f.Kind != "" && !slices.Contains(schema.AuditKinds, f.Kind) {
		return fmt.Errorf("no entry is of kind %q: use one of %s", f.Kind, strings.Join(schema.AuditKinds, ", "))
	}
	return Filter{Actor: f.Actor}.Validate()
}

func (f AdminFilter) match(e *schema.AuditEntry) bool {
	return (f.Kind == "" || f.Kind == e.Kind) &&
		(f.Actor == "" || f.Actor == ActorOf(e)) &&
		(f.Since.IsZero() || !e.Time.Go().Before(f.Since))
}

// ActorOf returns the user whom an entry is about: who sent a fact, or what a note
// names; "" for none.
func ActorOf(e *schema.AuditEntry) string {
	if e.Actor != nil {
		return e.Actor.ID
	}
	var note struct {
		User string `json:"userId"`
	}
	_ = json.Unmarshal(e.Data, &note) // most kinds of notes name none
	return note.User
}

// Inspect calls emit with the entries of the ADMIN stream that match f, oldest
// first, a batch at a time, up to its end as it is at the call. An error of emit
// ends it. Facts say whether they are void.
func (a Auditor) Inspect(ctx context.Context, f AdminFilter, emit func([]schema.AuditEntry) error) error {
	from, err := a.adminSince(ctx, f)
	if err != nil {
		return err
	}
	var batch []eventlog.Record
	for r, err := range a.Log.ReadAdmin(ctx, from) {
		if err != nil {
			return err
		}
		if batch = append(batch, r); len(batch) == batchSize {
			if err := a.emitAdmin(ctx, batch, f, emit); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return a.emitAdmin(ctx, batch, f, emit)
}

// InspectFollow is Inspect that goes on with what comes, until ctx ends or emit
// fails.
func (a Auditor) InspectFollow(ctx context.Context, f AdminFilter, emit func([]schema.AuditEntry) error) error {
	from, err := a.adminSince(ctx, f)
	if err != nil {
		return err
	}
	follower := a.Log.FollowAdmin(from)
	defer follower.Close()
	for {
		records, err := follower.Next(ctx, batchSize)
		if err != nil {
			return err
		}
		if err := a.emitAdmin(ctx, records, f, emit); err != nil {
			return err
		}
	}
}

func (a Auditor) adminSince(ctx context.Context, f AdminFilter) (from uint64, err error) {
	if f.Since.IsZero() {
		return 1, nil
	}
	return a.Log.AdminAtTime(ctx, f.Since)
}

// emitAdmin hands on the entries that match, with what the read models made of the
// facts.
func (a Auditor) emitAdmin(ctx context.Context, records []eventlog.Record, f AdminFilter, emit func([]schema.AuditEntry) error) error {
	var entries []schema.AuditEntry
	var last uint64
	for i := range records {
		if records[i].Err != nil {
			continue
		}
		if e := records[i].AdminEntry(); f.match(&e) {
			entries = append(entries, e)
			last = max(last, e.LogSeq)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := a.Models.WaitApplied(ctx, last); err != nil {
		return fmt.Errorf("wait for the read models: %w", err)
	}
	err := a.Models.View(func(v *projections.View) error {
		for i := range entries {
			if e := &entries[i]; e.LogSeq != 0 {
				e.Code = v.Outcome(e.LogSeq)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up outcomes: %w", err)
	}
	return emit(entries)
}
