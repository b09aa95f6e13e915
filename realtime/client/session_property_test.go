package client_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// heard writes down what a session tells its app.
type heard struct {
	mu     sync.Mutex
	pushes []uint64 // seqs
	acks   []uint64 // seqs of first acks
}

func (h *heard) push(f schema.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pushes = append(h.pushes, f.Seq)
}

func (h *heard) ack(f schema.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !f.Duplicate {
		h.acks = append(h.acks, f.Seq)
	}
}

// A session that is cut at random places, so also between a fact's commit and its
// ack, and while it catches up: each fact is carried out once and acked once, and
// the app hears of each record once, in order, as a push or as its own ack.
func TestSessionLosesNothingWhereverItIsCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cuts := rapid.SliceOfN(rapid.IntRange(1, 25), 0, 12).Draw(rt, "cuts")
		facts := rapid.IntRange(1, 20).Draw(rt, "facts")
		others := rapid.IntRange(0, 20).Draw(rt, "others")
		pipelined := rapid.Bool().Draw(rt, "pipelined")
		if err := cutSession(t, cuts, facts, others, pipelined); err != nil {
			rt.Fatal(err)
		}
	})
}

// The same with one cut, at each place there is.
func TestSessionLosesNothingAtAnyFrame(t *testing.T) {
	for steps := range 45 {
		if err := cutSession(t, []int{100, steps + 1, 3}[min(1, steps%2):], 8, 5, steps%3 == 0); err != nil {
			t.Fatalf("cut after %d steps: %v", steps, err)
		}
	}
}

func cutSession(t testing.TB, cuts []int, facts, others int, pipelined bool) error {
	s := serveLog(t, cuts...)
	var h heard
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	o := sessionOptions()
	o.OnPush = h.push
	var session *client.Session
	for session == nil { // the first connections may be cut too soon
		var err error
		if session, err = client.Open(ctx, s.URL, o); ctx.Err() != nil {
			return err
		}
	}
	defer session.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range others {
			s.add(fmt.Sprint("other ", i))
		}
	})
	failed := make(chan error, facts)
	var acks sync.WaitGroup
	acks.Add(facts)
	for i := range facts {
		data := map[string]int{"fact": i}
		taken := func(f schema.Frame, err error) {
			defer acks.Done()
			if h.ack(f); err != nil {
				failed <- err
			}
		}
		if !pipelined {
			taken(session.Do(ctx, "post:create", data))
		} else if err := session.Send("post:create", data, "", taken); err != nil {
			return err
		}
	}
	acks.Wait()
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	for ctx.Err() == nil && session.Position().Seq < uint64(s.head()) {
		session.Do(ctx, "socket:ping", nil) // it answers once it is live
	}
	session.Close()
	return h.check(s, facts)
}

func (h *heard) check(s *logServer, facts int) error {
	var committed []string
	for _, e := range s.log {
		if e.fromUs {
			committed = append(committed, string(e.data))
		}
	}
	for i := range facts {
		if want := string(encode(map[string]int{"fact": i})); len(committed) != facts || committed[i] != want {
			return fmt.Errorf("the log has %q, not %d facts in order", committed, facts)
		}
	}
	if !slices.IsSorted(h.pushes) {
		return fmt.Errorf("pushes %d are not in order", h.pushes)
	}
	all := slices.Sorted(slices.Values(slices.Concat(h.pushes, h.acks)))
	for i := range s.log {
		if len(all) != len(s.log) || all[i] != uint64(i+1) {
			return fmt.Errorf("heard %d as pushes and %d as acks of %d records", h.pushes, h.acks, len(s.log))
		}
	}
	return nil
}

// sessionOptions have a token source, and waits that do not slow tests down.
func sessionOptions() client.SessionOptions {
	return client.SessionOptions{
		Token:      func(context.Context) (string, error) { return "tok", nil },
		MinBackoff: time.Millisecond,
		MaxBackoff: 5 * time.Millisecond,
	}
}
