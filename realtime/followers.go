package realtime

import "roomlog/projections"

// followers are connected users who follow someone, each since a place in the log.
type followers struct {
	ids   []string
	since []uint64
	last  uint64 // the latest of since
}

func (f *followers) add(id string, since uint64) {
	f.ids = append(f.ids, id)
	f.since = append(f.since, since)
	f.last = max(f.last, since)
}

// before returns those who followed before a place: what was said there is not for
// those who followed later.
func (f *followers) before(seq uint64) []string {
	if f.last < seq {
		return f.ids
	}
	var ids []string
	for i, id := range f.ids {
		if f.since[i] < seq {
			ids = append(ids, id)
		}
	}
	return ids
}

// connectedFollowers returns the followers of a user who are connected, by
// whichever is shorter: the list of followers or that of connected users.
func (s *Server) connectedFollowers(v *projections.View, of string) *followers {
	found := new(followers)
	s.hub.mu.Lock()
	connected := len(s.hub.users)
	s.hub.mu.Unlock()
	if v.FollowersCount(of) <= connected {
		for id, since := range v.FollowersOf(of) {
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
		if since, ok := v.Follows(id, of); ok {
			found.add(id, since)
		}
	}
	return found
}

// whoFollows returns the connected followers of everyone whose followers are told
// something in the batch, by user id.
func (s *Server) whoFollows(batch []projections.Applied) map[string]*followers {
	var all map[string]*followers
	for i := range batch {
		for _, p := range batch[i].Outcome.Pushes {
			if p.FollowersOf != "" {
				if all == nil {
					all = make(map[string]*followers)
				}
				all[p.FollowersOf] = nil
			}
		}
	}
	if all == nil {
		return nil
	}
	err := s.cfg.Models.View(func(v *projections.View) error {
		for of := range all {
			all[of] = s.connectedFollowers(v, of)
		}
		return nil
	})
	if err != nil {
		s.log.Error("followers: read models", "error", err)
		return nil
	}
	return all
}
