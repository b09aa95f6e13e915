package realtime

import (
	"context"
	"time"

	"roomlog/projections"
	"roomlog/schema"
)

// When thousands come at once, each of them is news to thousands. So news is told in
// rounds: what a socket is told in one leaves in one write, who came and went in between
// is no news, and a round is followed by a rest of as long as it took, so that half of a
// processor at least is everybody else's. Then news comes late, and nothing else does.
const (
	// newsRest is the least from one round to the next, but for one of fewNews pushes.
	newsRest = 10 * time.Millisecond
	fewNews  = 64
	// newsPushes is after how many pushes a round ends, some 50 ms' work.
	newsPushes = 50_000
	// newsChunk is of how many users the read models are asked at one time.
	newsChunk = 64
)

const (
	userOnline  = "user:online"
	userOffline = "user:offline"
)

// runPresence tells others of the users in changed until ctx ends.
func (s *Server) runPresence(ctx context.Context) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.presence.wake:
		}
		began := time.Now()
		pushes := s.tellNews()
		took := time.Since(began)
		if pushes > fewNews {
			took = max(took, newsRest)
		}
		rest.Reset(took)
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
	}
}

// news is what others are told of a user.
type news struct {
	about, event string
	tail         []byte
}

// tellNews is one round. It returns how many pushes that were, about.
func (s *Server) tellNews() (pushes int) {
	var all []news
	to := make(map[string][]int) // by user: which of all they are told
	for pushes < newsPushes {
		chunk := s.presenceNews(time.Now())
		if len(chunk) == 0 {
			break
		}
		err := s.cfg.Models.View(func(v *projections.View) error {
			for i := range chunk {
				pushes += s.address(v, chunk[i].about, len(all)+i, to)
			}
			return nil
		})
		if err != nil {
			s.log.Error("presence: read models", "error", err)
		}
		all = append(all, chunk...)
	}
	var writers starts
	for user, which := range to {
		if s.hub.tellNews(user, all, which, s.metrics, &writers); len(writers.queues) >= manyWriters {
			writers.startInTurn()
			writers.queues = writers.queues[:0]
		}
	}
	writers.startInTurn()
	return pushes
}

// address adds to whom news of a user is told: the connected followers, and those who
// share a conversation with them. A block has ended the following, and makes two no
// partners. It returns how many they are.
func (s *Server) address(v *projections.View, about string, which int, to map[string][]int) (added int) {
	add := func(id string) {
		if known := to[id]; len(known) == 0 || known[len(known)-1] != which {
			to[id] = append(known, which)
			added++
		}
	}
	for id := range s.hub.related(v, follows, about, follows.count(v, about)) {
		add(id)
	}
	for id := range v.Partners(about) {
		if s.hub.hasUser(id) {
			add(id)
		}
	}
	return added
}

// presenceNews returns what others have not been told yet of the next users in changed,
// and notes it as told; nothing when there are none.
func (s *Server) presenceNews(now time.Time) (all []news) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	p := &s.presence
	for len(p.changed) > 0 && len(all) < newsChunk {
		id := p.changed[0]
		p.changed = p.changed[1:]
		u := s.hub.users[id]
		if u == nil {
			continue
		}
		u.changed = false
		seen, event := schema.TimeOf(now), ""
		switch {
		case u.gone:
			delete(s.hub.users, id)
			seen = u.left
			if u.announced {
				event = userOffline
			}
		case !u.announced:
			u.announced = true
			event = userOnline
		}
		if event == "" {
			continue
		}
		data := schema.UserPresence{UserID: id, Username: u.actor.Username, Avatar: u.actor.Avatar, LastSeen: seen}
		all = append(all, news{about: id, event: event, tail: newPushTail(schema.TimeOf(now), mustJSON(data))})
	}
	if len(p.changed) > 0 {
		p.rouse() // this round or the next
	}
	return all
}

// tellNews queues news for the sockets of a user, as far as they have read half of what
// a socket may have before it: who does not keep up is to hear facts. It lists those whose
// writers are to be started.
func (h *hub) tellNews(id string, all []news, which []int, m *metrics, writers *starts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[id]
	if u == nil || u.room == nil {
		return
	}
	online, offline := newPushHead(userOnline, u.room.name, 0), newPushHead(userOffline, u.room.name, 0)
	frames := make([]pushFrame, len(which))
	for i, n := range which {
		frames[i] = pushFrame{head: online, tail: all[n].tail}
		if all[n].event == userOffline {
			frames[i].head = offline
		}
	}
	for i := range u.room.members {
		if s := u.room.members[i].session; s.chosen.hear(userOnline, u.room.name) {
			told, list := s.out.pushSome(frames)
			m.pushes.Add(float64(told))
			m.newsDropped.Add(float64(len(frames) - told))
			if list {
				writers.add(&s.out)
			}
		}
	}
}
