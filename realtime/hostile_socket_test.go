package realtime_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomlog/schema"
)

// The opcodes and bits of RFC 6455, 5.2, written out so that these tests depend
// on no WebSocket library.
const (
	opContinuation, opText, opBinary, opClose, opPing, opPong = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

	fin, rsv1, rsv2, rsv3 = 0x80, 0x40, 0x20, 0x10
)

// rawSocket is a client that sends whatever bytes a test likes.
type rawSocket struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
	n    uint64 // of the last push
}

const goodHandshake = "GET /ws HTTP/1.1\r\nHost: $HOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// handshake sends a request as written, $HOST filled in, and returns the answer.
func (g *gateway) handshake(t testing.TB, request string) (*rawSocket, *http.Response) {
	t.Helper()
	conn, err := g.dialer.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "$HOST", g.addr)); err != nil {
		t.Fatal(err)
	}
	s := &rawSocket{t: t, conn: conn, br: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(s.br, nil)
	if err != nil {
		t.Fatalf("no HTTP answer: %v", err)
	}
	return s, resp
}

// open upgrades, with further headers ("Name: value"), and takes socket:hello.
func (g *gateway) open(t testing.TB, headers ...string) *rawSocket {
	t.Helper()
	request := goodHandshake
	for _, h := range headers {
		request = strings.Replace(request, "\r\n\r\n", "\r\n"+h+"\r\n\r\n", 1)
	}
	s, resp := g.handshake(t, request)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("HTTP status %s", resp.Status)
	}
	if got := s.next(); got != "push socket:hello" {
		t.Fatalf("first frame: %s", got)
	}
	return s
}

// user opens a socket whose handshake carries the user's token.
func (g *gateway) user(t testing.TB, user string, roles ...schema.Role) *rawSocket {
	t.Helper()
	return g.open(t, "Authorization: Bearer "+tokenFor(t, user, roles...))
}

// wire makes a frame: first is the first byte, with FIN, reserved bits and opcode.
func wire(first byte, payload string) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455, 5.7
	b := append(lengthOf(first, 0x80, len(payload)), mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// lengthOf makes the first bytes of a frame, up to its length.
func lengthOf(first, masked byte, n int) []byte {
	switch {
	case n < 126:
		return []byte{first, masked | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, masked | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, masked | 127}, uint64(n))
}

func unmasked(first byte, payload string) []byte {
	return append(lengthOf(first, 0, len(payload)), payload...)
}

// write sends bytes. The server may have closed already: what it said then is
// what counts.
func (s *rawSocket) write(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		s.t.Fatalf("writing: %v", err)
	}
}

func (s *rawSocket) text(payload string) {
	s.t.Helper()
	s.write(wire(fin|opText, payload))
}

// nextFrame reads one frame of the server and checks what RFC 6455 asks of it.
func (s *rawSocket) nextFrame() (op byte, payload []byte, err error) {
	s.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(s.br, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&(fin|rsv1|rsv2|rsv3) != fin || head[1]&0x80 != 0 {
		s.t.Fatalf("the server's frame begins %x: it is fragmented, masked, or has reserved bits", head)
	}
	n := int64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(s.br, b[:])
		n = int64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(s.br, b[:])
		n = int64(binary.BigEndian.Uint64(b[:]))
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(s.br, payload)
	return head[0] & 0xf, payload, err
}

// next returns the next thing the server says in short: "ack 7", "ack 7 CODE",
// "error CODE", "push EVENT", "ping", "pong PAYLOAD", "close", "close CODE
// REASON", or "end" when the connection is closed in good order.
func (s *rawSocket) next() string {
	s.t.Helper()
	op, payload, err := s.nextFrame()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET): // reset: bytes came after the client's own close
		return "end"
	case err != nil:
		return "broken: " + err.Error()
	}
	switch op {
	case opText:
		return s.describe(payload)
	case opClose:
		if len(payload) == 0 {
			return "close"
		}
		return strings.TrimSpace(fmt.Sprintf("close %d %s", binary.BigEndian.Uint16(payload), payload[2:]))
	case opPing:
		return "ping"
	case opPong:
		return strings.TrimSpace("pong " + string(payload))
	}
	return fmt.Sprintf("opcode %d", op)
}

func (s *rawSocket) describe(text []byte) string {
	s.t.Helper()
	f := s.decode(text)
	switch {
	case f.OK == nil && f.Event == "error":
		var e schema.ErrorBody
		if err := json.Unmarshal(f.Data, &e); err != nil {
			s.t.Fatalf("an error push with %s", f.Data)
		}
		return "error " + string(e.Code)
	case f.OK == nil:
		return "push " + f.Event
	case *f.OK:
		return "ack " + string(f.ID)
	}
	return "ack " + string(f.ID) + " " + string(f.Error.Code)
}

// decode reads a frame of the server and checks what every client relies on.
func (s *rawSocket) decode(text []byte) schema.Frame {
	s.t.Helper()
	var f schema.Frame
	if err := json.Unmarshal(text, &f); err != nil {
		s.t.Fatalf("the server sent %q: %v", text, err)
	}
	switch {
	case f.OK == nil:
		if f.N != s.n+1 || f.Time == nil {
			s.t.Fatalf("push %s comes after push %d", text, s.n)
		}
		s.n = f.N
		event, ok := schema.Lookup(f.Event)
		if !ok {
			s.t.Fatalf("a push of no event: %s", text)
		}
		if e := schema.ValidatePush(event, f.Data); e != nil {
			s.t.Fatalf("%s: %v", text, e)
		}
	case *f.OK == (f.Error != nil) || f.ID == nil:
		s.t.Fatalf("an ack that contradicts itself: %s", text)
	}
	return f
}

// ask sends a command with id "ask" and returns its ack, which must be good;
// pushes before it are returned by event.
func (s *rawSocket) ask(event, data string) (schema.Frame, []string) {
	s.t.Helper()
	s.text(fmt.Sprintf(`{"id":"ask","event":%q,"data":%s}`, event, data))
	var pushes []string
	for {
		op, payload, err := s.nextFrame()
		if err != nil || op != opText {
			s.t.Fatalf("%s: opcode %d %q (%v), want its ack", event, op, payload, err)
		}
		f := s.decode(payload)
		if f.OK == nil {
			pushes = append(pushes, f.Event)
			continue
		}
		if string(f.ID) != `"ask"` || !*f.OK {
			s.t.Fatalf("%s: got %s", event, payload)
		}
		return f, pushes
	}
}

// expect reads as many things as are wanted. What ends in a close frame must be
// followed by the end of the connection; otherwise the socket must still answer.
func (s *rawSocket) expect(want ...string) {
	s.t.Helper()
	closed := false
	for i, w := range want {
		if got := s.next(); got != w {
			s.t.Fatalf("answer %d is %q, want %q of %q", i+1, got, w, want)
		}
		closed = strings.HasPrefix(w, "close")
	}
	if !closed {
		s.ask("socket:ping", "{}")
		return
	}
	if got := s.next(); got != "end" {
		s.t.Fatalf("after the close frame: %q", got)
	}
}
