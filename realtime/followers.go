package realtime

import (
	"iter"
	"slices"

	"roomlog/projections"
)

// related are connected users who stand in a relation to someone, each since a place
// in the log.
type related struct {
	ids   []string
	since []uint64
	last  uint64 // the latest of since
}

func (r *related) add(id string, since uint64) {
	r.ids = append(r.ids, id)
	r.since = append(r.since, since)
	r.last = max(r.last, since)
}

// before returns those who stood so before a place: what was said there is not for
// those who followed later, and not kept from those who were blocked later.
func (r *related) before(seq uint64) []string {
	if r.last < seq {
		return r.ids
	}
	var ids []string
	for i, id := range r.ids {
		if r.since[i] < seq {
			ids = append(ids, id)
		}
	}
	return ids
}

// connectedFollowers returns the followers of a user who are connected.
func (s *Server) connectedFollowers(v *projections.View, of string) *related {
	return s.connected(v.FollowersCount(of), v.FollowersOf(of), func(id string) (uint64, bool) { return v.Follows(id, of) })
}

// connectedApart returns those who are connected and kept apart from a user by a block.
func (s *Server) connectedApart(v *projections.View, from string) *related {
	return s.connected(v.ApartCount(from), v.ApartFrom(from), func(id string) (uint64, bool) { return v.Apart(from, id) })
}

// connected returns which of a list of users are connected, and maybe others of the
// list: by the list or by who is connected, whichever is shorter.
func (s *Server) connected(length int, list iter.Seq2[string, uint64], has func(id string) (since uint64, ok bool)) *related {
	found := new(related)
	if length == 0 {
		return found
	}
	s.hub.mu.Lock()
	connected := len(s.hub.users)
	s.hub.mu.Unlock()
	if length <= connected {
		for id, since := range list {
			found.add(id, since)
		}
		return found
	}
	s.hub.mu.Lock()
	ids := make([]string, 0, connected)
	for id := range s.hub.users {
		ids = append(ids, id)
	}
	s.hub.mu.Unlock()
	for _, id := range ids {
		if since, ok := has(id); ok {
			found.add(id, since)
		}
	}
	return found
}

// audience is who is told, or is not, besides what the pushes of a batch say: by the
// id of the user they follow, or are kept apart from.
type audience struct {
	followers, apart map[string]*related
	unknown          bool // the read models could not be asked
}

// audienceOf looks up the audience of a batch, as of now: who followed or was blocked
// later than a push is left to related.before. Where it cannot, whatever a block may
// forbid is not told.
func (s *Server) audienceOf(batch []projections.Applied) (a audience) {
	for i := range batch {
		for _, p := range batch[i].Outcome.Pushes {
			a.followers = named(a.followers, p.FollowersOf)
			a.apart = named(a.apart, p.Apart)
		}
	}
	if a.followers == nil && a.apart == nil {
		return a
	}
	err := s.cfg.Models.View(func(v *projections.View) error {
		for of := range a.followers {
			a.followers[of] = s.connectedFollowers(v, of)
		}
		for from := range a.apart {
			a.apart[from] = s.connectedApart(v, from)
		}
		return nil
	})
	if err != nil {
		s.log.Error("followers and blocks: read models", "error", err)
		return audience{unknown: true}
	}
	return a
}

// of returns the rooms and users whom a push of the record at seq tells, and the users
// among them whom it does not.
func (a *audience) of(p *projections.Push, seq uint64) (rooms, users, except []string) {
	if a.unknown && p.Apart != "" {
		return nil, nil, nil
	}
	users, except = p.Users, p.Except
	if f := a.followers[p.FollowersOf]; f != nil {
		users = f.before(seq)
	}
	if apart := a.apart[p.Apart]; apart != nil {
		except = slices.Concat(except, apart.before(seq))
	}
	return p.Rooms, users, except
}

func named(all map[string]*related, id string) map[string]*related {
	if id == "" {
		return all
	}
	if all == nil {
		all = make(map[string]*related)
	}
	all[id] = nil
	return all
}
