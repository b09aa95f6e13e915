package realtime

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// sweep is the clock of all sockets: one goroutine looks at each of them every
// tick, so that a quiet socket needs no timer of its own.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(s.cfg.tick())
	defer tick.Stop()
	var open []*session
	var tide tide
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			open = s.hub.all(open[:0])
			var most fullest
			for _, session := range open {
				most.add(session.lookAt(now))
			}
			s.pushes.frames.Store(int64(most.frames))
			s.pushes.bytes.Store(int64(most.bytes))
			if tide.passed(len(open), now) {
				trim()
			}
			clear(open)
			s.endGrace(schema.TimeOf(now))
			s.audit.sweep(now)
		}
	}
}

// tick is a quarter of the shortest time that sweep watches over, at most a second.
func (c *Config) tick() time.Duration {
	shortest := min(4*time.Second, c.PingInterval, c.PongTimeout, c.ConnectTimeout, c.WriteTimeout, c.MessageTimeout)
	if c.PresenceGrace > 0 {
		shortest = min(shortest, c.PresenceGrace)
	}
	return max(shortest/4, 5*time.Millisecond)
}

// lookAt closes a socket whose time is up in one way or another, and pings it
// when a ping is due. It returns what waits to be written to it.
func (s *session) lookAt(now time.Time) (waiting load) {
	cfg := &s.server.cfg
	ms := now.UnixMilli()
	began, waiting := s.out.look()
	if began != 0 && ms-began > cfg.WriteTimeout.Milliseconds() {
		s.tooSlow()
		s.out.finish(false) // what it did not read for so long, it will not read now
		return load{}
	}
	if began := s.in.since.Load(); began != 0 && ms-began > cfg.MessageTimeout.Milliseconds() {
		s.dribbles()
		return waiting
	}
	identity := s.identity.Load()
	if identity != nil && !now.Before(identity.Expires) {
		s.close(schema.CloseTokenExpired)
		return waiting
	}
	if !s.joined.Load() && ms-int64(s.opened) > cfg.ConnectTimeout.Milliseconds() {
		if identity == nil {
			s.close(schema.CloseInvalidToken)
			return waiting
		}
		s.connectNow()
	}
	s.beat(ms, cfg)
	return waiting
}

// dribbles closes a socket whose message does not come to its end: a client that
// sends a byte now and then would hold its slot, and the memory of its message, for
// as long as it answers pings.
func (s *session) dribbles() {
	if s.shut(schema.CloseTooSlow, 0, false, s.server.cfg.CloseTimeout) {
		s.server.audit.note(schema.AuditSlow, auditEntry{User: s.userID(), Socket: s.id, Code: "SLOW_MESSAGE"})
	}
}

// connectNow connects a socket that came with a token and has not said a word.
func (s *session) connectNow() {
	if !s.handling.TryLock() {
		return // it is saying one
	}
	defer s.handling.Unlock()
	if s.joined.Load() {
		return
	}
	if refusal := s.connectQuietly(); refusal != nil {
		s.close(closeFor(refusal.Code))
	}
}

// beat sends a ping when one is due and closes the socket when the last one was
// not answered.
func (s *session) beat(ms int64, cfg *Config) {
	waiting := s.pinged != 0 && s.pong.Load() < s.pinged
	switch {
	case waiting && ms-s.pinged > cfg.PongTimeout.Milliseconds():
		// While a command is being carried out, or waits for its turn, nobody reads: the
		// pong may be there.
		if !s.queues.Load() && s.handling.TryLock() {
			s.handling.Unlock()
			s.close(schema.CloseNoPong)
		}
	case !waiting && ms-max(s.pinged, int64(s.opened)) >= cfg.PingInterval.Milliseconds():
		s.pinged = ms
		if !s.out.send(ws.OpPing, nil) {
			s.tooSlow()
		}
	}
}
