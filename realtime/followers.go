package realtime

import (
	"iter"
	"slices"
	"strings"

	"roomlog/projections"
)

// related are users who stand in a relation to someone, each since a place in the log.
type related struct {
	ids   []string
	since []uint64
	last  uint64 // none of since is later
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

// count returns how many stand in the relation to a user, connected or not.
func (k relation) count(v *projections.View, user string) int {
	if k == apart {
		return v.ApartCount(user)
	}
	return v.FollowersCount(user)
}

// list yields them, with the place since which they do.
func (k relation) list(v *projections.View, user string) iter.Seq2[string, uint64] {
	if k == apart {
		return v.ApartFrom(user)
	}
	return v.FollowersOf(user)
}

// holds reports whether one of them is other, and since when.
func (k relation) holds(v *projections.View, other, user string) (since uint64, ok bool) {
	if k == apart {
		return v.Apart(user, other)
	}
	return v.Follows(other, user)
}

func listed(v *projections.View, k relation, user string) *related {
	all := new(related)
	for id, since := range k.list(v, user) {
		all.add(id, since)
	}
	return all
}

// related yields which of the connected users stand in a relation to one: by the list
// of those who do, of that length, or by who is connected, whichever is shorter.
func (h *hub) related(v *projections.View, k relation, user string, length int) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		if length == 0 {
			return
		}
		ids := h.userIDs(length)
		for _, id := range ids {
			if since, ok := k.holds(v, id, user); ok && !yield(id, since) {
				return
			}
		}
		if ids != nil {
			return
		}
		for id, since := range k.list(v, user) {
			if h.hasUser(id) && !yield(id, since) {
				return
			}
		}
	}
}

// audience is who is told, or is not, besides what the pushes of a batch say: by the
// id of the user they follow, or are kept apart from.
type audience struct {
	followers, apart map[string]*related
	unknown          bool // the read models could not be asked
}

// audienceOf looks up the audience of a batch, as of now: who followed or was blocked
// later than a push is left to related.before. Where it cannot, whatever a block may
// forbid is not told. circles.mu is held, for as long as the audience is used.
func (s *Server) audienceOf(batch []projections.Applied) (a audience) {
	for i := range batch {
		if r := &batch[i].Record; batch[i].Outcome.Code == "" && (r.Event == "user:follow" || r.Event == "user:block") {
			s.circles.changed(r.Actor.ID, strings.TrimPrefix(r.Entity, "user:"))
		}
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
			a.followers[of] = s.circles.of(v, follows, of)
		}
		for from := range a.apart {
			a.apart[from] = s.circles.of(v, apart, from)
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
