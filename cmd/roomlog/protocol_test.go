package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomlog/realtime"
	"roomlog/schema"
)

const protocol = "../../schema/PROTOCOL.md"

// Every example of the protocol's description is what clients and a real server
// say to each other: the blocks are carried out in their order. A block that names
// flags has a server with these flags, which it shares with others that name the
// same.
//
//	alice opens                 a socket of hers connects
//	alice → {"id":1,…}          it sends a frame
//	alice ← {"id":1,…}          it receives exactly this frame, and this one next;
//	         …}                 a frame may go on in further lines
//	alice ← closed 4001         or a close frame
//	alice is cut off            her connection breaks
//	the server is killed        kill -9, and started again on its data
//	the server is stopped       SIGTERM
//
// <token alice> is a token, <time> any time, <ms> any number; every other <name> is
// the same id wherever it stands.
func TestProtocolExamples(t *testing.T) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	var stages []*stage
	for _, block := range examples(string(text)) {
		i := 0
		for i < len(stages) && stages[i].flags != block.flags {
			i++
		}
		if i == len(stages) {
			stages = append(stages, &stage{
				flags:   block.flags,
				session: session{t: t, server: serve(t, t.TempDir(), strings.Fields(block.flags)...), sockets: map[string]*socket{}},
				bound:   map[string]string{},
			})
		}
		if block.kind == "http" {
			stages[i].exchange(block)
		} else {
			stages[i].play(block)
		}
	}
	for _, s := range stages {
		s.expectNothing()
	}
}

// example is a fenced block of the description.
type example struct {
	kind, flags string
	line        int // of the document, where its text begins
	text        string
}

