package realtime

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"roomlog/projections"
	"roomlog/schema"
)

// A client that lost its connection comes back with the place in the log up to
// which it heard everything. It is told what it missed, read from the log, and
// then goes live:
//
//   - It takes its seats at once, but pushes of facts pass it by (resume.hold).
//     The rounds of catchUp tell it what the history lists for it, each up to the
//     place where the read models stand, as of which it may hear it.
//   - From a short round on, pushes that are delivered meanwhile are held. Every
//     push up to the round's end is in the history, every later one is held or not
//     delivered yet: so the socket goes live without a gap or a doubled push.
//   - All that happens within its socket:connect: the socket's next command is
//     carried out when it is live, so that no ack overtakes a missed push.

const (
	// resumeChunk and resumeBytes are how many missed pushes are read and encoded at
	// a time, and after how much of their data no further one is: a client that is
	// slow to read holds that much memory.
	resumeChunk = 256
	resumeBytes = 256 << 10
	// maxRetoldBytes of such chunks are held for all of them together; who comes when
	// it is used up is told in chunks of leastChunkBytes.
	maxRetoldBytes  = 64 << 20
	leastChunkBytes = 4 << 10
	// lightResume is how many missed pushes are told at once, a few milliseconds' work;
	// who missed more is greedy, see pressure.go.
	lightResume = 64
	// resumeWait is how long a client that is ahead of the read models waits for
	// them: another node told it of what this one has yet to apply.
	resumeWait = 5 * time.Second
	// resumeBudgets is how many times MaxResume a user may be told again in a minute,
	// on all their sockets together.
	resumeBudgets = 10
)

// resume is a socket that is told what it missed. Guarded by hub.mu.
type resume struct {
	holding bool
	held    []heldPush // while holding, in the order of the log
	bytes   int
	limits  *Config
}

type heldPush struct {
	seq uint64
	pushFrame
}

// hold keeps a push for when the socket is live, or drops it while the log is
// still to be read. Who has too much held for them is not live soon: they read on.
func (r *resume) hold(seq uint64, f *pushFrame) {
	if !r.holding {
		return
	}
	r.bytes += len(f.head) + len(f.tail)
	if len(r.held) >= r.limits.MaxQueuedFrames/2 || r.bytes > r.limits.MaxQueuedBytes/2 {
		*r = resume{limits: r.limits}
		return
	}
	// The head is of one room after the other, see pass.
	r.held = append(r.held, heldPush{seq, pushFrame{bytes.Clone(f.head), f.tail}})
}

// errGone means that the socket closed while it was told what it missed.
var errGone = errors.New("the socket is gone")

// recovery is a client that comes back.
type recovery struct {
	*session
	user   string
	chosen namespaces
	asked  []string // rooms of posts and conversations that the client says it was in
	greedy bool     // the user was told much again lately, see pressure.go
}

// notForAsking reports whether a room is one that sockets are in without asking,
// or never.
func notForAsking(room string) bool {
	typ, _, _ := schema.ParseRoom(room)
	return typ != "post" && typ != "conversation"
}

// missed is what a client was not told, up to a place in the log.
type missed struct {
	upTo      uint64
	suspended bool
	projections.Missed
	unread  int      // notifications
	rooms   []string // those asked for that may be entered
	tooMany bool
}

// comeBack is goLive for a client that was here before: it takes its rooms again
// as far as it may, and is told what it missed, or to read everything anew.
func (s *session) comeBack(e entry, from *schema.Resume) *schema.Error {
	server, identity := s.server, s.identity.Load()
	c := recovery{session: s, user: identity.Actor.ID, chosen: e.wanted & allowed(identity), asked: slices.DeleteFunc(from.Rooms, notForAsking)}
	for {
		reason := server.foreign(from)
		m, err := c.missedSince(from.Seq, reason == "")
		may := true
		if err == nil && reason == "" && !m.tooMany {
			may, c.greedy = server.hub.mayResume(c.user, len(m.Seqs), server.cfg.MaxResume*resumeBudgets, time.Now())
		}
		switch {
		case errors.Is(err, errGone):
			return schema.NewError(schema.ShuttingDown, "")
		case err != nil:
			server.log.Error("resume: reading what was missed", "error", err)
			return schema.NewError(schema.Internal, "")
		case m.suspended:
			return schema.NewError(schema.Suspended, "")
		case m.tooMany:
			reason = schema.ResyncTooFar
		case !may:
			reason = schema.ResyncUnavailable
		}
		e.rooms, e.asOf, e.checked, e.resuming = m.rooms, m.upTo, m.upTo, nil
		if reason == "" {
			e.resuming = &resume{limits: &server.cfg}
		}
		live := e
		live.live = func(connected schema.Connected) {
			e.live(connected)
			if reason != "" {
				s.tell("socket:resync", mustJSON(schema.Resync{Reason: reason, Seq: connected.Seq}))
			}
		}
		connected, stale, refusal := s.takeSeats(live)
		if stale {
			continue
		}
		if refusal != nil {
			return refusal
		}
		s.arrived(connected)
		if reason != "" {
			server.metrics.resumes.WithLabelValues(reason).Inc()
			return nil
		}
		if err := c.catchUp(m); err != nil && !errors.Is(err, errGone) {
			server.log.Error("resume: reading what was missed", "error", err)
			s.close(schema.CloseTooSlow) // half of what was missed is no recovery: it tries again
		}
		return nil
	}
}

