package realtime_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"roomlog/realtime"
)

// sheet is a log that is read while it is written.
type sheet struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sheet) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sheet) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A command that panics is answered INTERNAL; its socket and all others go on as if
// nothing was, and the server's log does not say what the client sent.
func TestACommandThatPanics(t *testing.T) {
	defer realtime.Spoil("post:create", "user:posts", "conversation:create", "socket:refresh", "admin:tail")()
	const needle = "nEEdle"
	var log sheet
	g := openGateway(t, func(c *realtime.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	alice, bob := g.user(t, "alice", "moderator"), g.user(t, "bob")
	alice.ask("socket:ping", "{}")
	for i, command := range [][2]string{
		{"post:create", `{"content":"` + needle + `"}`}, // a fact
		{"user:posts", `{"userId":"` + needle + `"}`},   // a query
		{"conversation:create", `{"type":"group","participants":["bob"],"name":"` + needle + `"}`},
		{"socket:refresh", `{"token":"` + needle + `"}`}, // something of the connection
		{"admin:tail", `{"filter":{"actor":"` + needle + `"}}`},
	} {
		alice.text(fmt.Sprintf(`{"id":%d,"event":%q,"data":%s,"key":%q}`, i, command[0], command[1], needle))
		alice.expect(fmt.Sprintf("ack %d INTERNAL", i))
	}
	// Nothing is left under way: a query waits for the socket's facts.
	alice.ask("user:follow", `{"followingId":"bob","action":"follow"}`)
	alice.ask("user:followers", `{"userId":"bob"}`)
	bob.ask("user:followers", `{"userId":"bob"}`)
	said := log.String()
	if n := strings.Count(said, "command panicked"); n != 5 || strings.Contains(said, needle) {
		t.Errorf("%d panics are in the log:\n%s", n, said)
	}
}
