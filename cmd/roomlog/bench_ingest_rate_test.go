package main

import (
	"encoding/json"
	"io"
	"syscall"
	"testing"
	"time"

	"roomlog/realtime/client"
)

// A pace spreads whole seconds evenly, to the last, without drifting.
func TestPace(t *testing.T) {
	start := time.Now()
	p := pace{start, 2500 * time.Millisecond, 3}
	n := 0
	for ; p.has(n); n++ {
		want := start.Add(time.Duration(n) * time.Second / 3)
		if off := p.due(n).Sub(want).Abs(); off > time.Nanosecond {
			t.Errorf("number %d is due %v from where it should be", n, off)
		}
	}
	if n != 8 {
		t.Errorf("%d are due in 2.5 s at 3 a second, want 8", n)
	}
	year := pace{start, 366 * 24 * time.Hour, 1_000_000}
	if got := year.due(365 * 24 * 3600 * 1_000_000); !got.Equal(start.Add(365 * 24 * time.Hour)) {
		t.Errorf("after a year it is off by %v", got.Sub(start)-365*24*time.Hour)
	}
}

// offered lets one sender of a fresh server offer 60 posts within 300 ms that began
// some time ago. before is called when it is connected.
func offered(t *testing.T, ago time.Duration, before func(*serverProcess)) (*offering, latencies) {
	t.Helper()
	s := serve(t, t.TempDir())
	conn := s.dial("alice", client.Options{})
	before(s)
	m := measure(io.Discard, "test", "acked", 0)
	defer m.finish()
	o := &offering{
		pace: pace{time.Now().Add(-ago), 300 * time.Millisecond, 200}, conns: []*client.Client{conn},
		acks: m.operation("acked"), waiting: m.operation("waiting"),
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.finish()
	return o, m.total()
}

// Whatever keeps posts from being sent in time, each counts from when it was due: of
// 60 that were due from 1 s to 0.7 s ago, all are measured as at least as late as
// that, although the server answers each in a moment. A sender that waits for its ack
// and measures the next would have seen the moments.
func TestOpenLoopCountsFromWhenPostsWereDue(t *testing.T) {
	o, times := offered(t, time.Second, func(*serverProcess) {})
	if acked := o.acks.total().Count; acked != 60 || o.unsent.Load() != 0 || o.unanswered.Load() != 0 {
		t.Errorf("%d acked, %d not sent, %d not answered", acked, o.unsent.Load(), o.unanswered.Load())
	}
	const exact = 0.999 // of the histograms
	for _, c := range []struct {
		name       string
		got, least time.Duration
	}{{"p50", times.P50, 850 * time.Millisecond}, {"p90", times.P90, 970 * time.Millisecond}, {"max", times.Most, time.Second}} {
		if float64(c.got) < exact*float64(c.least) {
			t.Errorf("%s is %v, want at least %v", c.name, c.got, c.least)
		}
	}
}

// A server that has stopped costs no more time than promised, and what it owes is
// counted as far as it has waited: nothing is left out for being too bad to measure.
func TestOpenLoopCountsWhatIsNeverAnswered(t *testing.T) {
	length := 300 * time.Millisecond
	var server *serverProcess
	o, times := offered(t, length+answerWithin-500*time.Millisecond, func(s *serverProcess) {
		server = s
		s.cmd.Process.Signal(syscall.SIGSTOP)
	})
	server.cmd.Process.Signal(syscall.SIGCONT)
	unsent, unanswered := o.unsent.Load(), o.unanswered.Load()
	if unsent+unanswered != 60 || unanswered > underWay || o.acks.total().Count != 0 {
		t.Errorf("%d not sent, %d not answered, %d acked", unsent, unanswered, o.acks.total().Count)
	}
	if times.Count != 60 || times.P50 < answerWithin {
		t.Errorf("%d measured, p50 %v", times.Count, times.P50)
	}
}

// What a server refuses for now is counted by its code, and the others go on.
func TestOpenLoopCountsRefusals(t *testing.T) {
	s := serve(t, t.TempDir(), "--rate-events", "100", "--rate-posts", "5")
	out := good(t, "bench", "ingest", "--server", s.url, "--data", s.dir, "--json",
		"--senders", "4", "--rate", "80", "--duration", "500ms", "--warmup", "0s")
	var figures struct{ Acked, Refused, Refused_rate_limited int }
	if err := json.Unmarshal([]byte(out), &figures); err != nil {
		t.Fatal(err)
	}
	if figures.Acked == 0 || figures.Refused == 0 || figures.Acked+figures.Refused != 40 || figures.Refused_rate_limited != figures.Refused {
		t.Errorf("of 40 posts: %s", out)
	}
}
