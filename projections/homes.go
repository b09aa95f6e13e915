package projections

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
	"roomlog/schema"
)

// versions names every projector with the version of what it writes. Raise it
// when that changes: the read models are then made anew from the log.
var versions = map[string]int{
	schema.HomeGraph: 3,
	schema.HomeFeeds: 2,
	schema.HomeLikes: 2,

	schema.HomeConversations: 3,
	schema.HomeModeration:    3,
	schema.HomeNotifications: 6,

	"presence": 1,
	"history":  3,
	"keys":     2 + knownVersions(),
	"tree":     1,
}

// knownVersions rises with every fact, and version of one, that the catalogue gets. Of
// what a release does not know it makes parked records, and keys holds hashes of data in
// the shape of its versions: a release that knows more makes the read models anew.
func knownVersions() int {
	sum := 0
	for _, e := range schema.Events() {
		if e.Kind == schema.Fact {
			sum += e.Version
		}
	}
	return sum
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

	"notification:read":     on(schema.HomeNotifications, theNotifications, (*notifications).markRead, (*notifications).wasRead),
	"notification:read-all": on(schema.HomeNotifications, theNotifications, (*notifications).markAllRead, (*notifications).wereRead),
	"notification:delete":   on(schema.HomeNotifications, theNotifications, (*notifications).remove, (*notifications).wasRemoved),

	"admin:report":         on(schema.HomeModeration, theModeration, (*moderation).report, (*moderation).reported),
	"admin:resolve-report": on(schema.HomeModeration, theModeration, (*moderation).resolve, (*moderation).resolved),
	"admin:remove":         on(schema.HomeModeration, theModeration, (*moderation).remove, (*moderation).contentRemoved),
	"admin:restore":        on(schema.HomeModeration, theModeration, (*moderation).restore, (*moderation).contentRestored),
	"admin:suspend":        on(schema.HomeModeration, theModeration, (*moderation).suspend, (*moderation).userSuspended),
	"admin:reinstate":      on(schema.HomeModeration, theModeration, (*moderation).reinstate, (*moderation).userReinstated),
	"admin:announce":       on(schema.HomeModeration, theModeration, (*moderation).announce, (*moderation).announced),
}

func theFeeds(s *state) *feeds { return &s.feeds }
func theLikes(s *state) *likes { return &s.likes }
func theGraph(s *state) *graph { return &s.graph }

func theConversations(s *state) *conversations { return &s.conversations }
func theNotifications(s *state) *notifications { return &s.notifications }
func theModeration(s *state) *moderation       { return &s.moderation }

// home is where a fact is decided.
type home struct {
	projector string
	decode    func(json.RawMessage) (any, error)
	decide    func(*state, *record) (verdict, error)
	tell      func(*state, *record, uint64) verdict
}

// isSecond reports whether the second crew decides, see crew.
func (h *home) isSecond() bool { return h.projector == schema.HomeNotifications }

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
			return d, schema.Unmarshal(data, d)
		},
		decide: func(s *state, r *record) (verdict, error) {
			r.subject = s.subjectOf(r)
			return decide(model(s), r, r.data.(*P))
		},
		tell: func(s *state, r *record, count uint64) verdict {
			r.subject = s.subjectOf(r)
			return tell(model(s), r, r.data.(*P), count)
		},
	}
}

// record is a record of the log as projectors see it.
type record struct {
	eventlog.Record
	event *schema.Event
	home  *home
	data  any   // *schema.PostCreate, …
	err   error // why no projector can apply it; home and data are then nil
	leaf  tlog.Hash

	command [16]byte // its hash, where it has a key: what a retry must be like
	hashes  hashes   // of keys by which it is decided and noted

	subject *subject  // what a report or a removal is about, as the home decides or tells; nil otherwise
	rooms   [2]string // room for those of its verdict, which mostly has no more
}

// verdict is what a home projector decides, and what the others are given.
type verdict struct {
	Outcome
	left           bool              // to the second crew, to be decided
	count          uint64            // that the payload carries, as of this record
	rooms          []string          // who is told
	followersOf    string            // whose followers are told too
	participantsOf string            // the conversation whose participants are told too, in their own rooms
	payload        any               // what they are told, and the sender's ack
	own            any               // what the actor's own sockets and the ack are told instead; nil: the same
	named          []schema.Actor    // in the payload: of users without a name the home knows the id alone
	of             schema.MessageRef // a message: participants whose time began after it are not told, in whichever room but admin
	apart          string            // a user: those whom a block keeps apart from them are not told either
	evicted        []string          // users who leave the first room
	closed         bool              // everyone leaves the first room
	suspended      string            // whose sockets close

	// What the projectors that are not home are told besides. Only decide sets it.
	owner     string   // whose the post is that was liked or commented on
	answered  string   // whose the comment is that a comment answers
	listeners []string // the participants whom a message may notify, or for whom a conversation is deleted
	number    uint64   // of the message, in its conversation
	group     bool     // the conversation is a group

	// What the notifications made of it.
	notes      []Note   // who is told of their notifications; left out unless live
	recipients []string // who got one and may be told of nothing else
}

