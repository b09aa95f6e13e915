package realtime

import (
	"testing"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// A user may be suspended, or made to leave a room, between the read models' answer
// and the socket's entry: then that answer says nothing, and is asked for again.
func TestWhoIsSuspendedMeanwhileIsNotLetIn(t *testing.T) {
	server := &Server{hub: newHub()}
	s := quietSession("eve's phone")
	s.server = server
	s.identity.Store(&Identity{Actor: schema.Actor{ID: "eve"}})
	server.hub.sockets[s.id] = s
	server.cfg.MaxSocketsPerUser = 1
	stale := func(e entry) bool {
		_, stale, refusal := s.takeSeats(e)
		if refusal != nil {
			t.Fatal(refusal)
		}
		return stale
	}
	server.hub.deliver(7, []delivery{{event: "admin:suspend", seq: 7, suspended: "eve"}}, nil)
	server.hub.deliver(9, []delivery{{event: "conversation:remove-participant", seq: 9, rooms: []string{"conversation:A"}, evicted: []string{"eve"}}}, nil)
	for _, e := range []entry{{checked: 6}, {checked: 7, asOf: 8}} {
		if !stale(e) || s.joined.Load() {
			t.Errorf("let in as of %d, with rooms of %d, though suspended at 7 and evicted at 9", e.checked, e.asOf)
		}
	}
	live := func(schema.Connected) {}
	if stale(entry{checked: 7, asOf: 9, resuming: &resume{limits: &server.cfg}, live: live}) || !s.joined.Load() {
		t.Error("what was found good after all of it does not count")
	}
}

func TestSocketsThatHaveEndedTakeNoSeats(t *testing.T) {
	server := &Server{hub: newHub()}
	s := quietSession("gone")
	s.server = server
	s.identity.Store(&Identity{Actor: schema.Actor{ID: "alice"}})
	server.cfg.MaxSocketsPerUser = 1
	if _, _, refusal := s.takeSeats(entry{live: func(schema.Connected) {}, resuming: &resume{limits: &server.cfg}}); refusal == nil || refusal.Code != schema.ShuttingDown {
		t.Errorf("a socket that has ended: %v", refusal)
	}
	if joined, stale := server.hub.join(s, "post:A", 0, 1); !joined || stale || len(server.hub.rooms) > 0 {
		t.Errorf("it joins a room: %v, %v; rooms %v", joined, stale, server.hub.rooms)
	}
}

// Notifications that arrive while a socket comes back wait until it was told what it
// missed; a socket that does not take them is too slow.
func TestNotificationsOfASocketThatComesBack(t *testing.T) {
	s := &Server{hub: newHub()}
	c := comingBack(&s.hub)
	c.session.server = s
	s.hub.users["alice"] = &user{room: s.hub.rooms["user:alice"]}
	note := func(seq uint64) told {
		n := projections.Note{User: "alice", New: []schema.Notification{{ID: eventlog.NewID(auditStart)}}, Count: -1}
		return s.hub.deliver(seq, nil, notesOf(&eventlog.Record{Seq: seq}, []projections.Note{n}))
	}
	c.resuming.holding = true
	if out := note(6); out.count != 0 || c.queuedPushes() != "" {
		t.Error("told at once")
	}
	if live, slow := c.nowLive(&missed{upTo: 5}, 2); !live || slow {
		t.Fatal("not live, though 6 is held")
	}
	if got, want := c.queuedPushes(), "socket:resumed 5, notification:new 6"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if out := note(7); out.count != 1 || len(out.slow) != 0 {
		t.Errorf("a live socket: %+v", out)
	}
	c.session.out.limits.MaxQueuedFrames = 0
	if out := note(8); out.count != 0 || len(out.slow) != 1 {
		t.Errorf("a socket whose queue is full: %+v", out)
	}
}
