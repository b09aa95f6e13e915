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

	schema.HomeConversations: 1,

	"presence": 1,
	"history":  2,
	"keys":     1,
}

// homes says, for every fact, which projector decides it and how.
var homes = map[string]*home{
	"post:create":         on(schema.HomeFeeds, theFeeds, (*feeds).createPost, (*feeds).postCreated),
	"post:update":         on(schema.HomeFeeds, theFeeds, (*feeds).updatePost, (*feeds).postUpdated),
	"post:delete":         on(schema.HomeFeeds, theFeeds, (*feeds).deletePost, (*feeds).postDeleted),
	"post:share":          on(schema.HomeFeeds, theFeeds, (*feeds).share, (*feeds).shared),
	"post:comment":        on(schema.HomeFeeds, theFeeds, (*feeds).createComment, (*feeds).commentCreated),
	"comment:update":      on(schema.HomeFeeds, theFeeds, (*feeds).updateComment, (*feeds).commentUpdated),
	"comment:delete":      on(schema.HomeFeeds, theFeeds, (*feeds).deleteComment, (*feeds).commentDeleted),
	"post:like":           on(schema.HomeLikes, theLikes, (*likes).like, (*likes).liked),
	"user:follow":         on(schema.HomeGraph, theGraph, (*graph).follow, (*graph).followed),
	"user:friend-request": on(schema.HomeGraph, theGraph, (*graph).friendRequest, (*graph).friendRequested),
	"user:block":          on(schema.HomeGraph, theGraph, (*graph).block, (*graph).blocked),

	"conversation:create": on(schema.HomeConversations, theConversations, (*conversations).create, (*conversations).conversationCreated),
	"conversation:update": on(schema.HomeConversations, theConversations, (*conversations).update, (*conversations).conversationUpdated),
	"conversation:delete": on(schema.HomeConversations, theConversations, (*conversations).delete, (*conversations).conversationDeleted),
	"message:send":        on(schema.HomeConversations, theConversations, (*conversations).send, (*conversations).messageSent),
	"message:edit":        on(schema.HomeConversations, theConversations, (*conversations).edit, (*conversations).messageEdited),
	"message:delete":      on(schema.HomeConversations, theConversations, (*conversations).unsend, (*conversations).messageDeleted),
	"message:delivered":   on(schema.HomeConversations, theConversations, (*conversations).delivered, (*conversations).messageDelivered),
	"message:read":        on(schema.HomeConversations, theConversations, (*conversations).read, (*conversations).messageRead),
}

func theFeeds(s *state) *feeds { return &s.feeds }
func theLikes(s *state) *likes { return &s.likes }
func theGraph(s *state) *graph { return &s.graph }

func theConversations(s *state) *conversations { return &s.conversations }

// home is where a fact is decided.
type home struct {
	projector string
	decode    func(json.RawMessage) (any, error)
	decide    func(*state, *record) (verdict, error)
	tell      func(*state, *record, uint64) verdict
}

// on makes the home of a fact whose data is a P. decide changes the read model and
// ends with what tell says. tell alone says who is told what of a record that was
// applied: it writes nothing, reads only what stays true or may be told no more
// (then it is void), and is given the count that decide came to, if the push
// carries one; so it can be asked again at any later place.
func on[M, P any](projector string, model func(*state) *M,
	decide func(*M, *record, *P) (verdict, error), tell func(*M, *record, *P, uint64) verdict) *home {
	return &home{
		projector: projector,
		decode: func(data json.RawMessage) (any, error) {
			d := new(P)
			return d, json.Unmarshal(data, d)
		},
		decide: func(s *state, r *record) (verdict, error) {
			return decide(model(s), r, r.data.(*P))
		},
		tell: func(s *state, r *record, count uint64) verdict {
			return tell(model(s), r, r.data.(*P), count)
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
	count          uint64          // that the payload carries, as of this record
	rooms          []string        // who is told
	followersOf    string          // whose followers are told too
	participantsOf string          // the conversation whose participants are told too, in their own rooms
	payload        any             // what they are told, and the sender's ack
	own            any             // what the actor's own sockets and the ack are told instead; nil: the same
	named          []*schema.Actor // in the payload: users of whom the home knows the id alone
	except         []string        // users who are not told, in whichever room
	evicted        []string        // users who leave the first room
	closed         bool            // everyone leaves the first room
}

func void(code schema.Code) verdict { return verdict{Outcome: Outcome{Code: code}} }

func applied(payload any, rooms ...string) verdict {
	if len(rooms) == 2 && rooms[0] == rooms[1] {
		rooms = rooms[:1]
	}
	return verdict{payload: payload, rooms: rooms}
}

// counted is applied for a payload that carries a count.
func counted(count uint64, payload any, rooms ...string) verdict {
	v := applied(payload, rooms...)
	v.count = count
	return v
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