func void(code schema.Code) verdict { return verdict{Outcome: Outcome{Code: code}} }

// applied is that a record was applied, and who is told what. The verdict is not to
// outlive the record.
func (r *record) applied(payload any, rooms ...string) verdict {
	if len(rooms) == 2 && rooms[0] == rooms[1] {
		rooms = rooms[:1]
	}
	return verdict{payload: payload, rooms: append(r.rooms[:0], rooms...)}
}

// counted is applied for a payload that carries a count.
func (r *record) counted(count uint64, payload any, rooms ...string) verdict {
	v := r.applied(payload, rooms...)
	v.count = count
	return v
}

// butApartFrom leaves out of who is told those whom a block keeps apart from a user.
func (v verdict) butApartFrom(user string) verdict {
	v.apart = user
	return v
}

// postRoom returns the room of a post. Mostly the post is what the record is about, and
// its name is there.
func (r *record) postRoom(id string) string {
	if about, ok := strings.CutPrefix(r.Entity, "post:"); ok && about == id {
		return r.Entity
	}
	return schema.PostRoom(id)
}

// conversationRoom is postRoom for a conversation.
func (r *record) conversationRoom(id string) string {
	if about, ok := strings.CutPrefix(r.Entity, "conversation:"); ok && about == id {
		return r.Entity
	}
	return schema.ConversationRoom(id)
}

// decode prepares a record for the projectors. It needs no transaction, so that
// it can be done ahead of them.
func decode(r eventlog.Record) (rec record) {
	rec.decode(&r)
	return rec
}

// decode makes rec what a record is for the projectors, whatever it was.
func (rec *record) decode(r *eventlog.Record) {
	*rec = record{Record: *r, leaf: LeafHash(r)}
	rec.hashes = hashesOf(r)
	home, event, err := factOf(r)
	if err == nil {
		rec.Data, rec.data, err = home.decodeAs(event, r.Version, r.Data)
	}
	if err != nil {
		rec.Data, rec.data, rec.err = r.Data, nil, err
		return
	}
	rec.home, rec.event = home, event
	if rec.Actor.Username == "" {
		rec.Actor.Username = rec.Actor.ID
	}
	if rec.Key != "" {
		rec.command = commandHash(rec)
	}
}

// factOf returns a record's home and event, or why no projector of this release can
// apply it, whatever its data.
func factOf(r *eventlog.Record) (*home, *schema.Event, error) {
	if r.Err != nil {
		return nil, nil, r.Err
	}
	home := homes[r.Event]
	event, known := schema.Lookup(r.Event)
	switch {
	case !known || home == nil:
		return nil, nil, fmt.Errorf("no projector of this release is home to %q: if a newer release wrote it, start that one on this log, which reads it", r.Event)
	case r.Version > event.Version:
		return nil, nil, fmt.Errorf("%s is of version %d, and this release knows it up to %d: start a newer release on this log, which reads it", r.Event, r.Version, event.Version)
	case !schema.ValidUserID(r.Actor.ID):
		return nil, nil, fmt.Errorf("the actor's id %q is not valid", r.Actor.ID)
	case !schema.ValidID(r.ID):
		return nil, nil, fmt.Errorf("the record's id %q is not a ULID", r.ID)
	case len(r.Key) > schema.MaxKeyLength && utf8.RuneCountInString(r.Key) > schema.MaxKeyLength:
		return nil, nil, fmt.Errorf("the idempotency key has %d bytes", len(r.Key))
	}
	return home, event, nil
}

// decodeAs reads a record's data. What is of an older version comes back as the gateway
// would write it today: a retry after an upgrade is the same command (keys.go).
func (h *home) decodeAs(event *schema.Event, version int, data json.RawMessage) (json.RawMessage, any, error) {
	older := version != event.Version
	if older {
		var err error
		if data, err = event.Upcast(version, data); err != nil {
			return nil, nil, err
		}
	}
	d, err := h.decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("the data of %s: %w", event.Name, err)
	}
	if older {
		data, err = schema.Encode(d)
	}
	return data, d, err
}
