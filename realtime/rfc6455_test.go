package realtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomlog/schema"
)

// The rules of RFC 6455 by raw bytes, in the families of the Autobahn test suite.
// Where Autobahn's server echoes, roomlog acks a socket:ping.

// wireCase is what a client writes, each part in a write of its own, and what it
// hears, in the words of rawSocket.next.
type wireCase struct {
	name string
	send [][]byte
	want []string
}

func runWireCases(t *testing.T, cases []wireCase) {
	t.Helper()
	g := openGateway(t, nil)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := g.user(t, "alice")
			for _, b := range c.send {
				s.write(b)
			}
			s.expect(c.want...)
		})
	}
	t.Run("octet by octet", func(t *testing.T) {
		for _, c := range cases {
			all := bytes.Join(c.send, nil)
			if len(all) > 1000 {
				continue
			}
			s := g.user(t, "alice")
			for i := range all {
				s.write(all[i : i+1])
			}
			s.expect(c.want...)
		}
	})
}

// pingCommand is a socket:ping with that id, padded with white space to n bytes.
func pingCommand(id, n int) string {
	s := fmt.Sprintf(`{"id":%d,"event":"socket:ping"}`, id)
	return s + strings.Repeat(" ", max(0, n-len(s)))
}

func ping(id int) []byte { return wire(fin|opText, pingCommand(id, 0)) }

func parts(b ...[]byte) [][]byte { return b }

func join(b ...[]byte) [][]byte { return [][]byte{bytes.Join(b, nil)} }

