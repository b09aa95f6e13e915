package realtime_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// expectation is a push that sockets in one of the rooms must get. The
// followers in maybe changed during the round, so they may or may not; likewise the
// users in unsure, who were blocked or unblocked.
type expectation struct {
	actor string
	seq   uint64
	event string
	from  string // socket id of the sender, which must not get it
	rooms []string
	maybe []string

	apart, unsure map[string]bool // users whom a block keeps from hearing of the actor
}

// checkPushes holds what each socket was pushed against what it should have been.
func (w *world) checkPushes(applied []eventlog.Record) {
	before := map[[2]string]bool{}
	for edge, on := range w.follows {
		before[edge] = on
	}
	touched, parted := map[[2]string]bool{}, map[[2]string]bool{}
	type posted struct {
		at     int
		author string
	}
	var want []expectation
	var posts []posted
	for _, r := range applied {
		rooms, changed := w.apply(r)
		for _, edge := range changed {
			touched[edge] = true
		}
		if r.Event == "post:create" {
			posts = append(posts, posted{len(want), r.Actor.ID})
		}
		if r.Event == "user:block" {
			parted[w.pairOf(r)] = true
		}
		want = append(want, expectation{actor: r.Actor.ID, seq: r.Seq, event: r.Event, from: r.Socket, rooms: rooms, apart: w.apart(r)})
	}
	for i := range want {
		want[i].notSure(parted)
	}
	for _, p := range posts {
		for _, u := range w.users {
			edge := [2]string{u, p.author}
			switch {
			case touched[edge]:
				want[p.at].maybe = append(want[p.at].maybe, "user:"+u)
			case before[edge]:
				want[p.at].rooms = append(want[p.at].rooms, "user:"+u)
			}
		}
	}
	for _, m := range w.sockets {
		m.check(w.rt, want)
	}
}

func (m *member) check(rt *rapid.T, want []expectation) {
	var must []expectation
	may := map[uint64]bool{}
	for _, e := range want {
		in := func(room string) bool { return m.rooms[room] }
		switch {
		case e.from == m.conn.Hello().SocketID:
		case e.unsure[m.user] && slices.ContainsFunc(e.rooms, in):
			may[e.seq] = true
		case e.apart[m.user]:
		case slices.ContainsFunc(e.rooms, in):
			must = append(must, e)
		case slices.ContainsFunc(e.maybe, in):
			may[e.seq] = true
		}
	}
	certain := func() []schema.Frame {
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.DeleteFunc(slices.Clone(m.pushes), func(f schema.Frame) bool {
			return may[f.Seq] || f.Seq == 0 // presence has no place in the log
		})
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(certain()) < len(must) && time.Now().Before(deadline) {
		_, _ = m.conn.Do(context.Background(), "socket:ping", nil, "")
	}
	// One more round trip: whatever was queued for this socket too much is here now.
	_, _ = m.conn.Do(context.Background(), "socket:ping", nil, "")
	got := certain()
	if len(got) != len(must) {
		rt.Fatalf("%s in %v was pushed %s\nbut should have been %s", m.user, m.rooms, seqs(got), wanted(must))
	}
	for i, e := range must {
		f := got[i]
		if f.Seq != e.seq || f.Event != e.event {
			rt.Fatalf("%s was pushed %s\nbut should have been %s", m.user, seqs(got), wanted(must))
		}
		if !m.rooms[f.Room] {
			rt.Fatalf("%s was pushed %d as of room %s, which it is not in", m.user, f.Seq, f.Room)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 1; i < len(m.pushes); i++ {
		if m.pushes[i].N != m.pushes[i-1].N+1 {
			rt.Fatalf("%s: push n=%d follows n=%d", m.user, m.pushes[i].N, m.pushes[i-1].N)
		}
	}
}

func seqs(frames []schema.Frame) (s string) {
	for _, f := range frames {
		s += fmt.Sprintf(" %d %s", f.Seq, f.Event)
	}
	return s
}

func wanted(want []expectation) (s string) {
	for _, e := range want {
		s += fmt.Sprintf(" %d %s", e.seq, e.event)
	}
	return s
}
