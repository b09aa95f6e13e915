package realtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// readBufferBytes is what a quiet socket holds for reading: most commands fit,
// and a larger payload is read past it, straight into its own buffer.
const readBufferBytes = 512

// protocolError is a violation of RFC 6455: the socket is closed with Code.
type protocolError struct {
	code   ws.StatusCode
	reason string
}

func (e *protocolError) Error() string { return fmt.Sprintf("websocket %d: %s", e.code, e.reason) }

// peerClosed says that the client has sent its close frame.
type peerClosed struct{ code ws.StatusCode } // 0: the frame carried none

func (e *peerClosed) Error() string { return fmt.Sprintf("closed by the client with %d", e.code) }

// frameReader reads messages from a client's side of a connection. It is for one
// goroutine.
type frameReader struct {
	conn       net.Conn
	maxMessage int
	buf        []byte // bytes read ahead: buf[r:w]
	r, w       int
	header     [ws.MaxHeaderSize]byte
	control    func(op ws.OpCode, payload []byte) // told of every ping and pong; payload is valid during the call
	// since is when the rest of a message that has begun was first waited for, in Unix
	// ms; 0 while none is. Whoever watches may load it from another goroutine.
	since atomic.Int64
}

// start begins with the bytes that the handshake already took off conn.
func (r *frameReader) start(conn net.Conn, ahead []byte, maxMessage int, control func(ws.OpCode, []byte)) {
	r.conn, r.maxMessage, r.control = conn, maxMessage, control
	r.buf = make([]byte, max(readBufferBytes, len(ahead)))
	r.w = copy(r.buf, ahead)
}

