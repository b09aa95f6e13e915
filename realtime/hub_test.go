package realtime

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"

	"roomlog/schema"
)

// TestRoomsAgainstSets holds the hub against plain sets after random histories of
// sockets that join, leave and end, and pushes to several rooms at once.
func TestRoomsAgainstSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHub()
		sockets := map[string]*session{}
		rooms := map[string]map[string]bool{} // room → socket ids
		roomName := rapid.SampledFrom([]string{"post:A", "post:B", "post:C", "user:alice", "public"})
		anyone := func(t *rapid.T) *session {
			ids := slices.Sorted(func(yield func(string) bool) {
				for id := range sockets {
					if !yield(id) {
						return
					}
				}
			})
			return sockets[rapid.SampledFrom(ids).Draw(t, "socket")]
		}
		opened := 0
		open := func(*rapid.T) {
			opened++
			s := quietSession(fmt.Sprintf("socket-%d", opened))
			sockets[s.id], h.sockets[s.id] = s, s
		}
		open(t)        // there is always someone
		const most = 3 // rooms a socket
		t.Repeat(map[string]func(*rapid.T){
			"open": open,
			"join": func(t *rapid.T) {
				s, room := anyone(t), roomName.Draw(t, "room")
				in := 0
				for _, members := range rooms {
					if members[s.id] {
						in++
					}
				}
				want := rooms[room][s.id] || in < most
				if got, _ := h.join(s, room, 0, most); got != want {
					t.Fatalf("%s joins %s: %v, want %v", s.id, room, got, want)
				}
				if want {
					if rooms[room] == nil {
						rooms[room] = map[string]bool{}
					}
					rooms[room][s.id] = true
				}
			},
			"leave": func(t *rapid.T) {
				s, room := anyone(t), roomName.Draw(t, "room")
				if got := h.part(s, room); got != rooms[room][s.id] {
					t.Fatalf("%s leaves %s: %v", s.id, room, got)
				}
				delete(rooms[room], s.id)
			},
			"end": func(t *rapid.T) {
				s := anyone(t)
				if len(sockets) == 1 {
					return
				}
				for _, at := range s.seats {
					h.stand(at)
				}
				s.seats = nil
				delete(h.sockets, s.id)
				delete(sockets, s.id)
				for _, members := range rooms {
					delete(members, s.id)
				}
			},
			"push": func(t *rapid.T) {
				origin := anyone(t)
				to := rapid.SliceOfN(roomName, 1, 4).Draw(t, "rooms")
				h.deliver(1, []delivery{{event: "post:like", seq: 1, rooms: to, origin: origin.id}}, nil)
				for id, s := range sockets {
					first := slices.IndexFunc(to, func(room string) bool { return rooms[room][id] })
					var heard []byte
					if s.out.queued != nil {
						heard = s.out.queued.bytes
						s.out.forget()
					}
					switch {
					case first < 0 || id == origin.id:
						if len(heard) > 0 {
							t.Fatalf("%s heard %s", id, heard)
						}
					case bytes.Count(heard, []byte(`"event"`)) != 1 || !bytes.Contains(heard, []byte(`"room":"`+to[first]+`"`)):
						t.Fatalf("%s heard %q, want it once as of %s", id, heard, to[first])
					}
				}
			},
			"": func(t *rapid.T) {
				for name, r := range h.rooms {
					if len(r.members) == 0 || len(r.members) != len(rooms[name]) {
						t.Fatalf("%s has %d members, want %d", name, len(r.members), len(rooms[name]))
					}
					for i, s := range r.members {
						if at := s.seats[s.seatIn(name)]; at.room != r || at.place != i {
							t.Fatalf("%s sits at %d of %s, not at %d", s.id, i, name, at.place)
						}
					}
				}
			},
		})
	})
}

// quietSession is a socket whose queue is never written.
func quietSession(id string) *session {
	cfg := Defaults()
	s := &session{id: id, chosen: ^namespaces(0)}
	s.out.limits, s.out.heavy = &cfg, new(heavy)
	s.out.writing = true
	return s
}

