package realtime

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// pushFrame is a push encoded once for all sockets of a room: only n, which
// counts the pushes of each socket, comes between head and tail.
type pushFrame struct{ head, tail []byte }

// newPushTail encodes what a push's frames have in common in every room.
func newPushTail(at schema.Time, data json.RawMessage) []byte {
	b := make([]byte, 0, len(data)+64)
	b = append(b, `,"time":"`...)
	b = at.AppendTo(b)
	b = append(b, `","data":`...)
	b = appendObject(b, data)
	return append(b, '}')
}

// newPushHead encodes what differs by room. seq 0 and room "" are left out.
// Event and room names need no escaping: the catalogue, schema.ValidID and
// schema.ValidUserID allow nothing that would.
func newPushHead(event, room string, seq uint64) []byte {
	return appendPushHead(make([]byte, 0, len(event)+len(room)+64), event, room, seq)
}

func appendPushHead(b []byte, event, room string, seq uint64) []byte {
	b = append(b, `{"event":"`...)
	b = append(b, event...)
	if room != "" {
		b = append(b, `","room":"`...)
		b = append(b, room...)
	}
	b = append(b, '"')
	if seq != 0 {
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, seq, 10)
	}
	return append(b, `,"n":`...)
}

// appendTo appends the push as one WebSocket text frame.
func (f *pushFrame) appendTo(b []byte, n uint64) []byte {
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], n, 10)
	b = appendHeader(b, ws.OpText, len(f.head)+len(number)+len(f.tail))
	b = append(b, f.head...)
	b = append(b, number...)
	return append(b, f.tail...)
}

// appendAck appends the ack of a command that succeeded. seq 0 is left out.
func appendAck(b []byte, id json.RawMessage, seq uint64, duplicate bool, data json.RawMessage) []byte {
	b = append(b, `{"id":`...)
	b = append(b, id...)
	b = append(b, `,"ok":true`...)
	if seq != 0 {
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, seq, 10)
	}
	if duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	b = append(b, `,"data":`...)
	b = appendObject(b, data)
	return append(b, '}')
}

// appendErrorAck appends the ack of a command that failed.
func appendErrorAck(b []byte, id json.RawMessage, e *schema.Error, at time.Time) []byte {
	b = append(b, `{"id":`...)
	b = append(b, id...)
	b = append(b, `,"ok":false,"error":`...)
	b = append(b, errorBody(e, at)...)
	return append(b, '}')
}

func errorBody(e *schema.Error, at time.Time) json.RawMessage {
	return mustJSON(schema.ErrorBody{
		Code:         e.Code,
		Message:      e.Message,
		Temporary:    e.Temporary,
		Timestamp:    schema.TimeOf(at),
		RetryAfterMs: e.RetryAfter.Milliseconds(),
	})
}

// mustJSON encodes one of the wire's own types, which always can be. <, > and &
// stay as they are: nobody takes a frame for HTML.
func mustJSON(v any) json.RawMessage {
	b, err := schema.Encode(v)
	if err != nil {
		panic("realtime: " + err.Error())
	}
	return b
}

func appendObject(b []byte, data json.RawMessage) []byte {
	if len(data) == 0 {
		return append(b, `{}`...)
	}
	return append(b, data...)
}

// appendHeader appends the header of an unfragmented, unmasked frame (RFC 6455, 5.2).
func appendHeader(b []byte, op ws.OpCode, length int) []byte {
	const fin = 0x80
	b = append(b, fin|byte(op))
	switch {
	case length < 126:
		return append(b, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
	}
}