func examples(document string) (all []example) {
	var open *example
	for i, line := range strings.Split(document, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open != nil:
			if open.kind == "session" || open.kind == "http" {
				all = append(all, *open)
			}
			open = nil
		case isFence:
			kind, flags, _ := strings.Cut(fence, " ")
			open = &example{kind: kind, flags: flags, line: i + 2}
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// stage is a server with its sockets.
type stage struct {
	session
	flags string
	bound map[string]string // placeholder → id
}

// step is one line of a session, with those that it goes on in.
type step struct {
	line       int
	socket, do string
}

func steps(block example) (all []step) {
	for i, line := range lines(block.text) {
		if strings.HasPrefix(line, " ") {
			all[len(all)-1].do += strings.TrimSpace(line)
			continue
		}
		socket, do, _ := strings.Cut(line, " ")
		all = append(all, step{block.line + i, socket, strings.TrimSpace(do)})
	}
	return all
}

func (s *stage) play(block example) {
	s.t.Helper()
	for _, step := range steps(block) {
		verb, frame, _ := strings.Cut(step.do, " ")
		switch verb {
		case "opens":
			s.close(step.socket)
			s.open(step.socket)
		case "→":
			if err := s.sockets[step.socket].conn.Write(s.t.Context(), websocket.MessageText, []byte(s.filled(frame))); err != nil {
				s.t.Fatalf("line %d: %v", step.line, err)
			}
		case "←":
			s.hear(step, frame)
		case "is":
			s.close(step.socket)
		case "server":
			s.end(strings.TrimPrefix(frame, "is "))
		default:
			s.t.Fatalf("line %d: what is %q?", step.line, step.do)
		}
	}
}

// close breaks a socket's connection, if there is one.
func (s *stage) close(name string) {
	if one := s.sockets[name]; one != nil {
		one.conn.CloseNow()
		delete(s.sockets, name)
		s.names = remove(s.names, name)
	}
}

func remove(names []string, name string) (left []string) {
	for _, n := range names {
		if n != name {
			left = append(left, n)
		}
	}
	return left
}

func (s *stage) end(how string) {
	s.t.Helper()
	switch how {
	case "killed":
		s.server.kill()
		for len(s.names) > 0 {
			s.close(s.names[0])
		}
		s.server = serve(s.t, s.server.dir, strings.Fields(s.flags)...)
	case "stopped":
		go s.server.cmd.Process.Signal(syscall.SIGTERM)
	default:
		s.t.Fatalf("the server cannot be %s", how)
	}
}

func (s *stage) hear(at step, want string) {
	s.t.Helper()
	if code, closed := strings.CutPrefix(want, "closed "); closed {
		code, _, _ = strings.Cut(code, " ")
		want = `{"closed":` + code + `}`
	}
	select {
	case got := <-s.sockets[at.socket].frames:
		if !s.matches(want, got) {
			s.t.Errorf("line %d: %s got\n  %s\nand not\n  %s", at.line, at.socket, got, want)
		}
	case <-time.After(patience):
		s.t.Fatalf("line %d: %s did not get\n  %s", at.line, at.socket, want)
	}
}

var named = regexp.MustCompile(`<[a-z][a-z 0-9'-]*>`)

// filled replaces the placeholders of what is sent.
func (s *stage) filled(text string) string {
	return named.ReplaceAllStringFunc(text, func(name string) string {
		if user, ok := strings.CutPrefix(name, "<token "); ok {
			return s.server.token(strings.TrimSuffix(user, ">"))
		}
		id, known := s.bound[name]
		if !known {
			s.t.Fatalf("%s has not appeared yet", name)
		}
		return id
	})
}

// matches compares, and gives new placeholders their ids.
func (s *stage) matches(want, got string) bool {
	var pattern strings.Builder
	var groups []string
	rest := want
	for {
		at := named.FindStringIndex(rest)
		if at == nil {
			break
		}
		name := rest[at[0]:at[1]]
		pattern.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		rest = rest[at[1]:]
		switch id, known := s.bound[name]; {
		case name == "<time>":
			pattern.WriteString(wireTime.String())
		case name == "<ms>":
			pattern.WriteString(`[0-9]+`)
		case known:
			pattern.WriteString(id)
		default:
			pattern.WriteString("(" + ulid.String() + ")")
			groups = append(groups, name)
		}
	}
	pattern.WriteString(regexp.QuoteMeta(rest))
	found := regexp.MustCompile("^" + pattern.String() + "$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range groups {
		if known := s.bound[name]; known != "" && known != found[i+1] {
			return false
		}
		s.bound[name] = found[i+1]
	}
	return true
}

// exchange sends a request as it stands, up to its empty line, and compares the
// answer: the status line, the headers that are named, and the body. The connection
// stays open.
func (s *stage) exchange(block example) {
	s.t.Helper()
	request, want, _ := strings.Cut(block.text, "\n\n")
	conn, err := net.Dial("tcp", s.server.address())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, strings.ReplaceAll(s.filled(request), "\n", "\r\n")+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("line %d: %v", block.line, err)
	}
	defer response.Body.Close()
	head, wantBody, _ := strings.Cut(strings.TrimSuffix(want, "\n"), "\n\n")
	for i, line := range strings.Split(head, "\n") {
		got := response.Proto + " " + response.Status
		if name, _, isHeader := strings.Cut(line, ": "); isHeader && i > 0 {
			got = name + ": " + response.Header.Get(name)
		}
		if !s.matches(line, got) {
			s.t.Errorf("block at line %d: got\n  %s\nand not\n  %s", block.line, got, line)
		}
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		s.t.Fatal(err)
	}
	if got := strings.TrimSpace(body.String()); got != wantBody {
		s.t.Errorf("block at line %d: got\n  %s\nand not\n  %s", block.line, got, wantBody)
	}
}

// The numbers of the description are those of the code.
func TestProtocolLimits(t *testing.T) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	_, limits, _ := strings.Cut(string(text), "\n## Limits\n")
	limits, _, _ = strings.Cut(limits, "\n## ")
	d := realtime.Defaults()
	for what, number := range map[string]any{
		"connections to a server":                                                d.MaxConnections,
		"connections of one user":                                                d.MaxSocketsPerUser,
		"rooms of a socket":                                                      d.MaxRoomsPerSocket,
		"bytes of a message from a client":                                       d.MaxFrameBytes,
		"nesting of its JSON":                                                    schema.MaxDepth,
		"bytes of an `id`, as written":                                           schema.MaxIDLength,
		"characters of a `key`":                                                  schema.MaxKeyLength,
		"commands of a socket":                                                   fmt.Sprintf("%d in %s", d.RateEvents, inWords(d.RateWindow)),
		"connections of one address (IPv6: /64)":                                 d.MaxPerAddress,
		"commands of a user, over all sockets":                                   fmt.Sprintf("%d in %s", d.RateUserEvents, inWords(d.RateWindow)),
		"posts, comments and shares of a user":                                   fmt.Sprintf("%d in %s", d.RatePosts, inWords(d.RateWindow)),
		"reports of a user":                                                      fmt.Sprintf("%d in %s", d.RateReports, inWords(d.RateWindow)),
		"sockets that a user connects":                                           fmt.Sprintf("%d in %s", d.RateConnects, inWords(d.RateWindow)),
		"connections and HTTP requests of one address":                           fmt.Sprintf("%d in %s", d.RateUpgrades, inWords(d.RateWindow)),
		"pings and pongs of a socket":                                            fmt.Sprintf("%d in 60 s", d.RateControls),
		"for a message, from its first byte to its last":                         inWords(d.MessageTimeout),
		"facts that wait for their ack":                                          d.MaxFactsInFlight,
		"facts of all that wait for their ack, and queries that are carried out": d.MaxWaiting,
		"frames queued for a socket":                                             d.MaxQueuedFrames,
		"bytes queued for a socket":                                              d.MaxQueuedBytes,
		"missed pushes that are told again":                                      d.MaxResume,
		"resumes being read from the log at once":                                d.MaxResumesAtOnce,
		"HTTP request, until its headers are read":                               inWords(d.HandshakeTimeout),
		"from the upgrade to `socket:connect`":                                   inWords(d.ConnectTimeout),
		"between pings":                                                          inWords(d.PingInterval),
		"from a ping to its pong":                                                inWords(d.PongTimeout),
		"for one write, to a socket that does not read":                          inWords(d.WriteTimeout),
		"for the client's part of the closing handshake":                         inWords(d.CloseTimeout),
		"from a user's last socket to `user:offline`":                            inWords(d.PresenceGrace),
		"for a shutdown, with all that was accepted acked":                       inWords(d.DrainTimeout),
	} {
		if row := fmt.Sprintf("| %s | %v |", what, number); !strings.Contains(limits, row) {
			t.Errorf("the limits have no row %s", row)
		}
	}
}

func inWords(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

// The generated parts are those of this build.
func TestProtocolIsFresh(t *testing.T) {
	committed, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	made, err := schema.Reference(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, committed) {
		t.Error("schema/PROTOCOL.md is stale: run go generate ./schema")
	}
}
