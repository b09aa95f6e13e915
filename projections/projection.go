package projections

import (
	"encoding/json"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Outcome is what the log's order made of a record.
type Outcome struct {
	// Code is "" for an applied record, schema.Parked for one that a projector
	// failed on, and otherwise says why the record is void.
	Code schema.Code
	// Result is the data of the sender's ack, a JSON object; nil unless applied or
	// a duplicate.
	Result json.RawMessage
	// FirstSeq is set when the record is void because an earlier one has done it
	// already: that one's place. Code is then schema.DuplicateKey (the same user, key
	// and body) or schema.ConversationExists, and Result is what its sender is
	// answered.
	FirstSeq uint64
	// Pushes are what the rooms are told, in order; nil unless applied.
	Pushes []Push
	// Notes are what users are told of their notifications, before the Pushes.
	Notes []Note
}

// Applied is a record with its outcome, after the batch it was part of is
// committed to the read models.
type Applied struct {
	Record  eventlog.Record
	Outcome Outcome
}

// Note is what all sockets of one user are told of their notifications.
type Note struct {
	User  string
	New   []schema.Notification // made or renewed
	Count int                   // of unread ones from now on; negative: as before
}

// Push is one thing that rooms are told. A socket that is in several of the
// rooms gets it once, as of the first of them, but as of room admin rather than
// of any other.
type Push struct {
	Event string
	Rooms []string
	// FollowersOf names a user whose followers are told too, each in their own user
	// room. They are looked up when the push is delivered, among the users who are
	// connected, so that a post by someone with a million followers costs the
	// projector nothing.
	FollowersOf string
	// Users are told too, each in their own user room: the participants of a
	// conversation at the record's place.
	Users []string
	Data  json.RawMessage
	// Own is what the sockets of the record's actor, and room admin, are told
	// instead of Data; nil: the same.
	Own json.RawMessage
	// Except are users who are not told, in whichever room but admin: the push is
	// about what was before their time.
	Except []string
	// Apart names a user whose doing it is: those whom a block keeps apart from them
	// are not told either. They are looked up as followers are.
	Apart string
	// Evicted are users whose sockets leave the first of Rooms once they are told;
	// Closed means that every socket does.
	Evicted []string
	Closed  bool
	// Suspended is a user whose sockets are closed.
	Suspended string
}