// Read reads through the small buffer, past it when p is larger.
func (r *frameReader) Read(p []byte) (int, error) {
	if r.r == r.w {
		if r.since.Load() == 0 {
			r.since.Store(time.Now().UnixMilli())
		}
		if len(p) >= len(r.buf) {
			return r.conn.Read(p)
		}
		if err := r.wait(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// wait returns once bytes are there to be read. A quiet socket's goroutine is
// here, with little on its stack: that is what keeps it small.
func (r *frameReader) wait() error {
	for r.r == r.w {
		n, err := r.conn.Read(r.buf)
		r.r, r.w = 0, n
		if n == 0 && err != nil {
			return err
		}
	}
	return nil
}

// next returns the next text message, all fragments joined, and hands control
// frames over on the way. The caller frees the message's buffer. None is held
// while it waits for a message to begin. Errors are *protocolError, *peerClosed,
// or what the connection said.
func (r *frameReader) next() (*buffer, error) {
	message, err := r.message()
	r.since.Store(0)
	if err != nil && message != nil {
		message.free()
		message = nil
	}
	return message, err
}

func (r *frameReader) message() (message *buffer, err error) {
	state := ws.StateServerSide
	have, checked := 0, 0 // bytes of the message; how many of them are whole characters
	for frames := 0; ; {
		if message == nil { // between messages a client may be quiet for as long as it likes
			r.since.Store(0)
			if err := r.wait(); err != nil {
				return nil, err
			}
		}
		h, err := r.nextHeader(state, have)
		if err != nil {
			return message, err
		}
		if h.OpCode.IsControl() {
			if err := r.readControl(h); err != nil {
				return message, err
			}
			continue
		}
		if message == nil {
			message = newBuffer()
		}
		if frames++; frames > r.maxMessage { // empty ones: no message needs more frames than bytes
			return message, &protocolError{ws.StatusMessageTooBig, fmt.Sprintf("more than %d fragments", r.maxMessage)}
		}
		if checked, err = r.readPayload(message, checked, h); err != nil {
			return message, err
		}
		have = len(message.bytes)
		if h.Fin {
			if checked != have {
				return message, &protocolError{ws.StatusInvalidFramePayloadData, "text ends within a character"}
			}
			return message, nil
		}
		state = state.Set(ws.StateFragmented)
	}
}

// nextHeader reads a header and refuses what RFC 6455 or roomlog does not allow
// after the have bytes of the message so far.
func (r *frameReader) nextHeader(state ws.State, have int) (ws.Header, error) {
	h, err := ws.ReadHeaderBuffer(r, r.header[:])
	switch {
	case errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
		return h, &protocolError{ws.StatusProtocolError, "bad frame length"}
	case err != nil:
		return h, err
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return h, &protocolError{ws.StatusProtocolError, err.Error()}
	}
	if h.OpCode == ws.OpBinary {
		return h, &protocolError{ws.StatusUnsupportedData, "text frames only"}
	}
	if h.OpCode.IsData() && h.Length > int64(r.maxMessage-have) {
		return h, &protocolError{ws.StatusMessageTooBig, fmt.Sprintf("more than %d bytes", r.maxMessage)}
	}
	return h, nil
}

// readPayload appends a data frame's payload to message, of which checked bytes
// are whole characters, and returns how many are after it. It checks the text as
// bytes arrive, so that a client hears of bad UTF-8 before it has sent the rest,
// and takes memory as bytes arrive, not because a header promises them.
func (r *frameReader) readPayload(message *buffer, checked int, h ws.Header) (int, error) {
	start := len(message.bytes)
	for left := int(h.Length); left > 0; {
		b := message.bytes
		if len(b) == cap(b) {
			b = slices.Grow(b, min(left, cap(b)))
		}
		free := b[len(b):min(cap(b), len(b)+left)]
		n, err := r.Read(free)
		if n == 0 {
			if err == nil {
				continue
			}
			return checked, err
		}
		ws.Cipher(free[:n], h.Mask, len(b)-start)
		message.bytes = b[:len(b)+n]
		left -= n
		whole, ok := wholeRunes(message.bytes[checked:])
		if !ok {
			return checked, &protocolError{ws.StatusInvalidFramePayloadData, "text is not UTF-8"}
		}
		checked += whole
	}
	return checked, nil
}

// readControl reads a control frame's payload, which nextHeader has bounded, and
// acts on it.
func (r *frameReader) readControl(h ws.Header) error {
	var payload []byte
	if h.Length > 0 {
		b := newBuffer() // always has room for a control frame's 125 bytes
		defer b.free()
		payload = b.bytes[:h.Length]
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		ws.Cipher(payload, h.Mask, 0)
	}
	if h.OpCode != ws.OpClose {
		r.control(h.OpCode, payload)
		return nil
	}
	return closeFrame(payload)
}

// closeFrame judges the payload of a client's close frame: peerClosed when it
// is in order.
func closeFrame(payload []byte) error {
	if len(payload) == 0 {
		return &peerClosed{}
	}
	if len(payload) == 1 {
		return &protocolError{ws.StatusProtocolError, "a close code has two bytes"}
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(payload))
	if !mayClose(code) {
		return &protocolError{ws.StatusProtocolError, "not a close code"}
	}
	if !utf8.Valid(payload[2:]) {
		return &protocolError{ws.StatusInvalidFramePayloadData, "close reason is not UTF-8"}
	}
	return &peerClosed{code}
}

// mayClose reports whether a client may send the close code: those of RFC 6455,
// 7.4.1, the later ones of the IANA registry (1012 to 1014), and the ranges for
// libraries and applications.
func mayClose(code ws.StatusCode) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return false
}

// wholeRunes returns how many bytes at the start of p are whole UTF-8 characters.
// ok is false when the rest cannot become one, whatever follows.
func wholeRunes(p []byte) (n int, ok bool) {
	if utf8.Valid(p) {
		return len(p), true
	}
	for n = len(p) - 1; n > 0 && n > len(p)-utf8.UTFMax && !utf8.RuneStart(p[n]); n-- {
	}
	if utf8.FullRune(p[n:]) || !utf8.Valid(p[:n]) {
		return 0, false
	}
	return n, true
}

// discard reads and drops what the client still sends, until it closes or the
// read deadline passes.
func (r *frameReader) discard() {
	r.r, r.w = 0, 0
	for {
		if _, err := r.conn.Read(r.buf); err != nil {
			return
		}
	}
}
