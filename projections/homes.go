package projections

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"roomlog/eventlog"
	"roomlog/schema"
)

// versions names every projector with the version of what it writes. Raise it
// when that changes: the read models are then made anew from the log.
var versions = map[string]int{
	schema.HomeGraph: 1,
	schema.HomeFeeds: 1,
	schema.HomeLikes: 1,
	"presence":       1,
	"history":        1,
	"keys":           1,
}

// homes says, for every fact, which projector decides it and how.
var homes = map[string]*home{
	"post:create":         on(schema.HomeFeeds, theFeeds, (*feeds).createPost),
	"post:update":         on(schema.HomeFeeds, theFeeds, (*feeds).updatePost),
	"post:delete":         on(schema.HomeFeeds, theFeeds, (*feeds).deletePost),
	"post:share":          on(schema.HomeFeeds, theFeeds, (*feeds).share),
	"post:comment":        on(schema.HomeFeeds, theFeeds, (*feeds).createComment),
	"comment:update":      on(schema.HomeFeeds, theFeeds, (*feeds).updateComment),
	"comment:delete":      on(schema.HomeFeeds, theFeeds, (*feeds).deleteComment),
	"post:like":           on(schema.HomeLikes, theLikes, (*likes).like),
	"user:follow":         on(schema.HomeGraph, theGraph, (*graph).follow),
	"user:friend-request": on(schema.HomeGraph, theGraph, (*graph).friendRequest),
	"user:block":          on(schema.HomeGraph, theGraph, (*graph).block),
}

func theFeeds(s *state) *feeds { return &s.feeds }
func theLikes(s *state) *likes { return &s.likes }
func theGraph(s *state) *graph { return &s.graph }

// home is where a fact is decided.
type home struct {
	projector string
	decode    func(json.RawMessage) (any, error)
	decide    func(*state, *record) (verdict, error)
}

// on makes the home of a fact whose data is a P.
func on[M, P any](projector string, model func(*state) *M, decide func(*M, *record, *P) (verdict, error)) *home {
	return &home{
		projector: projector,
		decode: func(data json.RawMessage) (any, error) {
			d := new(P)
			return d, json.Unmarshal(data, d)
		},
		decide: func(s *state, r *record) (verdict, error) {
			return decide(model(s), r, r.data.(*P))
		},
	}
}

// record is a record of the log as projectors see it.
type record struct {
	eventlog.Record
	home *home
	data any   // *schema.PostCreate, …
	err  error // why no projector can apply it; home and data are then nil
}

// verdict is what a home projector decides, and what the others are given.
type verdict struct {
	Outcome
	rooms       []string // who is told
	followersOf string   // whose followers are told too
	payload     any      // what they are told, and the sender's ack
}

func void(code schema.Code) verdict { return verdict{Outcome: Outcome{Code: code}} }

func applied(payload any, rooms ...string) verdict {
	if len(rooms) == 2 && rooms[0] == rooms[1] {
		rooms = rooms[:1]
	}
	return verdict{payload: payload, rooms: rooms}
}

// decode prepares a record for the projectors. It needs no transaction, so that
// it can be done ahead of them.
func decode(r eventlog.Record) record {
	rec := record{Record: r}
	h, data, err := decodeFact(&r)
	if err != nil {
		rec.err = err
		return rec
	}
	rec.home, rec.data = h, data
	if rec.Actor.Username == "" {
		rec.Actor.Username = rec.Actor.ID
	}
	return rec
}

func decodeFact(r *eventlog.Record) (*home, any, error) {
	if r.Err != nil {
		return nil, nil, r.Err
	}
	event, known := schema.Lookup(r.Event)
	h := homes[r.Event]
	switch {
	case !known || h == nil:
		return nil, nil, fmt.Errorf("no projector of this release is home to %q", r.Event)
	case r.Version > event.Version:
		return nil, nil, fmt.Errorf("%s is of version %d, newer than this release's %d", r.Event, r.Version, event.Version)
	case !schema.ValidUserID(r.Actor.ID):
		return nil, nil, fmt.Errorf("the actor's id %q is not valid", r.Actor.ID)
	case !schema.ValidID(r.ID):
		return nil, nil, fmt.Errorf("the record's id %q is not a ULID", r.ID)
	case utf8.RuneCountInString(r.Key) > schema.MaxKeyLength:
		return nil, nil, fmt.Errorf("the idempotency key has %d bytes", len(r.Key))
	}
	data := r.Data
	if r.Version != event.Version {
		var err error
		if data, err = event.Upcast(r.Version, data); err != nil {
			return nil, nil, err
		}
	}
	d, err := h.decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("the data of %s: %w", r.Event, err)
	}
	return h, d, nil
}
