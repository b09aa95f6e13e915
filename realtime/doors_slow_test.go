package realtime_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
)

// A message that has begun must come to its end, whatever is sent besides. A socket
// between messages may be as quiet as it likes.
func TestMessagesThatDribbleIn(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MessageTimeout = 40 * time.Millisecond })
	quiet, pinging := g.user(t, "alice"), g.user(t, "alice")
	octets := func(s *rawSocket, b []byte) { // so that the rest has to be waited for
		for i := range b {
			s.write(b[i : i+1])
		}
	}
	octets(quiet, ping(1))
	quiet.expect("ack 1")
	for range 10 {
		octets(pinging, wire(fin|opPing, "x"))
		pinging.expect("pong x")
	}
	text := wire(fin|opText, pingCommand(1, 2000))
	again := func(b []byte) func(int) []byte { return func(int) []byte { return b } }
	nothing := again(nil)
	for name, c := range map[string]struct {
		begin []byte
		drip  func(i int) []byte
	}{
		"one byte of a header":              {text[:1], nothing},
		"a header, but no mask":             {text[:4], nothing},
		"a header and nothing":              {text[:8], nothing},
		"half of a message":                 {text[:1000], nothing},
		"a byte now and then":               {text[:8], func(i int) []byte { return text[8+i : 9+i] }},
		"a fragment":                        {wire(opText, "{"), nothing},
		"fragments without end":             {wire(opText, "{"), again(wire(opContinuation, " "))},
		"empty fragments without end":       {wire(opText, ""), again(wire(opContinuation, ""))},
		"a fragment, and pings":             {wire(opText, "{"), again(wire(fin|opPing, ""))},
		"half of a ping":                    {wire(fin|opPing, "xxxx")[:7], nothing},
		"a message, and half of the next":   {append(ping(1), text[:100]...), nothing},
		"half a message after a whole ping": {append(wire(fin|opPing, "x"), text[:100]...), nothing},
		"half a close":                      {closing(1000, "bye")[:7], nothing},
	} {
		t.Run(name, func(t *testing.T) {
			s := g.user(t, "bob")
			s.write(c.begin)
			done := make(chan struct{})
			drips := make(chan struct{})
			go func() {
				defer close(drips)
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					case <-time.After(5 * time.Millisecond): // the drip of a slow-loris
					}
					if _, err := s.conn.Write(c.drip(i)); err != nil {
						return
					}
				}
			}()
			var heard []string
			for {
				got := s.next()
				if !strings.HasPrefix(got, "pong") && !strings.HasPrefix(got, "ack") {
					if heard = append(heard, got); len(heard) == 2 {
						break
					}
				}
			}
			close(done)
			<-drips
			if want := "push socket:disconnect, close 4008 too slow"; strings.Join(heard, ", ") != want {
				t.Errorf("heard %q, want %s", heard, want)
			}
		})
	}
	quiet.ask("socket:ping", "{}")
	pinging.ask("socket:ping", "{}")
}

// Connections that ask for nothing are bounded before they do: one too many is cut off
// at once, and there is room again when one of them goes.
func TestConnectionsThatAskForNothing(t *testing.T) {
	for name, c := range map[string]struct{ connections, handshakes int }{
		"more handshakes than sockets": {1, 2},
		"more sockets than handshakes": {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := openGateway(t, func(cfg *realtime.Config) { cfg.MaxConnections, cfg.MaxHandshakes = c.connections, c.handshakes })
			var silent []net.Conn
			for range 3 {
				conn := must(net.Dial("tcp", g.addr))
				defer conn.Close()
				silent = append(silent, conn)
			}
			// The server accepts in the order of the dials.
			if answer := g.says(t, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); answer != "" {
				t.Errorf("one too many is told %q", answer)
			}
			silent[0].Close()
			eventually(t, "there is room again", func() bool {
				return strings.HasPrefix(g.says(t, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 OK")
			})
			// Those in time are served, and a socket is no handshake any more.
			for _, conn := range silent[1:] {
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") {
					t.Errorf("told %q, %v", answer, err)
				}
			}
			if !strings.Contains(metricsOf(t, g), `roomlog_refused_connections_total{reason="handshakes"} `) {
				t.Error("the refusals are not among the figures")
			}
			g.notesRefusal(t, "CUT_OFF", "handshakes")
		})
	}
}

// says dials, sends a request and returns everything that comes back.
func (g *gateway) says(t *testing.T, request string) string {
	t.Helper()
	conn := must(net.Dial("tcp", g.addr))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, request)
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is left open")
	}
	return string(answer)
}

// Fragments are bounded as bytes are: empty ones cost the client less than us.
func TestMoreFragmentsThanBytes(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxFrameBytes = 1000 })
	s := g.user(t, "alice")
	s.write(wire(opText, pingCommand(1, 0)))
	s.write(bytes.Repeat(wire(opContinuation, ""), 998))
	s.write(wire(fin|opContinuation, ""))
	s.expect("ack 1")
	s.write(bytes.Join([][]byte{wire(opText, "{"), bytes.Repeat(wire(opContinuation, ""), 1000)}, nil))
	s.expect("close 1009 more than 1000 fragments")
}
