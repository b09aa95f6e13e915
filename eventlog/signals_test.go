package eventlog

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// waitAdmin waits until ADMIN holds at least n records, and says how many it does.
func waitAdmin(t *testing.T, l *Log, n int) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		held := 0
		for r, err := range l.ReadAdmin(context.Background(), 1) {
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			held++
		}
		if held >= n || time.Now().After(deadline) {
			return held
		}
	}
}

// Signals reach every listener of every node at once and in order, and are stored.
func TestSignals(t *testing.T) {
	url := outsideNATS(t)
	embedded := openLog(t, Config{})
	a, b := openLog(t, Config{URL: url}), openLog(t, Config{URL: url})
	for name, pair := range map[string][2]*Log{"embedded": {embedded, embedded}, "two nodes": {a, b}} {
		t.Run(name, func(t *testing.T) {
			const n = 200
			heard := make(chan Record, 2*n)
			for _, l := range pair {
				stop, err := l.OnSignal(func(r Record) { heard <- r })
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
			}
			for i := range n {
				r := post("alice", "")
				r.Event, r.Data, r.Key = "post:join", json.RawMessage(`{"postId":"p"}`), strconv.Itoa(i)
				if err := pair[0].Signal(r); err != nil {
					t.Fatal(err)
				}
			}
			times := make(map[string]int)
			for range 2 * n {
				r := <-heard
				if r.Event != "post:join" || r.Actor.ID != "alice" || r.Socket != "socket-of-alice" || r.Seq != 0 {
					t.Fatalf("heard %+v", r)
				}
				times[r.Key]++
			}
			for key, heard := range times {
				if heard != 2 {
					t.Errorf("signal %s was heard %d times", key, heard)
				}
			}
			stored := 0
			for deadline := time.Now().Add(10 * time.Second); stored < n && time.Now().Before(deadline); {
				stored = 0
				for r, err := range pair[1].ReadSignals(context.Background(), "signals.social.>") {
					if err != nil || r.Key != strconv.Itoa(stored) {
						t.Fatalf("stored signal %d is %+v, %v", stored, r, err)
					}
					stored++
				}
			}
			for r := range pair[1].ReadSignals(context.Background(), "signals.connection.>") {
				t.Errorf("a signal of /connection: %+v", r)
			}
		})
	}
}

func TestSignalsStop(t *testing.T) {
	l := openLog(t, Config{})
	var mu sync.Mutex
	stopped := false
	stop, err := l.OnSignal(func(Record) {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			t.Error("called after stop")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	signal := post("alice", "")
	signal.Event = "post:leave"
	for range 100 {
		if err := l.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	mu.Lock()
	stopped = true
	mu.Unlock()
	for range 100 {
		if err := l.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.OnSignal(func(Record) {}); err != nil { // Close stops this one
		t.Fatal(err)
	}
}

// ADMIN holds the facts of /admin and what is audited, and the audit of a kind
// that is no subject is refused.
func TestAudit(t *testing.T) {
	l := openLog(t, Config{})
	for _, kind := range []string{"", "a.b", "a b", ">", "*", "Parked"} {
		if err := l.Audit(kind, struct{}{}); err == nil {
			t.Errorf("kind %q was taken", kind)
		}
	}
	if err := l.Audit("parked", map[string]int{"seq": 7}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, post("alice", "of no interest to moderators"))
	report := post("bob", "")
	report.Event = "admin:report"
	mustAppend(t, l, report)
	if n := waitAdmin(t, l, 2); n != 2 {
		t.Fatalf("%d records in ADMIN", n)
	}
	var events []string
	for r := range l.ReadAdmin(context.Background(), 1) {
		events = append(events, r.Event)
		if r.Event == "audit:parked" && (string(r.Data) != `{"seq":7}` || r.Time == 0 || len(r.ID) != 26) {
			t.Errorf("the audit is %+v", r)
		}
	}
	if strings.Join(events, " ") != "audit:parked admin:report" {
		t.Errorf("ADMIN holds %v", events)
	}
}
