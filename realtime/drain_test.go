package realtime_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

func metricsOf(t testing.TB, g *gateway) string {
	t.Helper()
	resp, err := http.Get("http://" + g.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	return string(must(io.ReadAll(resp.Body)))
}

func TestDrain(t *testing.T) {
	g := openGateway(t, nil)
	const sockets, facts = 50, 5
	acks := make(chan schema.Frame, sockets*facts)
	var peers []*peer
	for range sockets {
		p := g.connect(t, "alice")
		peers = append(peers, p)
	}
	for _, p := range peers {
		for range facts {
			if err := p.Send("post:create", schema.PostCreate{Content: "last words"}, "", func(f schema.Frame) { acks <- f }); err != nil {
				t.Fatal(err)
			}
		}
		p.do("socket:ping", nil) // the server has read them all
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.server.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	for _, p := range peers {
		closed := p.closedWith(schema.CloseShuttingDown)
		if !closed.Reconnect() || closed.RetryAfter() <= 0 {
			t.Errorf("farewell: %+v", closed.Farewell)
		}
	}
	// Every fact that was read is answered before its socket closes.
	if len(acks) != sockets*facts {
		t.Errorf("%d of %d facts were answered", len(acks), sockets*facts)
	}
	for range len(acks) {
		if f := <-acks; f.Error != nil && f.Error.Code != schema.ShuttingDown {
			t.Errorf("refused with %v", f.Error)
		}
	}
	if _, err := g.dial(t, "bob", client.Options{Token: tokenFor(t, "bob")}); err == nil {
		t.Error("a drained server takes clients")
	}
}

func TestRefusedWhileDraining(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.CloseTimeout = time.Minute })
	lingering := g.user(t, "alice") // does not close its side
	drained := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { drained <- g.server.Drain(ctx) }()
	if got := lingering.next(); got != "push socket:disconnect" {
		t.Fatalf("the socket heard %s", got)
	}
	_, resp := g.handshake(t, goodHandshake)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("upgrade while draining: %s", resp.Status)
	}
	_, resp = g.handshake(t, "GET /readyz HTTP/1.1\r\nHost: $HOST\r\n\r\n")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: %s", resp.Status)
	}
	cancel() // out of time: the rest is cut off
	if err := <-drained; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 sockets") {
		t.Errorf("drain: %v", err)
	}
	if got := lingering.next(); got != "close 4001 shutting down" {
		t.Errorf("the socket got %s", got)
	}
}
