package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"roomlog/projections"
	"roomlog/schema"
)

// Sight is what is to be seen of the read models, as of one place in the log.
type Sight struct {
	What string `json:"what"` // "conversation:01J…", "reports", "model:likes"
	As   string `json:"as"`   // the user who looks; "": see the sights
	// Limit is how many items a list may have, and Page where the one before ended: its
	// next.
	Limit int    `json:"limit"`
	Page  string `json:"page"`
}

// Seen is what a sight came to.
type Seen struct {
	Seq    uint64      `json:"seq"` // up to and including this record
	Time   schema.Time `json:"time"`
	What   string      `json:"what"`
	As     string      `json:"as,omitempty"`
	Answer any         `json:"answer"`
}

// sight looks at one kind of thing.
type sight struct {
	kind  string
	takes func(id string) bool // nil: no id
	look  func(v *projections.View, id string, s Sight) (any, error)
}

// sights are the things that can be seen, by the queries that clients are answered
// with. Who looks matters: a conversation is seen by the participant who has been in it
// longest, a user's own lists by that user, all else by nobody in particular.
var sights = []sight{
	{"conversation", schema.ValidID, seeConversation},
	{"post", schema.ValidID, seePost},
	{"user", schema.ValidUserID, seeUser},
	{"feed", schema.ValidUserID, seeFeed},
	{"notifications", schema.ValidUserID, seeNotifications},
	{"conversations", schema.ValidUserID, seeConversations},
	{"presence", schema.ValidUserID, seePresence},
	{"reports", nil, seeReports},
	{"model", func(name string) bool { return slices.Contains(projections.ModelNames(), name) }, seeModel},
}

// MaxLimit bounds what one look gathers.
const MaxLimit = 10_000

// errSight says what can be seen.
func errSight(what string) error {
	return fmt.Errorf("%q cannot be shown: give conversation:ID, post:ID, user:ID, feed:USER, notifications:USER, conversations:USER, presence:USER, reports or model:NAME with a NAME of %s",
		what, strings.Join(projections.ModelNames(), ", "))
}

func (s Sight) find() (of sight, id string, err error) {
	kind, id, named := strings.Cut(s.What, ":")
	i := slices.IndexFunc(sights, func(of sight) bool { return of.kind == kind })
	if i < 0 {
		return of, "", errSight(s.What)
	}
	of = sights[i]
	if named != (of.takes != nil) || named && !of.takes(id) {
		return of, "", errSight(s.What)
	}
	return of, id, nil
}

// Validate returns an error that says what to write instead when nothing can be seen
// so, whatever the log holds.
func (s Sight) Validate() error {
	if _, _, err := s.find(); err != nil {
		return err
	}
	if s.Limit < 1 || s.Limit > MaxLimit {
		return fmt.Errorf("a limit of %d makes no sense: give one from 1 to %d", s.Limit, MaxLimit)
	}
	if s.As != "" && !schema.ValidUserID(s.As) {
		return fmt.Errorf("%q is no user id: give 1 to 128 printable characters without spaces", s.As)
	}
	return nil
}

// Look answers s from a view. That there is no such thing is an error.
func (s Sight) Look(v *projections.View) (Seen, error) {
	of, id, err := s.find()
	if err != nil {
		return Seen{}, err
	}
	seen := Seen{Seq: v.Seq(), What: s.What, As: s.As}
	seen.Answer, err = of.look(v, id, s)
	var refused *schema.Error
	if errors.As(err, &refused) {
		err = fmt.Errorf("as of record %d: %s (%s)", seen.Seq, refused.Message, refused.Code)
	}
	return seen, err
}

// Moment is a place in the log, or a time at which it stood somewhere. The zero value is
// now.
type Moment struct {
	Seq  uint64    `json:"seq,omitempty"`
	Time time.Time `json:"time,omitzero"`
}

// ParseMoment reads a sequence, or a time as ParseSince does.
func ParseMoment(text string, now time.Time) (m Moment, err error) {
	if text == "" {
		return m, nil
	}
	if m.Seq, err = strconv.ParseUint(text, 10, 64); err == nil {
		if m.Seq == 0 {
			return m, errors.New("before record 1 there is nothing to be seen: give a sequence from 1 on, or a time")
		}
		return m, nil
	}
	if m.Time, err = ParseSince(text, now); err != nil {
		return m, fmt.Errorf("%w, or a sequence", err)
	}
	return m, nil
}

// Place returns the place in the log of a moment.
func (a Auditor) Place(ctx context.Context, m Moment) (uint64, error) {
	durable := a.Log.Durable()
	switch {
	case m.Seq > durable:
		return 0, fmt.Errorf("the log has %d records, and none at %d yet", durable, m.Seq)
	case m.Seq != 0:
		return m.Seq, nil
	case m.Time.IsZero() && durable == 0:
		return 0, errors.New("the log is empty")
	case m.Time.IsZero():
		return durable, nil
	}
	seq, err := a.At(ctx, m.Time)
	if err == nil && seq == 0 {
		err = fmt.Errorf("at %s the log was empty", m.Time.Format(time.RFC3339))
	}
	return seq, err
}

// Show looks at read models that stand at a place, 0 for wherever that is. ok is false
// when they stand elsewhere.
func (a Auditor) Show(ctx context.Context, s Sight, at uint64) (seen Seen, ok bool, err error) {
	err = a.Models.View(func(v *projections.View) (err error) {
		if ok = at == 0 || v.Seq() == at; ok {
			seen, err = s.Look(v)
		}
		return err
	})
	if err != nil || !ok {
		return Seen{}, ok, err
	}
	r, err := a.get(ctx, seen.Seq)
	seen.Time = r.Time
	return seen, true, err
}

// pages gathers the items of a list until there are as many as wanted, or no more.
func pages[T any](s Sight, ask func(schema.Page) (schema.Items[T], error)) (all schema.Items[T], err error) {
	all = schema.Items[T]{Items: []T{}, Next: s.Page}
	for first := true; (first || all.Next != "") && len(all.Items) < s.Limit; first = false {
		page, err := ask(schema.Page{Before: all.Next, Limit: min(s.Limit-len(all.Items), 100)})
		if err != nil {
			return all, err
		}
		all.Items, all.Next = append(all.Items, page.Items...), page.Next
	}
	return all, nil
}
