package schema

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Command is a frame from a client.
type Command struct {
	ID    json.RawMessage `json:"id,omitempty"` // any JSON number or string, comes back as it was; nil: no ack wanted
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data,omitempty"` // an object; nil stands for {}
	Key   string          `json:"key,omitempty"`  // idempotency key, at most MaxKeyLength characters
}

// The limits of a command's own fields.
const (
	MaxKeyLength = 64  // of an idempotency key, in characters
	MaxIDLength  = 128 // of an id, in bytes as written, quotes included
)

// ParseCommand reads a frame from a client, strictly: one JSON object, nested at
// most MaxDepth deep, with the fields of Command and no others, each at most once.
// Whatever id the frame has is returned with an error too, so that the error can be
// tied to it. The code is BAD_FRAME for what is not one JSON object in UTF-8 (the
// frame cannot be trusted to mean anything), else UNKNOWN_FIELD, MISSING_FIELD or
// INVALID_FIELD, the most telling one. ID and Data point into b.
func ParseCommand(b []byte) (Command, *Error) {
	p := commandParser{scanner: scanner{b: b}}
	if !utf8.Valid(b) {
		return p.cmd, NewError(BadFrame, "the frame is not UTF-8")
	}
	if p.peek() != '{' {
		return p.cmd, NewError(BadFrame, "")
	}
	if err := p.fields(); err != nil {
		return p.cmd, NewError(BadFrame, fmt.Sprintf("the frame is no JSON object: %v at byte %d", err, p.i))
	}
	if p.peek(); p.i < len(b) {
		return p.cmd, NewError(BadFrame, fmt.Sprintf("the frame goes on after its JSON object at byte %d", p.i))
	}
	if p.seen&seenEvent == 0 {
		p.fail(MissingField, "/event: required")
	}
	return p.cmd, p.err
}

// The fields that a commandParser has seen.
const (
	seenID uint8 = 1 << iota
	seenEvent
	seenData
	seenKey
)

type commandParser struct {
	scanner
	cmd  Command
	seen uint8
	err  *Error // the most telling one so far
}

// fail notes an error of the frame's content; parsing goes on, since the id may
// come last.
func (p *commandParser) fail(code Code, message string) {
	if p.err == nil || rank(code) > rank(p.err.Code) {
		p.err = NewError(code, message)
	}
}

// fields reads the object's fields; the error says why it is no JSON.
func (p *commandParser) fields() error {
	p.i++
	if p.take('}') {
		return nil
	}
	for {
		if p.peek() != '"' {
			return errSyntax
		}
		name, escaped, ok := p.text()
		if !ok || !p.take(':') {
			return errSyntax
		}
		if escaped {
			name = unescape(name)
		}
		p.peek()
		start := p.i
		if err := p.skip(MaxDepth - 1); err != nil {
			return err
		}
		p.field(name, p.b[start:p.i:p.i])
		if p.take('}') {
			return nil
		}
		if !p.take(',') {
			return errSyntax
		}
	}
}

// field takes one well-formed value into the command.
func (p *commandParser) field(name, value []byte) {
	var bit uint8
	switch string(name) {
	case "id":
		bit = seenID
		if c := value[0]; (c != '"' && c != '-' && (c < '0' || c > '9')) || len(value) > MaxIDLength {
			p.fail(InvalidField, fmt.Sprintf("/id: a number or a string, at most %d bytes", MaxIDLength))
		} else if p.seen&bit == 0 {
			p.cmd.ID = value
		}
	case "event":
		bit = seenEvent
		if value[0] != '"' {
			p.fail(InvalidField, "/event: a string")
		} else {
			p.cmd.Event = eventName(value)
		}
	case "data":
		bit = seenData
		if value[0] != '{' {
			p.fail(InvalidField, "/data: an object")
		} else {
			p.cmd.Data = value
		}
	case "key":
		bit = seenKey
		key := stringOf(value)
		if n := utf8.RuneCount(key); value[0] != '"' || n < 1 || n > MaxKeyLength {
			p.fail(InvalidField, fmt.Sprintf("/key: a string of 1 to %d characters", MaxKeyLength))
		} else {
			p.cmd.Key = string(key)
		}
	default:
		p.fail(UnknownField, pointer(name)+": no such field; a frame has id, event, data, key")
		return
	}
	if p.seen&bit != 0 {
		p.fail(InvalidField, pointer(name)+": given twice")
	}
	p.seen |= bit
}

// eventName returns the name without allocating when it is in the catalogue.
func eventName(quoted []byte) string {
	name := stringOf(quoted)
	if s, ok := names[string(name)]; ok {
		return s
	}
	return string(name)
}

// stringOf returns the text of a well-formed JSON string, nil of any other value.
func stringOf(value []byte) []byte {
	s := scanner{b: value}
	if s.peek() != '"' {
		return nil
	}
	raw, escaped, _ := s.text()
	if escaped {
		return unescape(raw)
	}
	return raw
}

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
