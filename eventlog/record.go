package eventlog

import (
	"encoding/json"

	"roomlog/schema"
)

// Record is one event as the log holds it. Records are immutable: what Read and
// Follow return must not be changed.
type Record struct {
	Seq     uint64      // place in the stream, from 1; 0 before it is appended
	Time    schema.Time // when the gateway accepted it (ce-time); not monotonic across nodes
	ID      string      // ULID (ce-id); also the id of the entity that the record creates
	Event   string      // name in the catalogue (ce-type)
	Version int         // version of the data's schema (ce-dataschema)
	Actor   schema.Actor
	Entity  string          // "post:01J…": what it is about (ce-subject); "" for none
	Data    json.RawMessage // a JSON object as the event's schema file says

	Key           string // idempotency key of the client (ce-idempotencykey); "" for none
	Socket        string // id of the socket that sent it (ce-socketid): pushes skip that socket
	CorrelationID string // ce-correlationid; "" for none
	CausationID   string // ce-causationid: id of the record that caused it; "" for none

	// Origin is, of a fact that was read from the ADMIN stream, its place in EVENTS;
	// otherwise 0.
	Origin uint64

	// Err says why a message of the stream is no record (foreign or damaged). Seq
	// is set, the rest may be empty. Projectors park it.
	Err error

	origin string // its leaf, but for the place; of one that was not in a log without a subject, or ""
}