// closing makes a close frame.
func closing(code uint16, reason string) []byte {
	return wire(fin|opClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

const (
	limit    = 64 << 10
	overlong = "close 1009 more than 65536 bytes"
)

func TestRFC6455Framing(t *testing.T) {
	cases := []wireCase{
		{"1.1.1 empty text", parts(wire(fin|opText, "")), []string{"error BAD_FRAME", "push socket:disconnect", "close 4501 bad frames"}},
		{"1.1.8 65536 bytes in chops of 997", chop(wire(fin|opText, pingCommand(1, 65536)), 997), []string{"ack 1"}},
		{"one byte over the limit", parts(wire(fin|opText, pingCommand(1, limit+1))), []string{overlong}},
		{"a length of 2^62, nothing sent", parts(lengthOf(fin|opText, 0x80, 1<<62), make([]byte, 4)), []string{overlong}},
		{"the highest bit of the length", parts([]byte{fin | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 4)), []string{"close 1002 bad frame length"}},
		{"1.2 binary", parts(wire(fin|opBinary, pingCommand(1, 0))), []string{"close 1003 text frames only"}},
		{"1.2.1 empty binary", parts(wire(fin|opBinary, "")), []string{"close 1003 text frames only"}},
		{"binary in fragments: refused at the first", parts(wire(opBinary, "{")), []string{"close 1003 text frames only"}},
		{"unmasked text", parts(unmasked(fin|opText, pingCommand(1, 0))), []string{"close 1002 frames from client to server must be masked"}},
		{"unmasked ping", parts(unmasked(fin|opPing, "")), []string{"close 1002 frames from client to server must be masked"}},
		{"unmasked close", parts(unmasked(fin|opClose, "")), []string{"close 1002 frames from client to server must be masked"}},
		{"unmasked after masked", parts(ping(1), unmasked(fin|opText, pingCommand(2, 0))), []string{"ack 1", "close 1002 frames from client to server must be masked"}},
		{"two texts in one write", join(ping(1), ping(2)), []string{"ack 1", "ack 2"}},
	}
	for _, n := range []int{30, 125, 126, 127, 128, 511, 512, 513, 65535, 65536} {
		cases = append(cases, wireCase{fmt.Sprintf("1.1 text of %d bytes", n), parts(wire(fin|opText, pingCommand(1, n))), []string{"ack 1"}})
	}
	runWireCases(t, cases)
}

func chop(b []byte, n int) (parts [][]byte) {
	for len(b) > n {
		parts, b = append(parts, b[:n]), b[n:]
	}
	return append(parts, b)
}

func TestRFC6455PingsAndPongs(t *testing.T) {
	full := strings.Repeat("p", 125)
	var ten []byte
	var pongs []string
	for i := range 10 {
		ten = append(ten, wire(fin|opPing, fmt.Sprint(i))...)
		pongs = append(pongs, fmt.Sprintf("pong %d", i))
	}
	runWireCases(t, []wireCase{
		{"2.1 empty ping", parts(wire(fin|opPing, "")), []string{"pong"}},
		{"2.2 ping with text", parts(wire(fin|opPing, "Hello, world!")), []string{"pong Hello, world!"}},
		{"2.3 ping with bytes that are no text", parts(wire(fin|opPing, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), []string{"pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{"2.4 ping of 125 bytes", parts(wire(fin|opPing, full)), []string{"pong " + full}},
		{"2.5 ping of 126 bytes", parts(wire(fin|opPing, full+"p")), []string{"close 1002 control frame payload limit exceeded"}},
		{"pong of 126 bytes", parts(wire(fin|opPong, full+"p")), []string{"close 1002 control frame payload limit exceeded"}},
		{"2.7 pong nobody asked for", parts(wire(fin|opPong, "")), nil},
		{"2.8 the same with payload", parts(wire(fin|opPong, "unsolicited")), nil},
		{"2.9 pong, then ping", parts(wire(fin|opPong, "unsolicited"), wire(fin|opPing, "x")), []string{"pong x"}},
		{"2.10 ten pings", parts(ten), pongs},
	})
}

func TestRFC6455ReservedBits(t *testing.T) {
	const refused = "close 1002 non-zero rsv bits with no extension negotiated"
	var cases []wireCase
	for rsv := byte(1); rsv <= 7; rsv++ {
		bits := rsv << 4
		cases = append(cases,
			wireCase{fmt.Sprintf("3.1 text, RSV %03b", rsv), parts(wire(fin|bits|opText, pingCommand(1, 0))), []string{refused}},
			wireCase{fmt.Sprintf("3.2 after a good text, RSV %03b", rsv), join(ping(1), wire(fin|bits|opText, pingCommand(2, 0))), []string{"ack 1", refused}},
			wireCase{fmt.Sprintf("3.6 ping, RSV %03b", rsv), parts(wire(fin|bits|opPing, "x")), []string{refused}},
			wireCase{fmt.Sprintf("3.7 close, RSV %03b", rsv), parts(wire(fin|bits|opClose, "")), []string{refused}},
			wireCase{fmt.Sprintf("continuation, RSV %03b", rsv), parts(wire(opText, "{"), wire(fin|bits|opContinuation, "}")), []string{refused}},
		)
	}
	runWireCases(t, cases)
}

func TestRFC6455ReservedOpcodes(t *testing.T) {
	const refused = "close 1002 use of reserved op code"
	var cases []wireCase
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases,
			wireCase{fmt.Sprintf("4 opcode %d, empty", op), parts(wire(fin|op, "")), []string{refused}},
			wireCase{fmt.Sprintf("4 opcode %d, with payload", op), parts(wire(fin|op, pingCommand(1, 0))), []string{refused}},
			wireCase{fmt.Sprintf("4 opcode %d, after a good text and before a ping", op), join(ping(1), wire(fin|op, ""), wire(fin|opPing, "")), []string{"ack 1", refused}},
		)
	}
	runWireCases(t, cases)
}

func TestRFC6455Fragmentation(t *testing.T) {
	const (
		notFinal   = "close 1002 control frame is not final"
		unexpected = "close 1002 unexpected continuation data frame"
		expected   = "close 1002 unexpected non-continuation data frame"
	)
	text := pingCommand(1, 0)
	head, tail := wire(opText, text[:10]), wire(fin|opContinuation, text[10:])
	every := [][]byte{wire(opText, text[:1])}
	for i := 1; i < len(text)-1; i++ {
		every = append(every, wire(fin|opPing, ""), wire(opContinuation, text[i:i+1]))
	}
	every = append(every, wire(fin|opContinuation, text[len(text)-1:]))
	half := strings.Repeat(" ", limit/2)
	runWireCases(t, []wireCase{
		{"5.1 ping in fragments", parts(wire(opPing, "a"), wire(fin|opContinuation, "b")), []string{notFinal}},
		{"5.2 pong in fragments", parts(wire(opPong, "a"), wire(fin|opContinuation, "b")), []string{notFinal}},
		{"close in fragments", parts(wire(opClose, "\x03"), wire(fin|opContinuation, "\xe8")), []string{notFinal}},
		{"5.3 text in two", parts(head, tail), []string{"ack 1"}},
		{"5.4 in one write", join(head, tail), []string{"ack 1"}},
		{"5.6 with a ping between", parts(head, wire(fin|opPing, "x"), tail), []string{"pong x", "ack 1"}},
		{"5.7 in one write", join(head, wire(fin|opPing, "x"), tail), []string{"pong x", "ack 1"}},
		{"pong between", join(head, wire(fin|opPong, "x"), tail), []string{"ack 1"}},
		{"5.9 continuation of nothing, then text", join(wire(fin|opContinuation, text), ping(2)), []string{unexpected}},
		{"5.10 the same in two writes", parts(wire(fin|opContinuation, text), ping(2)), []string{unexpected}},
		{"5.12 open continuation of nothing", join(wire(opContinuation, text), ping(2)), []string{unexpected}},
		{"empty continuation of nothing", parts(wire(fin|opContinuation, "")), []string{unexpected}},
		{"5.15 a text in two, then a continuation", join(head, tail, wire(opContinuation, "x")), []string{"ack 1", unexpected}},
		{"5.16 continuations around texts", join(wire(opContinuation, "x"), head, tail), []string{unexpected}},
		{"5.18 text within a text", parts(head, wire(fin|opText, text)), []string{expected}},
		{"binary within a text", parts(head, wire(fin|opBinary, text)), []string{expected}},
		{"5.19 pings between all octets", every, repeat("pong", len(text)-2, "ack 1")},
		{"empty fragments", parts(wire(opText, ""), wire(opContinuation, ""), wire(opContinuation, text), wire(opContinuation, ""), wire(fin|opContinuation, "")), []string{"ack 1"}},
		{"only empty fragments", parts(wire(opText, ""), wire(fin|opContinuation, "")), []string{"error BAD_FRAME", "push socket:disconnect", "close 4501 bad frames"}},
		{"as long as allowed, in three", parts(wire(opText, text), wire(opContinuation, half), wire(fin|opContinuation, half[len(text):])), []string{"ack 1"}},
		{"one byte too long, in three", parts(wire(opText, text), wire(opContinuation, half), wire(fin|opContinuation, half[len(text)-1:])), []string{overlong}},
		{"refused when it gets too long, not at its end", parts(wire(opText, half), wire(opContinuation, half), wire(opContinuation, " ")), []string{overlong}},
		{"close within a text", join(head, closing(1000, "")), []string{"close 1000"}},
	})
}

func repeat(s string, n int, last string) (all []string) {
	for range n {
		all = append(all, s)
	}
	return append(all, last)
}

func TestRFC6455InvalidUTF8(t *testing.T) {
	const refused, unfinished = "close 1007 text is not UTF-8", "close 1007 text ends within a character"
	begin := `{"id":1,"event":"post:create","data":{"content":"`
	var cases []wireCase
	for _, c := range []struct{ name, bytes string }{
		{"6.3.1 a surrogate among Greek", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"},
		{"6.8 first of 5 bytes", "\xf8\x88\x80\x80\x80"}, {"6.8 first of 6 bytes", "\xfc\x84\x80\x80\x80\x80"},
		{"6.10 beyond U+10FFFF", "\xf4\x90\x80\x80"}, {"f5", "\xf5\x80\x80\x80"},
		{"6.12 a lone continuation 80", "\x80"}, {"6.12 a lone continuation bf", "\xbf"}, {"6.12 a run of them", "\x80\xbf\x80\xbf\x80"},
		{"6.13 lone starts", "\xc0 \xc1 \xc2 "}, {"6.13 lone starts of 3", "\xe0 \xe1 "}, {"6.13 lone starts of 4", "\xf0 \xf1 "},
		{"6.14 cut of 2", "\xc3x"}, {"6.14 cut of 3", "\xe2\x82x"}, {"6.14 cut of 4", "\xf0\x9f\x98x"},
		{"6.16 fe", "\xfe"}, {"6.16 ff", "\xff"}, {"6.16 fe fe ff ff", "\xfe\xfe\xff\xff"},
		{"6.17 overlong slash of 2", "\xc0\xaf"}, {"6.17 overlong slash of 3", "\xe0\x80\xaf"}, {"6.17 overlong slash of 4", "\xf0\x80\x80\xaf"},
		{"6.18 the largest overlong of 2", "\xc1\xbf"}, {"6.18 the largest overlong of 3", "\xe0\x9f\xbf"}, {"6.18 the largest overlong of 4", "\xf0\x8f\xbf\xbf"},
		{"6.19 overlong NUL of 2", "\xc0\x80"}, {"6.19 overlong NUL of 3", "\xe0\x80\x80"}, {"6.19 overlong NUL of 4", "\xf0\x80\x80\x80"},
		{"6.20 the first surrogate", "\xed\xa0\x80"}, {"6.20 the last surrogate", "\xed\xbf\xbf"}, {"6.21 a pair of surrogates", "\xed\xa0\x80\xed\xb0\x80"},
		{"UTF-16", "\xff\xfeh\x00i\x00"},
	} {
		cases = append(cases,
			wireCase{c.name, parts(wire(fin|opText, begin+c.bytes+`"}}`)), []string{refused}},
			wireCase{c.name + ", in fragments", parts(wire(opText, begin+c.bytes[:1]), wire(opContinuation, c.bytes[1:]), wire(fin|opContinuation, `"}}`)), []string{refused}},
		)
	}
	cases = append(cases,
		wireCase{"6.4.1 refused before the message ends", parts(wire(opText, begin+"\xf4\x90")), []string{refused}},
		wireCase{"6.4.3 refused before the frame ends", parts(wire(fin|opText, begin+"\xf4\x90"+strings.Repeat(" ", 500))[:len(begin)+16]), []string{refused}},
		wireCase{"6.4.4 refused at the byte that decides", parts(wire(opText, begin+"\xf4"), wire(opContinuation, "\x90")), []string{refused}},
		wireCase{"6.6 the text ends within 2", parts(wire(fin|opText, begin+"\xc3")), []string{unfinished}},
		wireCase{"6.6 the text ends within 3", parts(wire(fin|opText, begin+"\xe2\x82")), []string{unfinished}},
		wireCase{"6.6 the text ends within 4", parts(wire(opText, begin+"\xf0\x9f"), wire(fin|opContinuation, "\x98")), []string{unfinished}},
	)
	runWireCases(t, cases)
}

func TestRFC6455ValidUTF8(t *testing.T) {
	g := openGateway(t, nil)
	s := g.user(t, "alice")
	for _, content := range []string{
		"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\U0001F3AD 夜 ü", // 6.2
		"\x7f|\u0080|\u07ff|\u0800|\uffff|\U00010000|\U0010ffff", // 6.7, 6.9: the first and last of each length
		"\ud7ff|\ue000|\ufffd|\U0010fffe",                        // 6.11, 6.22: around the surrogates; no characters, but valid
	} {
		command := `{"id":1,"event":"post:create","data":{"content":` + string(must(json.Marshal(content))) + `}}`
		var fragments []byte
		for i := range len(command) { // 6.2.3: every character is cut
			first := byte(opContinuation)
			if i == 0 {
				first = opText
			}
			fragments = append(fragments, wire(first, command[i:i+1])...)
		}
		fragments = append(fragments, wire(fin|opContinuation, "")...)
		for _, b := range [][]byte{wire(fin|opText, command), fragments} {
			s.write(b)
			_, payload, err := s.nextFrame()
			if err != nil {
				t.Fatal(err)
			}
			var ack struct{ Data schema.PostCreated }
			if err := json.Unmarshal(payload, &ack); err != nil || ack.Data.Post.Content != content {
				t.Errorf("%q came back as %s (%v)", content, payload, err)
			}
		}
	}
}

func TestRFC6455Closing(t *testing.T) {
	cases := []wireCase{
		{"7.1.1 text, then close", join(ping(1), closing(1000, "")), []string{"ack 1", "close 1000"}},
		{"7.1.2 two closes", join(closing(1000, ""), closing(1000, "")), []string{"close 1000"}},
		{"7.1.3 ping after close", join(closing(1000, ""), wire(fin|opPing, "")), []string{"close 1000"}},
		{"7.1.4 text after close", join(closing(1000, ""), ping(1)), []string{"close 1000"}},
		{"7.1.6 a large text within a message, then close", parts(wire(fin|opText, pingCommand(1, limit)), closing(1000, "")), []string{"ack 1", "close 1000"}},
		{"7.3.1 close without a payload", parts(wire(fin|opClose, "")), []string{"close"}},
		{"7.3.2 close with one byte", parts(wire(fin|opClose, "\x03")), []string{"close 1002 a close code has two bytes"}},
		{"7.3.3 close with a code", parts(closing(1000, "")), []string{"close 1000"}},
		{"7.3.4 close with a reason", parts(closing(1000, "Hello World!")), []string{"close 1000"}},
		{"7.3.5 close with a reason of 123 bytes", parts(closing(1000, strings.Repeat("*", 123))), []string{"close 1000"}},
		{"7.3.6 close with a reason of 124 bytes", parts(closing(1000, strings.Repeat("*", 124))), []string{"close 1002 control frame payload limit exceeded"}},
		{"7.5.1 reason that is not UTF-8", parts(closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")), []string{"close 1007 close reason is not UTF-8"}},
		{"reason that ends within a character", parts(closing(1000, "\xe2\x82")), []string{"close 1007 close reason is not UTF-8"}},
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, wireCase{fmt.Sprintf("7.7 code %d", code), parts(closing(code, "")), []string{fmt.Sprintf("close %d", code)}})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, wireCase{fmt.Sprintf("7.9 code %d", code), parts(closing(code, "")), []string{"close 1002 not a close code"}})
	}
	runWireCases(t, cases)
}

// A client that somebody else wrote gets along with the server.
func TestIndependentClient(t *testing.T) {
	g := openGateway(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://"+g.addr+"/ws", &websocket.DialOptions{
		Subprotocols: []string{"other.v1", schema.Subprotocol}, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if c.Subprotocol() != schema.Subprotocol || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("subprotocol %q, extensions %q", c.Subprotocol(), resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	read := func(want string) {
		t.Helper()
		kind, b, err := c.Read(ctx)
		if err != nil || kind != websocket.MessageText || !strings.HasPrefix(string(b), want) {
			t.Fatalf("read %s (%v), want %s…", b, err, want)
		}
	}
	read(`{"event":"socket:hello",`)
	write := func(s string) {
		t.Helper()
		if err := c.Write(ctx, websocket.MessageText, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`{"id":1,"event":"socket:connect","data":{"token":%q}}`, tokenFor(t, "alice")))
	read(`{"id":1,"ok":true,`)
	write(`{"id":2,"event":"post:create","data":{"content":"hello"}}`)
	read(`{"id":2,"ok":true,"seq":1,`)
	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	write(`{"id":3,"event":"socket:ping"}`)
	read(`{"id":3,"ok":true,`)
	reading := c.CloseRead(ctx) // Ping's pong needs a reader
	if err := <-pinged; err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("closing handshake: %v", err)
	}
	<-reading.Done()
}
