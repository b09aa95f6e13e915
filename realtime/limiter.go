package realtime

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// limiter counts what each of many callers, users or addresses, may do. It outlives
// their sockets: who comes back finds the bucket as it was left. All methods may be
// called concurrently.
//
// At most room callers are remembered. What is forgotten first are buckets that are
// full again, which changes nothing, and then those that least was taken from: to
// have a spent bucket forgotten, somebody would have to spend room others as far,
// and they could have used those.
type limiter[K comparable] struct {
	name   string // in the figures
	events int    // in a window; 0: no limit
	window time.Duration
	room   int

	mu      sync.Mutex
	buckets map[K]*bucket
	tidyAt  int // when there are so many, those that are full again are forgotten
}

func newLimiter[K comparable](name string, events int, window time.Duration, room int) *limiter[K] {
	return &limiter[K]{
		name: name, events: events, window: window, room: room,
		buckets: make(map[K]*bucket),
	}
}

// take takes one event of the caller's. wait is 0 when it is allowed, else the time
// until one will be.
func (l *limiter[K]) take(caller K, now time.Time) (wait time.Duration) {
	if l.events == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[caller]
	if b == nil {
		if len(l.buckets) >= l.tidyAt {
			l.tidy(now)
		}
		b = &bucket{}
		l.buckets[caller] = b
	}
	return b.take(now, l.events, l.window)
}

// usedShare reports whether a caller has used more than a share of their events.
func (l *limiter[K]) usedShare(caller K, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[caller]
	return b != nil && usedShare(b.spentAt(now, l.events, l.window), l.events)
}

// goesOn reports whether a caller keeps coming although they were told to wait.
func (l *limiter[K]) goesOn(caller K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[caller]
	return b != nil && b.goesOn(l.events)
}

// stands says how many callers are remembered.
func (l *limiter[K]) stands() eventlog.Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventlog.Queue{Name: "limit_" + l.name, Length: len(l.buckets), Bound: l.room}
}

// tidy makes room. It looks at every bucket, and so leaves a quarter of the room
// free: what it costs is shared by the callers who fill that.
func (l *limiter[K]) tidy(now time.Time) {
	type kept struct {
		caller K
		spent  float64
	}
	var rest []kept
	for caller, b := range l.buckets {
		if spent := b.spentAt(now, l.events, l.window); spent > 0 {
			rest = append(rest, kept{caller, spent})
		} else {
			delete(l.buckets, caller)
		}
	}
	if most := l.room - l.room/4; len(rest) > most {
		slices.SortFunc(rest, func(a, b kept) int { return cmp.Compare(a.spent, b.spent) })
		for _, k := range rest[:len(rest)-most] {
			delete(l.buckets, k.caller)
		}
	}
	l.tidyAt = min(2*len(l.buckets), l.room)
}

// limiters are the limits that are not one socket's.
type limiters struct {
	users    *limiter[string]     // commands of a user, over all sockets
	connects *limiter[string]     // sockets that a user's token connects
	posts    *limiter[string]     // of a user: what others are shown
	reports  *limiter[string]     // of a user: what moderators have to read
	upgrades *limiter[netip.Addr] // connections and requests of an address, before anybody has said who they are
}

// leastRemembered is how many callers a limiter remembers at least: a few megabytes.
const leastRemembered = 1 << 14

func newLimiters(c *Config) limiters {
	room := max(leastRemembered, 4*c.MaxConnections)
	of := func(name string, events int) *limiter[string] {
		return newLimiter[string](name, c.rate(events), c.RateWindow, room)
	}
	return limiters{
		users: of("user", c.RateUserEvents), connects: of("connect", c.RateConnects),
		posts: of("post", c.RatePosts), reports: of("report", c.RateReports),
		upgrades: newLimiter[netip.Addr]("upgrade", c.rate(c.RateUpgrades), c.RateWindow, room),
	}
}

// kindLimit returns the limit that an event has besides the one of all commands, nil
// for none.
func (l *limiters) kindLimit(event string) *limiter[string] {
	switch event {
	case "post:create", "post:comment", "post:share":
		return l.posts
	case "admin:report":
		return l.reports
	}
	return nil
}

// spend takes one command from what the socket, its user over all sockets, and its
// kind may still do, in this order: a refused command costs those before it. handling
// is held.
func (s *session) spend(event string, now time.Time) *schema.Error {
	server := s.server
	if wait := s.rate.take(now, server.cfg.RateEvents, server.cfg.RateWindow); wait > 0 {
		return server.limited("socket", wait)
	}
	s.greedy = usedShare(s.rate.spent, server.cfg.RateEvents)
	identity := s.identity.Load()
	if identity == nil {
		return nil
	}
	if refusal := server.takeOf(server.limiters.users, identity.Actor.ID, now); refusal != nil {
		return refusal
	}
	s.greedy = s.greedy || server.limiters.users.usedShare(identity.Actor.ID, now)
	if kind := server.limiters.kindLimit(event); kind != nil {
		return server.takeOf(kind, identity.Actor.ID, now)
	}
	return nil
}

func (s *Server) takeOf(l *limiter[string], user string, now time.Time) *schema.Error {
	if wait := l.take(user, now); wait > 0 {
		return s.limited(l.name, wait)
	}
	return nil
}

// limited counts a refusal and makes the error of it.
func (s *Server) limited(limit string, wait time.Duration) *schema.Error {
	s.metrics.limited.WithLabelValues(limit).Inc()
	refusal := schema.NewError(schema.RateLimited, "")
	refusal.RetryAfter = wait
	return refusal
}

// seconds is a wait as the Retry-After header says it.
func seconds(wait time.Duration) int { return int(math.Ceil(wait.Seconds())) }
