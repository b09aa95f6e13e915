package client

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// write sends one frame, masked as RFC 6455, 5.3 demands of clients, in one
// write to the connection. A frame that is not written whole leaves the stream
// unusable, so that the connection ends with it.
func (c *Client) write(op ws.OpCode, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	mask := newMask()
	c.out = appendHeader(c.out[:0], op, len(payload), mask)
	start := len(c.out)
	c.out = append(c.out, payload...)
	ws.Cipher(c.out[start:], mask, 0)

	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.conn.Write(c.out); err != nil {
		c.conn.Close()
		return err
	}
	if cap(c.out) > readBuffer {
		c.out = nil // a rare large frame is not worth keeping memory for
	}
	return nil
}

func (c *Client) writeClose(code ws.StatusCode, reason string) error {
	if code == 0 {
		return c.write(ws.OpClose, nil)
	}
	return c.write(ws.OpClose, ws.NewCloseFrameBody(code, reason))
}

// refuse ends the connection for what the server did wrong.
func (c *Client) refuse(code ws.StatusCode, reason string) error {
	c.writeClose(code, reason)
	return &CloseError{Code: schema.CloseCode(code), Err: fmt.Errorf("the server broke the protocol: %s", reason)}
}

// newMask returns an unpredictable mask: the generator is ChaCha8, seeded by the system.
func newMask() (mask [4]byte) {
	binary.NativeEndian.PutUint32(mask[:], rand.Uint32())
	return mask
}

// appendHeader appends the header of a whole, masked frame (RFC 6455, 5.2).
func appendHeader(b []byte, op ws.OpCode, length int, mask [4]byte) []byte {
	const fin, masked = 0x80, 0x80
	b = append(b, fin|byte(op))
	switch {
	case length < 126:
		b = append(b, masked|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(length))
	}
	return append(b, mask[:]...)
}
