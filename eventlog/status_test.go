package eventlog

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The streams are as large by their files as the server says.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	empty, err := l.Streams(t.Context())
	if err != nil || len(empty) != 3 || empty[0] != (StreamStatus{Name: "EVENTS"}) {
		t.Fatalf("an empty log has %+v, %v", empty, err)
	}
	fill(t, l, posts(300))
	for range 5 {
		if err := l.Audit("parked", map[string]int{"seq": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	live, err := l.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events, admin := live[0], live[2]
	if events.Messages != 300 || events.First != 1 || events.Last != 300 || events.Bytes < 300*300 || admin.Name != "ADMIN" {
		t.Errorf("live: %+v", live)
	}
	l.settleAudits()
	if live, err = l.Streams(t.Context()); err != nil || live[2].Messages != 5 {
		t.Errorf("live: %+v, %v", live, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := OpenFiles(Config{Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if got, err := files.Streams(t.Context()); err != nil || !slices.Equal(got, live) {
		t.Errorf("by its files: %+v, %v\nlive: %+v", got, err, live)
	}
	if files.Refusal() == nil {
		t.Error("a log that is open for reading takes records")
	}
}

// While an outside NATS server is away the log says so, also to Prometheus, and is
// well again when it is back.
func TestRefusalOfAnOutsideServer(t *testing.T) {
	dir := t.TempDir()
	where, stop := startNATS(t, -1, dir)
	registry := prometheus.NewRegistry()
	l := openLog(t, Config{URL: where, Registerer: registry})
	if err := l.Refusal(); err != nil {
		t.Fatal(err)
	}
	stop()
	l.outside.forget()
	if err := l.Refusal(); err == nil || !strings.Contains(err.Error(), "does not answer for stream EVENTS") {
		t.Errorf("while it is away: %v", err)
	}
	if v := gaugeOf(t, registry, "roomlog_log_refusing"); v != 1 {
		t.Errorf("roomlog_log_refusing is %v", v)
	}
	at, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	startNATS(t, port, dir)
	deadline := time.Now().Add(20 * time.Second)
	for l.Refusal() != nil { // waits for the client, which comes back by itself
		if time.Now().After(deadline) {
			t.Fatal("it is back, and the log does not notice")
		}
		l.outside.forget()
	}
}

// forget has the next question asked anew.
func (o *outside) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = time.Time{}
}

func gaugeOf(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
