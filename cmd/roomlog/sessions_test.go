package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var update = flag.Bool("update", false, "write the golden sessions anew")

// quiet is how long nothing must arrive, when a session is written anew, until
// what a frame causes is taken to be complete.
const quiet = 300 * time.Millisecond

// The golden sessions are what clients and the real server say to each other.
// testdata/sessions/README.md explains the files.
func TestGoldenSessions(t *testing.T) {
	files, err := filepath.Glob("../../testdata/sessions/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			s := newSession(t)
			got := s.play(readSession(t, file))
			if *update {
				writeSession(t, file, got)
			}
		})
	}
}

// exchange is one line of a session: a frame that a socket sends or receives, or
// a remark.
type exchange struct {
	socket string // "alice"; "alice/2" is a second socket of the same user
	opens  bool
	sent   bool
	frame  string
	remark string
}

// The line of a session: {"alice+":URL} connects, {"alice>":FRAME} is sent and
// {"alice<":FRAME} received.
var sessionLine = regexp.MustCompile(`^\{"([^"]+)([+<>])":(.*)\}$`)

func readSession(t *testing.T, path string) []exchange {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		if !json.Valid([]byte(line)) {
			t.Fatalf("%s:%d is not JSON", path, number)
		}
		if m := sessionLine.FindStringSubmatch(line); m != nil {
			all = append(all, exchange{socket: m[1], opens: m[2] == "+", sent: m[2] == ">", frame: m[3]})
		} else {
			all = append(all, exchange{remark: line})
		}
	}
	return all
}

func writeSession(t *testing.T, path string, all []exchange) {
	t.Helper()
	var text strings.Builder
	for _, e := range all {
		switch {
		case e.remark != "":
			fmt.Fprintln(&text, e.remark)
		case e.opens:
			fmt.Fprintf(&text, "{\"%s+\":%s}\n", e.socket, e.frame)
		case e.sent:
			fmt.Fprintf(&text, "{\"%s>\":%s}\n", e.socket, e.frame)
		default:
			fmt.Fprintf(&text, "{\"%s<\":%s}\n", e.socket, e.frame)
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// session plays exchanges against a server of its own.
type session struct {
	t       *testing.T
	server  *serverProcess
	names   []string // of the sockets, in the order in which they opened
	sockets map[string]*socket
	ids     []string // ULIDs in the order in which they appeared: <id 1> is the first
}

// socket is one connection; a goroutine that ends with it fills frames.
type socket struct {
	conn   *websocket.Conn
	frames chan string
}

func newSession(t *testing.T) *session {
	return &session{t: t, server: serve(t, t.TempDir()), sockets: map[string]*socket{}}
}

// play sends what was sent and compares what is received, or collects it when
// the session is written anew.
func (s *session) play(script []exchange) (got []exchange) {
	for i, e := range script {
		switch {
		case e.remark != "":
			got = append(got, e)
		case e.opens:
			s.open(e.socket)
			got = append(got, e)
			if *update {
				got = append(got, s.collect(e.socket)...)
			}
		case e.sent:
			if err := s.sockets[e.socket].conn.Write(s.t.Context(), websocket.MessageText, []byte(s.actual(e.frame))); err != nil {
				s.t.Fatalf("line %d: %v", i+1, err)
			}
			got = append(got, e)
			if *update {
				got = append(got, s.collect(e.socket)...)
			}
		case !*update:
			s.expect(i+1, e)
			if strings.Contains(e.frame, `"resumed":`) {
				s.untilTold()
			}
		}
	}
	if !*update {
		s.expectNothing()
	}
	return got
}

// open connects a socket.
// untilTold returns when the server has told others of who has connected, which it does
// beside all else: a later line would otherwise decide who they are.
func (s *session) untilTold() {
	for {
		news, err := (&target{url: s.server.url}).metric(s.t.Context(), `roomlog_queue_length{queue="presence_news"}`)
		if err != nil {
			s.t.Fatal(err)
		}
		if news == 0 {
			return
		}
	}
}

func (s *session) open(name string) {
	conn, _, err := websocket.Dial(s.t.Context(), s.server.url, &websocket.DialOptions{Subprotocols: []string{"roomlog.v1"}})
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	one := &socket{conn, make(chan string, 1024)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, frame, err := conn.Read(context.Background())
			if err != nil {
				if status := websocket.CloseStatus(err); status != -1 {
					one.frames <- fmt.Sprintf(`{"closed":%d}`, status)
				}
				return
			}
			one.frames <- string(frame)
		}
	}()
	s.t.Cleanup(func() { conn.CloseNow(); <-ended })
	s.sockets[name] = one
	s.names = append(s.names, name)
}

// collect takes every frame that arrives until it is quiet, those of first's
// socket first.
func (s *session) collect(first string) (got []exchange) {
	order := append([]string{first}, slices.DeleteFunc(slices.Clone(s.names), func(n string) bool { return n == first })...)
	for _, name := range order {
		for waiting := true; waiting; {
			select {
			case frame := <-s.sockets[name].frames:
				got = append(got, exchange{socket: name, frame: s.normal(frame)})
			case <-time.After(quiet):
				waiting = false
			}
		}
	}
	return got
}

func (s *session) expect(line int, want exchange) {
	s.t.Helper()
	select {
	case frame := <-s.sockets[want.socket].frames:
		if got := s.normal(frame); got != want.frame {
			s.t.Fatalf("line %d: %s got\n  %s\nand not\n  %s", line, want.socket, got, want.frame)
		}
	case <-time.After(patience):
		s.t.Fatalf("line %d: %s did not get\n  %s", line, want.socket, want.frame)
	}
}

// expectNothing makes sure that no socket got more than the session says: the
// next frame of each that is still open is the answer to a last ping.
func (s *session) expectNothing() {
	s.t.Helper()
	for _, name := range s.names {
		one := s.sockets[name]
		if one.conn.Write(s.t.Context(), websocket.MessageText, []byte(`{"id":"end","event":"socket:ping"}`)) != nil {
			continue // closed by the server, as the session says
		}
		select {
		case frame := <-one.frames:
			if !strings.HasPrefix(frame, `{"id":"end"`) {
				s.t.Errorf("%s got one frame too many: %s", name, frame)
			}
		case <-time.After(patience):
			s.t.Errorf("%s got no answer to a ping", name)
		}
	}
}

var (
	ulid        = regexp.MustCompile(`\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b`)
	wireTime    = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	placeholder = regexp.MustCompile(`<(id|token) ([^>]+)>`)
)

// normal replaces what differs from run to run.
func (s *session) normal(frame string) string {
	frame = ulid.ReplaceAllStringFunc(frame, func(id string) string {
		i := slices.Index(s.ids, id)
		if i < 0 {
			i = len(s.ids)
			s.ids = append(s.ids, id)
		}
		return fmt.Sprintf("<id %d>", i+1)
	})
	return wireTime.ReplaceAllString(frame, "<time>")
}

// actual is the reverse of normal, for frames to send.
func (s *session) actual(frame string) string {
	return placeholder.ReplaceAllStringFunc(frame, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		if m[1] == "token" {
			return s.server.token(m[2])
		}
		var n int
		if _, err := fmt.Sscan(m[2], &n); err != nil || n < 1 || n > len(s.ids) {
			s.t.Fatalf("%s has not appeared yet", p)
		}
		return s.ids[n-1]
	})
}