// A participant who was removed and added again may be back in the room before the
// pushes of their removal are delivered: these are of an earlier time.
func TestWhoIsBackInARoomIsNotEvictedByAnEarlierRecord(t *testing.T) {
	h := newHub()
	was, back := quietSession("was there"), quietSession("is back")
	for s, since := range map[*session]uint64{was: 1, back: 7} {
		s.identity.Store(&Identity{Actor: schema.Actor{ID: "alice"}})
		h.sockets[s.id] = s
		h.join(s, "conversation:A", since, 1)
	}
	h.deliver(5, []delivery{{event: "conversation:update", seq: 5, rooms: []string{"conversation:A"}, evicted: []string{"alice"}}}, nil)
	if h.isIn(was, "conversation:A") || !h.isIn(back, "conversation:A") {
		t.Errorf("in the room: the one who was there %v, the one who is back %v", h.isIn(was, "conversation:A"), h.isIn(back, "conversation:A"))
	}
}

func TestSlowSocketsAreNamedAndOthersToldAll(t *testing.T) {
	h := newHub()
	slow, fast := quietSession("slow"), quietSession("fast")
	slow.out.limits.MaxQueuedFrames = 2
	for _, s := range []*session{slow, fast} {
		h.sockets[s.id] = s
		h.join(s, schema.RoomPublic, 0, 1)
	}
	for i := 1; i <= 3; i++ {
		out := h.deliver(0, []delivery{{event: "post:like", rooms: []string{schema.RoomPublic}}}, nil)
		if i <= 2 && (out.count != 2 || out.slow != nil) || i == 3 && (out.count != 1 || len(out.slow) != 1 || out.slow[0] != slow) {
			t.Errorf("push %d: told %d, too slow %v", i, out.count, out.slow)
		}
	}
	slow.out.seal(nil, nil, true)
	if slow.out.pushes != 0 || slow.out.waiting.frames != 1 {
		t.Errorf("after dropping what was never written, n is %d and %d frames wait, want the close frame alone", slow.out.pushes, slow.out.waiting.frames)
	}
}

func TestFactsUpToTheConnectAckAreNotPushed(t *testing.T) {
	h := newHub()
	s := quietSession("alice's phone")
	s.since = 5
	h.sockets[s.id] = s
	h.join(s, "user:alice", 0, 1)
	for _, c := range []struct {
		seq  uint64
		told int
	}{{4, 0}, {5, 0}, {6, 1}, {0, 1}} { // 0: a signal, which has no place in the log
		if told := h.deliver(c.seq, []delivery{{event: "post:like", seq: c.seq, rooms: []string{"user:alice"}}}, nil).count; told != c.told {
			t.Errorf("connected at 5, told of %d: %d", c.seq, told)
		}
	}
}

func TestATokenIsLookedAtWithEveryCommand(t *testing.T) {
	s := quietSession("s")
	s.joined.Store(true)
	now := time.Now()
	s.identity.Store(&Identity{Expires: now})
	event, _ := schema.Lookup("post:create")
	if refusal := s.authorise(event, now.Add(-time.Millisecond)); refusal != nil {
		t.Errorf("before it ends: %v", refusal)
	}
	if refusal := s.authorise(event, now); refusal == nil || refusal.Code != schema.TokenExpired {
		t.Errorf("from its end on: %v", refusal)
	}
}

