package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// maxMessage bounds what a server may make a client hold: a page of 100 of the
// longest posts is below 4 MiB.
const maxMessage = 16 << 20

// maxKept is the largest buffer that is kept for the next large message, in bytes.
const maxKept = 64 << 10

// reader is the state of the reading goroutine; no other touches it.
type reader struct {
	br       *bufio.Reader
	header   [ws.MaxHeaderSize]byte
	control  [ws.MaxControlFramePayloadSize]byte
	message  []byte   // a message that does not fit br, or comes in fragments
	state    ws.State // whether a fragmented message is open
	opcode   ws.OpCode
	lastN    uint64             // n of the last push
	farewell *schema.Disconnect // what the server said before it closed
}

// run reads until the connection ends, and records why.
func (c *Client) run() {
	err := c.readFrames()
	var closed *CloseError
	if !errors.As(err, &closed) {
		closed = &CloseError{Code: schema.CloseCode(ws.StatusAbnormalClosure), Err: err}
	}
	closed.Farewell = c.in.farewell
	c.mu.Lock()
	c.waiting = nil
	if !c.closing {
		c.err = closed
	}
	c.mu.Unlock()
	c.conn.Close() // after it is known why: a write that this breaks can say so
	close(c.done)
}

// readFrames handles frame after frame. It always returns an error.
func (c *Client) readFrames() error {
	in := &c.in
	for {
		h, err := ws.ReadHeaderBuffer(in.br, in.header[:])
		if err != nil {
			return err
		}
		if err := ws.CheckHeader(h, in.state|ws.StateClientSide); err != nil {
			return c.refuse(ws.StatusProtocolError, err.Error())
		}
		if h.OpCode.IsControl() {
			err = c.readControl(h)
		} else {
			err = c.readData(h)
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client) readControl(h ws.Header) error {
	payload := c.in.control[:h.Length]
	if _, err := io.ReadFull(c.in.br, payload); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return c.write(ws.OpPong, payload)
	case ws.OpClose:
		return c.readClose(payload)
	}
	return nil // a pong
}

func (c *Client) readClose(payload []byte) error {
	if len(payload) == 0 {
		c.writeClose(0, "")
		return &CloseError{Code: schema.CloseCode(ws.StatusNoStatusRcvd)}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	// 1012 to 1014 were registered with IANA after the RFC; gobwas does not know them.
	if err := ws.CheckCloseFrameData(code, reason); err != nil && !(code.In(ws.StatusCodeRange{Min: 1012, Max: 1014}) && utf8.ValidString(reason)) {
		return c.refuse(ws.StatusProtocolError, err.Error())
	}
	c.writeClose(code, "") // the answer that RFC 6455, 5.5.1 asks for
	return &CloseError{Code: schema.CloseCode(code), Reason: reason}
}

// readData reads a data frame, and handles the message when it is whole.
func (c *Client) readData(h ws.Header) error {
	in := &c.in
	if h.OpCode != ws.OpContinuation {
		in.opcode, in.message = h.OpCode, in.message[:0]
	}
	if h.Length > int64(maxMessage-len(in.message)) {
		return c.refuse(ws.StatusMessageTooBig, fmt.Sprintf("message of more than %d bytes", maxMessage))
	}
	n := int(h.Length)
	if h.Fin && len(in.message) == 0 && n <= in.br.Size() {
		// The usual case: the message is handled where it lies.
		b, err := in.br.Peek(n)
		if err != nil {
			return err
		}
		in.state = in.state.Clear(ws.StateFragmented)
		if err := c.handle(b); err != nil {
			return err
		}
		_, err = in.br.Discard(n)
		return err
	}
	start := len(in.message)
	in.message = append(in.message, make([]byte, n)...)
	if _, err := io.ReadFull(in.br, in.message[start:]); err != nil {
		return err
	}
	if !h.Fin {
		in.state = in.state.Set(ws.StateFragmented)
		return nil
	}
	in.state = in.state.Clear(ws.StateFragmented)
	err := c.handle(in.message)
	if cap(in.message) > maxKept {
		in.message = nil
	}
	return err
}

var (
	pushPrefix   = []byte(`{"event":"`)
	socketPrefix = []byte(`{"event":"socket:`)
)

// handle takes one message. b is only valid during the call.
func (c *Client) handle(b []byte) error {
	if c.in.opcode != ws.OpText {
		return c.refuse(ws.StatusUnsupportedData, "binary message")
	}
	if !utf8.Valid(b) {
		return c.refuse(ws.StatusInvalidFramePayloadData, "text that is not UTF-8")
	}
	if c.o.OnFrame != nil {
		c.o.OnFrame(b)
	}
	if c.notify.push == nil && bytes.HasPrefix(b, pushPrefix) && !bytes.HasPrefix(b, socketPrefix) {
		return nil // decoding what nobody looks at would be most of the work in a load test
	}
	var f schema.Frame
	if err := json.Unmarshal(b, &f); err != nil {
		return c.refuse(ws.StatusPolicyViolation, "a frame that is no JSON object of the protocol")
	}
	if f.OK != nil {
		c.acked(f)
		return nil
	}
	return c.pushed(f)
}

func (c *Client) acked(f schema.Frame) {
	id, err := strconv.ParseUint(string(f.ID), 10, 64)
	if err != nil {
		return // not one of ours
	}
	c.mu.Lock()
	ack := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if ack != nil {
		ack(f)
	}
}

func (c *Client) pushed(f schema.Frame) error {
	in := &c.in
	if c.notify.push != nil {
		if in.lastN != 0 && f.N != in.lastN+1 {
			c.writeClose(ws.StatusPolicyViolation, "lost push")
			// No reason to stay away: another connection gets what was lost from the log.
			return fmt.Errorf("push %d came after push %d", f.N, in.lastN)
		}
		in.lastN = f.N
	}
	switch f.Event {
	case "socket:hello":
		select {
		case <-c.helloed:
			return c.refuse(ws.StatusPolicyViolation, "a second socket:hello")
		default:
		}
		if err := json.Unmarshal(f.Data, &c.hello); err != nil {
			return c.refuse(ws.StatusPolicyViolation, "a socket:hello that cannot be read")
		}
		defer close(c.helloed) // after OnPush, so that Dial returns behind it
	case "socket:disconnect":
		in.farewell = new(schema.Disconnect)
		if err := json.Unmarshal(f.Data, in.farewell); err != nil {
			return c.refuse(ws.StatusPolicyViolation, "a socket:disconnect that cannot be read")
		}
	}
	if c.notify.push == nil {
		return nil
	}
	err := c.notify.push(f)
	if err != nil {
		c.writeClose(ws.StatusPolicyViolation, "push out of order")
	}
	return err
}
