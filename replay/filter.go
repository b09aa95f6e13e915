package replay

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Filter says which records a replay shows. The zero value shows all of them;
// what is set must all hold.
type Filter struct {
	Event     string           `json:"event,omitempty"`     // a name, or all of a noun: "post:*"
	Actor     string           `json:"actor,omitempty"`     // user id
	Entity    string           `json:"entity,omitempty"`    // "post:01J…"
	Namespace schema.Namespace `json:"namespace,omitempty"` // "social"
	From      uint64           `json:"from,omitempty"`      // first seq
	To        uint64           `json:"to,omitempty"`        // last seq; 0: the log's end
	Since     time.Time        `json:"since,omitzero"`      // accepted at or after
	Until     time.Time        `json:"until,omitzero"`      // up to where the log stood then, see Auditor.At
	Room      string           `json:"room,omitempty"`      // "conversation:01J…": that was told
	// Of is an id of whatever kind, or KIND:ID: all that made it, names it, or was done
	// by it or told to it.
	Of string `json:"of,omitempty"`

	CloudEvents bool `json:"cloudevents,omitempty"` // no condition: lines have the record in that form, too
}

// Decided reports whether only read models know which records f asks for.
func (f Filter) Decided() bool { return f.Of != "" || f.Room != "" }

// ends reports whether no record can match that is yet to come.
func (f Filter) ends() bool { return f.To != 0 || !f.Until.IsZero() }

// Validate returns an error that says what to write instead when no record of
// any log could match f.
func (f Filter) Validate() error {
	if f.Event != "" {
		if err := schema.CheckEventFilter(f.Event); err != nil {
			return err
		}
	}
	if f.Actor != "" && !schema.ValidUserID(f.Actor) {
		return fmt.Errorf("actor %q is no user id: give 1 to 128 printable characters without spaces", f.Actor)
	}
	if f.Entity != "" {
		typ, id, found := strings.Cut(f.Entity, ":")
		if !found || typ == "" || id == "" {
			return fmt.Errorf("entity %q has no type: write it as TYPE:ID, for example post:01JDXK5T7Q8W9V0A1B2C3D4E5F or user:alice", f.Entity)
		}
	}
	if f.Room != "" && !isRoom(f.Room) {
		return fmt.Errorf("no room is called %q: write for example conversation:01JDXK5T7Q8W9V0A1B2C3D4E5F, post:01J…, user:alice, admin or public", f.Room)
	}
	if kind, id := splitID(f.Of); f.Of != "" && (!schema.ValidUserID(id) || kind != "" && kind != "user" && !schema.ValidID(id)) {
		return fmt.Errorf("nothing has the id %q: give that of a user, post, comment, message, conversation, report or notification, such as alice, 01JDXK5T7Q8W9V0A1B2C3D4E5F or post:01J…", f.Of)
	}
	switch f.Namespace {
	case "", schema.Social, schema.Messaging, schema.Notifications, schema.Admin:
	default:
		return fmt.Errorf("no records are in namespace %q: use social, messaging, notifications or admin", f.Namespace)
	}
	if f.To != 0 && f.From > f.To {
		return fmt.Errorf("nothing lies between seq %d and seq %d: from must not be greater than to", f.From, f.To)
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since) {
		return errors.New("nothing was accepted before until and after since: until must not be earlier")
	}
	return nil
}

// match reports whether r is one of the records that f asks for, whatever its seq, as
// far as the record itself can tell.
func (f Filter) match(r *eventlog.Record) bool {
	return (f.Event == "" || schema.MatchesEvent(f.Event, r.Event)) &&
		(f.Actor == "" || f.Actor == r.Actor.ID) &&
		(f.Entity == "" || f.Entity == r.Entity) &&
		(f.Namespace == "" || f.Namespace == schema.NamespaceOf(r.Event)) &&
		(f.Since.IsZero() || !r.Time.Go().Before(f.Since))
}

// ParseSince reads a moment as people give one: an RFC 3339 time, or a duration
// before now ("90s", "2h", "3d"). "" is no moment.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := parseAge(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is no moment: give a duration before now such as 90s, 2h or 3d, or a time such as 2026-11-23T18:00:00Z", s)
	}
	return now.Add(-d), nil
}

// parseAge is time.ParseDuration with days, which auditors think in.
func parseAge(s string) (time.Duration, error) {
	days, found := strings.CutSuffix(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	h, err := time.ParseDuration(days + "h")
	if err != nil || h > 100*365*time.Hour {
		return 0, errors.New("not a number of days")
	}
	return 24 * h, nil
}
