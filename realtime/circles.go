package realtime

import (
	"sync"

	"roomlog/projections"
)

// A user with a million followers posts like anybody else: what it costs must depend on
// who is connected, and a thousand look-ups a post are too many where each of the
// others' acks waits for them. So it is remembered who of the connected stands in a
// relation to a user, and only those are looked up again who came since, or followed,
// or blocked.

const (
	// smallCircle is so few that looking them up is as good as knowing them.
	smallCircle = 64
	// maxCircled bounds what is remembered, in connected users of all circles together,
	// about 100 bytes each, and twice: those of users for whom nobody asks go.
	maxCircled = 200_000
	// emptyCircle is what a circle counts for besides.
	emptyCircle = 8
)

// relation is one in which others stand to a user.
type relation uint8

const (
	follows relation = iota // they follow the user
	apart                   // a block keeps them apart from the user
)

// circles remember who of the connected stands in a relation to users. It is asked by
// Deliver alone, so that what it knows and what Deliver has noted go together; mu only
// makes sure of that.
type circles struct {
	hub *hub

	mu       sync.Mutex
	small    int                   // smallCircle
	now, old map[circleKey]*circle // old: not asked for since now was begun
	circled  int                   // what those of now count for
	origin   any                   // View.Origin of what they were looked up in
}

type circleKey struct {
	relation
	of string
}

// circle is who stands in a relation to a user and is connected, and maybe some who
// were.
type circle struct {
	related
	at    map[string]int // where in related each one is
	upTo  uint64         // arrivals that it knows of
	again []string       // connected users who may stand otherwise to the user now
}

func newCircles(h *hub) circles {
	return circles{hub: h, small: smallCircle, now: make(map[circleKey]*circle), old: make(map[circleKey]*circle)}
}

// lookIn has the circles be those of a view, mu held: of read models that took over, as
// after a rebuild, nothing is known.
func (c *circles) lookIn(v *projections.View) {
	if origin := v.Origin(); origin != c.origin {
		clear(c.now)
		clear(c.old)
		c.circled, c.origin = 0, origin
	}
}

// changed notes that two users may stand otherwise to each other than they did, mu
// held.
func (c *circles) changed(a, b string) {
	for _, k := range [...]relation{follows, apart} {
		for _, two := range [...][2]string{{a, b}, {b, a}} {
			key := circleKey{k, two[0]}
			found := c.now[key]
			if found == nil {
				if found = c.old[key]; found == nil {
					continue
				}
			}
			if !c.hub.hasUser(two[1]) {
				continue // who comes is looked up then
			}
			if found.again = append(found.again, two[1]); len(found.again) > len(found.ids)+smallCircle {
				c.forget(key, found)
			}
		}
	}
}

func (c *circles) forget(key circleKey, forgotten *circle) {
	if c.now[key] == forgotten {
		c.circled -= len(forgotten.ids) + emptyCircle
	}
	delete(c.now, key)
	delete(c.old, key)
}

// of returns which of the connected users stand in a relation to one, as of a view, mu
// held. It is good until the next call for the same.
func (c *circles) of(v *projections.View, k relation, user string) *related {
	c.lookIn(v)
	length := k.count(v, user)
	if length <= c.small {
		return listed(v, k, user)
	}
	key := circleKey{k, user}
	found := c.now[key]
	if found != nil {
		c.circled -= len(found.ids) + emptyCircle
	} else if found = c.old[key]; found == nil {
		found = new(circle)
	}
	delete(c.old, key)
	arrived, known, upTo, connected := c.hub.arrivedSince(found.upTo)
	if !known || found.at == nil || len(arrived)+len(found.again) > min(length, connected) || len(found.ids) > 2*connected+smallCircle {
		*found = circle{at: make(map[string]int)}
		for id, since := range c.hub.related(v, k, user, length) {
			found.set(id, since, true)
		}
	} else {
		for _, ids := range [...][]string{arrived, found.again} {
			for _, id := range ids {
				since, ok := k.holds(v, id, user)
				found.set(id, since, ok)
			}
		}
		found.again = found.again[:0]
	}
	found.upTo = upTo
	c.keep(key, found)
	return &found.related
}

func (c *circles) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.circled
}

// keep has a circle be one of those that were asked for last.
func (c *circles) keep(key circleKey, kept *circle) {
	c.now[key] = kept
	if c.circled += len(kept.ids) + emptyCircle; c.circled > maxCircled {
		c.old, c.now, c.circled = c.now, make(map[circleKey]*circle), 0
	}
}

// set puts someone into the circle, or out of it.
func (c *circle) set(id string, since uint64, in bool) {
	at, was := c.at[id]
	switch {
	case in && was:
		c.since[at], c.last = since, max(c.last, since)
	case in:
		c.at[id] = len(c.ids)
		c.add(id, since)
	case was:
		last := len(c.ids) - 1
		c.ids[at], c.since[at] = c.ids[last], c.since[last]
		c.at[c.ids[at]] = at
		c.ids, c.since = c.ids[:last], c.since[:last]
		delete(c.at, id)
	}
}

// maxArrived is how many arrivals are kept for circles to catch up with, when fewer
// than half as many are connected.
const maxArrived = 1024

// arrivals are the users who came, the latest last. Guarded by hub.mu.
type arrivals struct {
	ids     []string // never written to, only appended to and replaced
	dropped uint64   // how many came before them
}

func (a *arrivals) add(id string, connected int) {
	if len(a.ids) >= max(maxArrived, 2*connected) {
		half := len(a.ids) / 2
		a.ids, a.dropped = append(make([]string, 0, len(a.ids)), a.ids[half:]...), a.dropped+uint64(half)
	}
	a.ids = append(a.ids, id)
}
