package realtime

import (
	"context"
	"slices"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// maxRemembered is how many users who left are remembered with when they were
// last seen, about 100 bytes each. Of others the read models know when they last
// did something.
const maxRemembered = 100_000

// maxLeaving is how many departures wait for the end of the grace period, about 200
// bytes each. With more that of the first one ends early.
const maxLeaving = 100_000

// user is someone with at least one socket, or whose last one closed less than
// the grace period ago. Guarded by hub.mu.
type user struct {
	actor     schema.Actor
	room      *room       // of the user's sockets; nil during the grace period
	left      schema.Time // when the last socket closed; 0 while one is open
	announced bool        // others were told that the user is online
	gone      bool        // the grace period is over
	changed   bool        // it is in presence.changed

	sender sender // guarded by the gates

	resumed      int       // missed pushes sent again since resumesSince
	resumesSince time.Time // at most a minute ago, or resumed means nothing
}

// presence tells connected users who comes and goes, of those whom they follow or
// talk with. Several sockets of one user are one presence; a user who is back
// within the grace period never left.
//
// The lists are guarded by hub.mu; one goroutine (runPresence) does the telling, so that
// nobody hears of someone's going before the coming.
type presence struct {
	changed  []string               // users to look at again, each once
	leaving  []departure            // users in their grace period, the oldest first
	lastSeen map[string]schema.Time // users who left
	wake     chan struct{}          // has room for one: changed is not empty
}

type departure struct {
	user string
	at   schema.Time
}

func newPresence() presence {
	return presence{lastSeen: make(map[string]schema.Time), wake: make(chan struct{}, 1)}
}

// look asks runPresence to look at the user again, hub.mu held.
func (p *presence) look(id string, u *user) {
	if u == nil || u.changed {
		return
	}
	u.changed = true
	p.changed = append(p.changed, id)
	p.rouse()
}

func (p *presence) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *presence) remember(user string, at schema.Time) {
	if at <= p.lastSeen[user] {
		return
	}
	if len(p.lastSeen) >= maxRemembered {
		for anyone := range p.lastSeen {
			delete(p.lastSeen, anyone)
			break
		}
	}
	p.lastSeen[user] = at
}

// arrive notes the socket of a user, hub.mu held: the socket is in the user's room.
func (s *Server) arrive(actor schema.Actor, r *room) *user {
	id := actor.ID
	u := s.hub.users[id]
	if u == nil {
		u = &user{}
		s.hub.users[id] = u
		s.hub.arrived.add(id, len(s.hub.users))
		s.presence.look(id, u)
	}
	u.actor, u.room, u.left, u.gone = actor, r, 0, false
	return u
}

// depart notes that a user's last socket closed, hub.mu held.
func (s *Server) depart(id string, at schema.Time) {
	u := s.hub.users[id]
	u.room, u.left = nil, at
	s.presence.remember(id, at)
	p := &s.presence
	if len(p.leaving) >= maxLeaving {
		s.goes(p.leaving[0])
		p.leaving = p.leaving[1:]
	}
	p.leaving = append(p.leaving, departure{id, at})
}

// goes ends the grace period of who departed and is not back, hub.mu held. It is said
// once and for all: a clock that is set back must not keep them online.
func (s *Server) goes(d departure) {
	if u := s.hub.users[d.user]; u != nil && u.left == d.at {
		u.gone = true
		s.presence.look(d.user, u)
	}
}

// endGrace ends the grace periods whose time is over.
func (s *Server) endGrace(now schema.Time) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	p := &s.presence
	due := 0
	for due < len(p.leaving) && p.leaving[due].at+schema.Time(s.cfg.PresenceGrace.Milliseconds()) <= now {
		s.goes(p.leaving[due])
		due++
	}
	p.leaving = slices.Delete(p.leaving, 0, due)
}

// presenceOf answers for one user, as the viewer may see it: someone blocked, or
// who blocks the viewer, looks like someone never seen.
func (s *Server) presenceOf(v *projections.View, viewer, id string) schema.Presence {
	answer := schema.Presence{UserID: id}
	if v.Blocked(viewer, id) {
		return answer
	}
	seen, known := v.LastSeen(id)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if u := s.hub.users[id]; u != nil {
		answer.Online = true
		if u.left == 0 {
			seen, known = schema.TimeOf(time.Now()), true
		}
	}
	if at := s.presence.lastSeen[id]; at > seen {
		seen, known = at, true
	}
	if known {
		answer.LastSeen = &seen
	}
	return answer
}

// recallPresence fills lastSeen with the connections of earlier runs and of
// other nodes, as far back as the SIGNALS stream goes.
func (s *Server) recallPresence(ctx context.Context) {
	for r, err := range s.cfg.Log.ReadSignals(ctx, connectionSignals) {
		if err != nil {
			s.log.Warn("presence: reading stored signals", "error", err)
			return
		}
		s.sawSignal(r)
	}
}

func (s *Server) sawSignal(r eventlog.Record) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.presence.remember(r.Actor.ID, r.Time)
}
