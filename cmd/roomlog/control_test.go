package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// handling reports whether a request for the log is being carried out in this process.
func handling() bool {
	stacks := make([]byte, 4<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "replay.Auditor.Follow(")
}

// A server that closes waits for the requests on its control socket, whose log and
// read models it is about to close: also for one that would never end by itself.
func TestCloseEndsControlRequests(t *testing.T) {
	s, err := NewServer(t.Context(), unlimited(t.TempDir()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx, func() {}) }()
	conn, err := dialUnix(ctx, filepath.Join(s.cfg.Data, controlName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET /replay?filter=%7B%7D&follow=true HTTP/1.1\r\nHost: roomlog\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !handling(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the request was never carried out")
		}
	}
	stop()
	if err := errors.Join(<-served, s.Close()); err != nil {
		t.Error(err)
	}
	if handling() {
		t.Error("the request goes on in a server that is closed")
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
}
