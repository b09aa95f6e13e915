package schema

import "encoding/json"

// Command is a frame from a client.
type Command struct {
	ID    json.RawMessage `json:"id,omitempty"` // any JSON number or string, comes back as it was; nil: no ack wanted
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data,omitempty"` // an object; nil stands for {}
	Key   string          `json:"key,omitempty"`  // idempotency key, at most MaxKeyLength characters
}

// MaxKeyLength is the longest idempotency key, in bytes.
const MaxKeyLength = 64

// ErrorBody is how an Error looks on the wire, in an ack or as the data of an
// error push.
type ErrorBody struct {
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	Temporary    bool   `json:"temporary"`
	Timestamp    Time   `json:"timestamp"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

// Frame is any frame from the server, for clients: an ack when OK is set, else a push.
type Frame struct {
	ID        json.RawMessage `json:"id,omitempty"`
	OK        *bool           `json:"ok,omitempty"`
	Seq       uint64          `json:"seq,omitempty"` // place in the log; 0: not a record
	Duplicate bool            `json:"duplicate,omitempty"`
	Error     *ErrorBody      `json:"error,omitempty"`
	Event     string          `json:"event,omitempty"`
	Room      string          `json:"room,omitempty"`
	N         uint64          `json:"n,omitempty"` // counts the pushes on this socket, from 1, without gaps
	Time      *Time           `json:"time,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}
