package realtime

import (
	"context"
	"fmt"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
)

// Spoil has the commands of some events panic with what a client sent, each where it
// does its work, until the test calls back. Nothing else may be served meanwhile.
func Spoil(events ...string) (back func()) {
	was := make(map[string]command)
	for _, event := range events {
		c := commands[event]
		was[event] = c
		switch {
		case c.complete != nil:
			c.complete = func(_ *eventlog.Record, data any) { panic(data) }
		case c.query != nil:
			c.query = func(_ *session, _ *projections.View, data any) (any, error) { panic(data) }
		default:
			c.act = func(_ *session, _ *call, data any) { panic(data) }
		}
		commands[event] = c
	}
	return func() {
		for event, c := range was {
			commands[event] = c
		}
	}
}

// Outdate has the hub believe that a user was suspended, and made to leave a room, at
// a place of the log.
func (s *Server) Outdate(seq uint64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.suspended, s.hub.evicted = seq, seq
}

// NewsTold reports whether a round has begun for everybody who came or went.
func (s *Server) NewsTold() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.presence.changed) == 0
}

// CircleAll has the followers of everybody be remembered, however few.
func (s *Server) CircleAll() {
	s.circles.mu.Lock()
	defer s.circles.mu.Unlock()
	s.circles.small = 0
}

// EndTokens has the tokens of all sockets end now.
func (s *Server) EndTokens() {
	for _, session := range s.hub.all(nil) {
		if identity := session.identity.Load(); identity != nil {
			ended := *identity
			ended.Expires = time.Now()
			session.identity.Store(&ended)
		}
	}
}

// TailReads returns the sizes of what a tail without a filter holds at one time.
func (s *Server) TailReads(ctx context.Context, from uint64) (sizes []int, err error) {
	t := tail{session: &session{server: s}, next: from}
	frames, err := t.read(ctx)
	for i := range frames {
		sizes = append(sizes, len(frames[i].head)+len(frames[i].tail))
	}
	return sizes, err
}

const (
	TailChunk = tailChunk
	TailBytes = tailBytes
)

// HoldQueries has the queries of an event wait, each where it does its work, until
// release is called, and tells of each that begins. back takes that back, when nothing
// is served any more.
func HoldQueries(event string) (begun <-chan struct{}, release, back func()) {
	was := commands[event]
	begins, released := make(chan struct{}), make(chan struct{})
	commands[event] = command{query: func(s *session, v *projections.View, data any) (any, error) {
		select {
		case begins <- struct{}{}:
			<-released
		case <-released:
		}
		return was.query(s, v, data)
	}}
	return begins, func() { close(released) }, func() { commands[event] = was }
}

// UnderWay says what the gates count for a user, "" when that is nothing.
func (s *Server) UnderWay(id string) string {
	s.hub.mu.Lock()
	u := s.hub.users[id]
	s.hub.mu.Unlock()
	if u == nil {
		return ""
	}
	s.acks.mu.Lock()
	facts := u.sender.facts.burden
	s.acks.mu.Unlock()
	s.queries.mu.Lock()
	queries := u.sender.queries.burden
	s.queries.mu.Unlock()
	if facts == (burden{}) && queries == (burden{}) {
		return ""
	}
	return fmt.Sprintf("facts %+v, queries %+v", facts, queries)
}
