package eventlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// wire is a connection to the embedded server that speaks just enough of the NATS
// protocol to read a stream back. The NATS client makes a map of the headers of
// every message and passes it on through two goroutines; at a rebuild that cost
// as much as everything else together.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

// maxMessage is far above what the server lets in: more is not a message.
const maxMessage = 64 << 20

// openWire connects and subscribes to subject.
func (e *embedded) openWire(subject string) (*wire, error) {
	conn, err := e.InProcessConn()
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	hello, err := json.Marshal(map[string]any{
		"user": userSelf, "pass": e.password, "name": "roomlog reader", "lang": "roomlog", "version": "1",
		"protocol": 1, "headers": true, "no_responders": true, "verbose": false, "pedantic": false,
	})
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(readStall)) // a pipe always can
		_, err = w.in.ReadSlice('\n')                   // INFO, of no interest in process
	}
	if err == nil {
		_, err = fmt.Fprintf(conn, "CONNECT %s\r\nSUB %s 1\r\n", hello, subject)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting a reader: %w", err)
	}
	_ = conn.SetDeadline(time.Time{})
	return w, nil
}

func (w *wire) close() { w.conn.Close() }

func (w *wire) request(subject, reply string, body []byte) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(readStall))
	_, err := fmt.Fprintf(w.conn, "PUB %s %s %d\r\n%s\r\n", subject, reply, len(body), body)
	return err
}

// watch lets ctx break the reading until stop is called. A wire that was broken so
// is of no more use.
func (w *wire) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = w.conn.SetReadDeadline(time.Unix(1, 0)) })
}

// idle is for readers that wait at the end of a stream, which are not on a wire.
func (w *wire) idle() bool { return false }

func (w *wire) next(context.Context) (message, error) {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return message{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		verb, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(verb) {
		case "HMSG":
			return w.message(string(rest), true)
		case "MSG":
			return w.message(string(rest), false)
		case "PING":
			if _, err := io.WriteString(w.conn, "PONG\r\n"); err != nil {
				return message{}, err
			}
		case "-ERR":
			return message{}, fmt.Errorf("the server answered %s", rest)
		}
	}
}

// message reads what follows a line "<subject> <sid> [reply] [header bytes]
// <total bytes>".
func (w *wire) message(line string, hasHeader bool) (m message, err error) {
	var fields [5]string
	n := 0
	for field := range strings.FieldsSeq(line) {
		if n < len(fields) {
			fields[n] = field
		}
		n++
	}
	sizes := 1
	if hasHeader {
		sizes = 2
	}
	named := n - sizes // subject, sid and perhaps a reply
	if named != 2 && named != 3 {
		return message{}, fmt.Errorf("a message that is none: %q", line)
	}
	total, err := strconv.Atoi(fields[n-1])
	header := 0
	if hasHeader && err == nil {
		header, err = strconv.Atoi(fields[n-2])
	}
	if err != nil || header < 0 || total < header || total > maxMessage {
		return message{}, fmt.Errorf("a message that is none: %q", line)
	}
	m.subject = fields[0]
	if named == 3 {
		m.reply = fields[2]
	}
	b, err := w.take(total + len("\r\n"))
	if err != nil {
		return message{}, err
	}
	m.header, m.data = b[:header], b[header:total]
	return m, nil
}

// take returns the next n bytes: where they were read to, if they fit there.
func (w *wire) take(n int) ([]byte, error) {
	if n > w.in.Size() {
		b := make([]byte, n)
		_, err := io.ReadFull(w.in, b)
		return b, err
	}
	b, err := w.in.Peek(n)
	if err == nil {
		_, err = w.in.Discard(n)
	}
	return b, err
}
