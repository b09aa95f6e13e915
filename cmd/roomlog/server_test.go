package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// A server whose read models fail says so first, although no drain can be complete
// then.
func TestRunSaysWhatStoppedIt(t *testing.T) {
	cfg := unlimited(t.TempDir())
	cfg.DrainTimeout = 50 * time.Millisecond
	s, err := NewServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- s.Run(context.Background(), func() { close(ready) }) }()
	<-ready
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: roomlog\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	status := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(conn, status); err != nil || !strings.HasSuffix(string(status), " 101") {
		t.Fatalf("%s, %v", status, err) // and then nothing: it takes no leave
	}

	if err := s.models.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = s.log.AppendWait(t.Context(), eventlog.Record{ // which closed read models cannot apply
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "post:create",
		Actor: schema.Actor{ID: "alice", Username: "alice"}, Data: []byte(`{"content":"hello"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = <-served
	if err == nil || !strings.HasPrefix(err.Error(), "the read models stopped: ") || !strings.Contains(err.Error(), "1 sockets") {
		t.Errorf("it stopped with: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
