package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// rounds reads how often a test with a long and a short form is to go round.
func rounds(t *testing.T, variable string, short int) int {
	t.Helper()
	text, set := os.LookupEnv(variable)
	if !set {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, not a number of rounds", variable, text)
	}
	return n
}

// sender is one client under load, and all it was told over all its sockets.
type sender struct {
	user string
	sent int      // contents 0..sent-1 were sent, each under a key of its own
	open []string // those that were not acked: the next socket sends them again, first

	mu    sync.Mutex
	acked []ack // in the order of the acks of each socket
}

type ack struct {
	socket  int // the round
	content string
	seq     uint64
	again   bool // acked as a duplicate: stored in an earlier round
}

// inFlight is how many facts a sender pipelines.
const inFlight = 16

// run sends until the connection ends.
func (s *sender) run(round int, c *client.Client) {
	slots := make(chan struct{}, inFlight)
	unacked := map[string]bool{}
	var order []string
	queue := s.open
	for {
		var content string
		if len(queue) > 0 {
			content, queue = queue[0], queue[1:]
		} else {
			content = fmt.Sprintf("%s says %d", s.user, s.sent)
			s.sent++
		}
		order = append(order, content)
		s.mu.Lock()
		unacked[content] = true
		s.mu.Unlock()
		err := c.Send("post:create", schema.PostCreate{Content: content}, content, func(f schema.Frame) {
			if f.Error == nil {
				s.mu.Lock()
				s.acked = append(s.acked, ack{round, content, f.Seq, f.Duplicate})
				delete(unacked, content)
				s.mu.Unlock()
			}
			<-slots
		})
		if err == nil {
			select {
			case slots <- struct{}{}:
				continue
			case <-c.Done():
			}
		}
		<-c.Done()
		s.open = nil
		for _, content := range order {
			if unacked[content] {
				s.open = append(s.open, content)
			}
		}
		s.open = append(s.open, queue...)
		return
	}
}

// A server that is killed at any moment under load has, when it is back, all that
// it acked, once, in the order of the acks; and its read models are those that a
// rebuild makes from the log.
func TestCrashLoop(t *testing.T) {
	dir := t.TempDir()
	senders := make([]*sender, 8)
	for i := range senders {
		senders[i] = &sender{user: fmt.Sprintf("user-%d", i)}
	}
	for round := range rounds(t, "ROOMLOG_CRASH_ROUNDS", 3) {
		loadAndKill(serve(t, dir), senders, round)
	}
	serve(t, dir)
	checkAcked(t, dir, senders)
	checkRebuild(t, dir)
}

// loadAndKill lets the senders load a server and kills it within the next second.
func loadAndKill(s *serverProcess, senders []*sender, round int) {
	var running sync.WaitGroup
	for _, one := range senders {
		c := s.dial(one.user, client.Options{})
		running.Go(func() { one.run(round, c) })
	}
	life := time.Duration(rand.Int64N(int64(700 * time.Millisecond)))
	time.AfterFunc(life, func() { s.cmd.Process.Kill() })
	running.Wait()
	s.kill()
}

// checkRebuild compares the read models with what the log makes of them.
func checkRebuild(t *testing.T, dir string) {
	t.Helper()
	if r := roomlog(t, "rebuild", "--data", dir); r.code != 0 {
		t.Errorf("the read models differ from a rebuild: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// checkAcked compares what senders were told with the log.
func checkAcked(t *testing.T, dir string, senders []*sender) {
	t.Helper()
	stored := map[string]uint64{} // content → where it was applied
	for _, l := range replayed(t, dir, "--event", "post:create") {
		var data schema.PostCreate
		if err := json.Unmarshal(l.Data, &data); err != nil {
			t.Fatal(err)
		}
		switch first, twice := stored[data.Content]; {
		case l.Outcome == "applied" && twice:
			t.Errorf("%q is applied at seq %d and at %d", data.Content, first, l.Seq)
		case l.Outcome == "applied":
			stored[data.Content] = l.Seq
		case l.Outcome == "void:"+string(schema.DuplicateKey) && twice:
		default:
			t.Errorf("%q at seq %d came out as %s", data.Content, l.Seq, l.Outcome)
		}
	}
	total, again := 0, 0
	for _, s := range senders {
		last := ack{socket: -1}
		for _, a := range s.acked {
			if stored[a.content] != a.seq {
				t.Errorf("%q was acked at seq %d; the log has it at %d (0: not at all)", a.content, a.seq, stored[a.content])
			}
			if a.socket == last.socket && a.seq <= last.seq && !a.again {
				t.Errorf("%s was told of seq %d after %d on one socket", s.user, a.seq, last.seq)
			}
			if !a.again {
				last = a
			} else {
				again++
			}
		}
		total += len(s.acked)
	}
	if total == 0 {
		t.Error("nothing was acked at all")
	}
	t.Logf("%d facts acked, %d of them stored before a kill that came before their ack", total, again)
}