// foreign says why the place that a client names is none of this log's, "" when it
// is one.
func (s *Server) foreign(from *schema.Resume) string {
	switch {
	case from.Epoch != s.cfg.Log.Epoch():
		return schema.ResyncEpoch
	case from.Seq > s.cfg.Log.Durable():
		return schema.ResyncFuture
	}
	ctx, cancel := context.WithTimeout(s.ctx, resumeWait)
	defer cancel()
	if s.cfg.Models.WaitApplied(ctx, from.Seq) != nil {
		return schema.ResyncUnavailable
	}
	return ""
}

// missedSince reads which of the asked rooms may be entered now, and lists what
// the client was not told after a place.
func (c *recovery) missedSince(after uint64, list bool) (m missed, err error) {
	server := c.server
	if !server.listing.take(server.ctx) {
		return m, errGone
	}
	defer server.listing.end()
	err = server.cfg.Models.View(func(v *projections.View) error {
		m.upTo, m.suspended = v.Seq(), v.Suspended(c.user, schema.TimeOf(time.Now()))
		heard := ownRooms(c.user, c.chosen)
		for _, room := range c.asked {
			typ, _, _ := schema.ParseRoom(room)
			enters := mayEnter(v, c.user, room)
			if enters {
				m.rooms = append(m.rooms, room)
			}
			// That a post is gone is for those who were looking at it, too.
			if enters || typ == "post" {
				heard = append(heard, room)
			}
		}
		if list {
			m.unread = v.UnreadNotifications(c.user)
			var ok bool
			m.Missed, ok = v.Missed(c.user, heard, after, m.upTo, server.cfg.MaxResume)
			m.tooMany = !ok
		}
		return nil
	})
	return m, err
}

// catchUp tells the client what it missed until it is live.
func (c *recovery) catchUp(m missed) error {
	server, h := c.server, &c.server.hub
	count := 0
	for {
		told, err := c.retell(&m)
		count += told
		if err != nil {
			return err
		}
		if live, slow := c.nowLive(&m, count); live {
			server.metrics.resumes.WithLabelValues("resumed").Inc()
			server.metrics.resumed.Add(float64(count))
			if slow {
				c.tooSlow()
			}
			return nil
		}
		// What is delivered from here on is held; what was before is in the history.
		h.mu.Lock()
		c.resuming.holding = true
		h.mu.Unlock()
		if m, err = c.missedSince(m.upTo, true); err != nil {
			return err
		}
		if m.tooMany {
			return errors.New("more was missed while it was being told than a client is sent again")
		}
	}
}

// nowLive ends the resume when everything after upTo is held or still to be
// delivered: the count of notifications, socket:resumed, then what is held. slow means that it did not fit:
// then pushes go on passing the socket by until the caller has closed it, so that
// none comes after those that are missing.
func (c *recovery) nowLive(m *missed, count int) (live, slow bool) {
	h := &c.server.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	r := c.resuming
	if !r.holding && h.delivered > m.upTo {
		return false, false
	}
	if user := schema.UserRoom(c.user); c.chosen.hear(noteCount, user) {
		slow = !c.out.push(noteFrame(noteCount, user, 0, schema.TimeOf(time.Now()), schema.NotificationCount{Count: m.unread}))
	}
	slow = slow || !c.out.push(ownPush("socket:resumed", mustJSON(schema.Resumed{Seq: m.upTo, Count: count})))
	for _, held := range r.held {
		if held.seq > m.upTo && !slow {
			slow = !c.out.push(&held.pushFrame)
		}
	}
	if !slow {
		c.resuming, c.since = nil, m.upTo
	}
	return true, slow
}

// mayResume takes a number of pushes from what a user may be told again in a
// minute. It returns false when that is used up, and whether it is not the first of it.
func (h *hub) mayResume(user string, pushes, budget int, now time.Time) (may, greedy bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[user]
	if u == nil {
		return true, false
	}
	if now.Sub(u.resumesSince) > time.Minute {
		u.resumesSince, u.resumed = now, 0
	}
	greedy = u.resumed > lightResume
	u.resumed += pushes
	return u.resumed <= budget, greedy
}