// A socket is let into a room by what the read models said at one place: records
// before it, delivered later, are not for it; and whoever was made to leave since
// does not come in.
func TestARoomIsEnteredAsOfAPlace(t *testing.T) {
	h := newHub()
	s := quietSession("bob's phone")
	s.identity.Store(&Identity{Actor: schema.Actor{ID: "bob"}})
	h.sockets[s.id] = s
	push := func(seq uint64) delivery {
		return delivery{event: "message:send", seq: seq, rooms: []string{"conversation:C"}}
	}
	if joined, _ := h.join(s, "conversation:C", 10, 9); !joined {
		t.Fatal("not let in")
	}
	for seq, want := range map[uint64]int{9: 0, 10: 0, 11: 1} {
		if told := h.deliver(seq, []delivery{push(seq)}, nil).count; told != want {
			t.Errorf("let in as of 10, told of %d: %d", seq, told)
		}
	}
	removal := push(12)
	removal.evicted = []string{"bob"}
	if told := h.deliver(12, []delivery{removal}, nil).count; told != 1 {
		t.Error("not told of being removed")
	}
	if told := h.deliver(13, []delivery{push(13)}, nil).count; told != 0 {
		t.Error("told of what came after the removal")
	}
	if joined, stale := h.join(s, "conversation:C", 11, 9); joined || !stale {
		t.Error("let in again by what was true before the removal")
	}
	if joined, _ := h.join(s, "conversation:C", 12, 9); !joined {
		t.Error("not let in by what is true after it")
	}
}

// A push is encoded once a room: to tell a thousand sockets takes no more memory than
// to tell one, but for their queues' own.
func TestPushesAreEncodedOnceARoom(t *testing.T) {
	allocations := func(sockets int) float64 {
		h := newHub()
		var all []*session
		for i := range sockets {
			s := quietSession(fmt.Sprint("socket-", i))
			h.sockets[s.id] = s
			h.join(s, schema.RoomPublic, 0, 1)
			s.out.queued = &buffer{bytes: make([]byte, 0, 4<<10)}
			all = append(all, s)
		}
		told := 0
		push := []delivery{{event: "post:like", seq: 1, data: []byte(`{"likesCount":1}`), rooms: []string{schema.RoomPublic}}}
		count := testing.AllocsPerRun(10, func() {
			for _, s := range all {
				s.out.queued.bytes, s.out.waiting = s.out.queued.bytes[:0], load{}
			}
			told += h.deliver(1, push, nil).count
		})
		if told != 11*sockets {
			t.Errorf("told %d times, want %d", told, 11*sockets)
		}
		return count
	}
	if one, thousand := allocations(1), allocations(1000); one == 0 || one != thousand {
		t.Errorf("%v allocations for one socket, %v for a thousand", one, thousand)
	}
}

// The writers of more sockets than a few are not all started at once, but listed, each
// once; what is sent to one of them alone does not wait.
func TestTheWritersOfALargeFanOutAreListed(t *testing.T) {
	for _, sockets := range []int{fewSockets, fewSockets + 1} {
		h := newHub()
		var writing sync.WaitGroup
		var all []*session
		for i := range sockets {
			s := quietSession(fmt.Sprint("socket-", i))
			ours, theirs := net.Pipe()
			theirs.Close() // writes fail: the writers end
			s.out.conn, s.out.flusher, s.out.writing = ours, &writing, false
			h.sockets[s.id] = s
			h.join(s, schema.RoomPublic, 0, 1)
			all = append(all, s)
		}
		push := []delivery{{event: "post:like", rooms: []string{schema.RoomPublic}}}
		first, second := h.deliver(0, push, nil), h.deliver(0, push, nil)
		want := 0
		if sockets > fewSockets {
			want = sockets
			if all[0].out.writing {
				t.Error("a writer is started already")
			}
			all[0].out.send(ws.OpText, nil)
		}
		if len(first.starts.queues) != want || len(second.starts.queues) != 0 {
			t.Errorf("of %d sockets %d are listed, and %d again; want %d and none", sockets, len(first.starts.queues), len(second.starts.queues), want)
		}
		writing.Wait() // also for the one that was sent something
		if want > 0 && (all[0].out.queued != nil || all[1].out.queued == nil) {
			t.Error("what is sent to one alone waits, or others do not")
		}
		first.starts.startInTurn()
		writing.Wait()
		for _, s := range all {
			if s.out.queued != nil {
				t.Fatalf("%s was not written", s.id)
			}
		}
	}
}
