package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/gobwas/ws"
)

// badSocket is a bad actor's connection, used beneath the protocol. Its writes are
// for one goroutine, its reads for another.
type badSocket struct {
	actor  *badActor
	conn   net.Conn
	in     *bufio.Reader
	closed func() bool // forgets the connection
	buf    []byte
}

// dial makes a TCP connection, which ends with the storm. Whoever ends it cuts it
// off (RST), so that thousands of connections leave no ports behind that wait.
func (a *badActor) dial() (*badSocket, error) {
	conn, err := net.Dial("tcp", a.storm.Address)
	if err != nil {
		return nil, err
	}
	a.note("dialled")
	conn.(*net.TCPConn).SetLinger(0)
	a.storm.opened(1)
	return &badSocket{actor: a, conn: conn, in: bufio.NewReaderSize(conn, 2<<10), closed: context.AfterFunc(a.storm.ctx, func() { conn.Close() })}, nil
}

func (s *badSocket) close() {
	s.closed()
	s.conn.Close()
	s.actor.storm.opened(-1)
}

// request is a handshake, with further header lines.
func (a *badActor) request(headers ...string) string {
	r := "GET /ws HTTP/1.1\r\nHost: " + a.storm.Address + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: " + a.address + "\r\n"
	for _, h := range headers {
		r += h + "\r\n"
	}
	return r + "\r\n"
}

func bearer(token string) string { return "Authorization: Bearer " + token }

var errNotUpgraded = errors.New("the server did not upgrade")

// open connects and upgrades.
func (a *badActor) open(headers ...string) (*badSocket, error) {
	s, err := a.dial()
	if err != nil {
		return nil, err
	}
	if _, err = io.WriteString(s.conn, a.request(headers...)); err == nil {
		err = s.upgraded()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// upgraded reads the answer to the handshake.
func (s *badSocket) upgraded() error {
	answer, err := http.ReadResponse(s.in, nil)
	if err != nil {
		s.actor.note("cut")
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		s.actor.note("http " + strconv.Itoa(answer.StatusCode))
		return errNotUpgraded
	}
	s.actor.note("upgraded")
	return nil
}

const (
	finBit  = 0x80
	rsv1Bit = 0x40 // a compressed message, had that been agreed on
)

// frame appends a masked frame, with a mask that changes nothing.
func frame(b []byte, bits byte, op ws.OpCode, payload string) []byte {
	return append(frameHeader(b, bits, op, uint64(len(payload))), payload...)
}

func frameHeader(b []byte, bits byte, op ws.OpCode, length uint64) []byte {
	const masked = 0x80
	b = append(b, bits|byte(op))
	size := 0 // bytes of the length
	switch {
	case length < 126:
		b = append(b, masked|byte(length))
	case length < 1<<16:
		b, size = append(b, masked|126), 2
	default:
		b, size = append(b, masked|127), 8
	}
	for ; size > 0; size-- {
		b = append(b, byte(length>>(8*(size-1))))
	}
	return append(b, 0, 0, 0, 0)
}

// text appends a command in a frame of its own.
func text(b []byte, command string) []byte { return frame(b, finBit, ws.OpText, command) }

// command is a command as text; data is JSON.
func command(id int, event, data string) string {
	return fmt.Sprintf(`{"id":%d,"event":%q,"data":%s}`, id, event, data)
}

func (s *badSocket) write(b []byte) error {
	_, err := s.conn.Write(b)
	return err
}

// say sends commands, all in one write.
func (s *badSocket) say(commands ...string) error {
	var b []byte
	for _, c := range commands {
		b = text(b, c)
	}
	s.actor.sent(len(commands))
	return s.write(b)
}

// next returns the next text frame, valid until the next call, and tallies it.
func (s *badSocket) next() ([]byte, error) {
	for {
		h, err := ws.ReadHeader(s.in)
		if err != nil {
			s.actor.note("cut")
			return nil, err
		}
		if int64(cap(s.buf)) < h.Length {
			s.buf = make([]byte, h.Length)
		}
		s.buf = s.buf[:h.Length]
		if _, err := io.ReadFull(s.in, s.buf); err != nil {
			s.actor.note("cut")
			return nil, err
		}
		switch h.OpCode {
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(s.buf)
			s.actor.note("close " + strconv.Itoa(int(code)))
			return nil, io.EOF
		case ws.OpText:
			s.actor.heard(s.buf)
			return s.buf, nil
		}
	}
}

// drain reads until the connection ends.
func (s *badSocket) drain() {
	for {
		if _, err := s.next(); err != nil {
			return
		}
	}
}

// code is the error code in a frame, "" for none.
func code(frame []byte) string {
	_, rest, refused := bytes.Cut(frame, []byte(`"code":"`))
	if !refused || bytes.Contains(frame, []byte(`"ok":true`)) {
		return ""
	}
	code, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(code)
}
