package realtime

import (
	"context"
	"errors"
	"time"

	"roomlog/schema"
)

// connectEvent is the one command that a socket may send before it is connected.
const connectEvent = "socket:connect"

// verifyTimeout bounds the wait for a key set that has to be fetched for a token.
const verifyTimeout = 5 * time.Second

var connectionCommands = map[string]command{
	connectEvent:     act(connect),
	"socket:refresh": act(refresh),
	"socket:ping": act(func(_ *session, c *call, _ *schema.Empty) {
		c.ok(mustJSON(schema.Pong{Time: schema.TimeOf(c.began)}))
	}),
}

// connect makes a socket live: who it is, what it wants to hear, and from where
// in the log. A token here takes the place of one in the handshake.
func connect(s *session, c *call, p *schema.Connect) {
	if s.joined.Load() {
		c.fail(schema.NewError(schema.AlreadyConnected, ""))
		return
	}
	if p.Token != "" {
		identity, refusal := s.server.verify(p.Token)
		if refusal != nil {
			c.fail(refusal)
			s.close(closeFor(refusal.Code))
			return
		}
		s.identity.Store(&identity)
	}
	identity := s.identity.Load()
	if identity == nil {
		c.fail(schema.NewError(schema.MissingField, "/token: required, since the handshake carried none"))
		return
	}
	if !c.began.Before(identity.Expires) {
		c.fail(schema.NewError(schema.TokenExpired, ""))
		s.close(schema.CloseTokenExpired)
		return
	}
	wanted := ^namespaces(0)
	if p.Namespaces != nil {
		wanted = 0
		for _, n := range p.Namespaces {
			wanted |= bitOf(n)
		}
	}
	refusal := s.goLive(wanted, func(connected schema.Connected) {
		c.ok(mustJSON(connected))
		if p.Resume != nil {
			s.tell("socket:resync", mustJSON(schema.Resync{Reason: schema.ResyncUnavailable, Seq: connected.Seq}))
		}
	})
	if refusal != nil {
		c.fail(refusal)
		s.close(schema.CloseTooManySockets)
	}
}

// connectQuietly connects a socket that came with a token in its handshake and
// never sent socket:connect: as if it had, with nothing in it. handling is held.
func (s *session) connectQuietly() *schema.Error {
	return s.goLive(^namespaces(0), func(schema.Connected) {})
}

// goLive puts the socket into its user's rooms and calls live with where it
// stands: pushes of everything after that place reach the socket, after whatever
// live queues, and of nothing before it.
func (s *session) goLive(wanted namespaces, live func(schema.Connected)) *schema.Error {
	connected, refusal := s.takeSeats(wanted, live)
	if refusal == nil {
		s.record(connectEvent, schema.UserRoom(connected.User.ID), schema.Connect{Namespaces: connected.Namespaces})
	}
	return refusal
}

func (s *session) takeSeats(wanted namespaces, live func(schema.Connected)) (connected schema.Connected, refusal *schema.Error) {
	server, identity := s.server, s.identity.Load()
	user := schema.UserRoom(identity.Actor.ID)
	h := &server.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[s.id] != s {
		return connected, schema.NewError(schema.ShuttingDown, "") // it has closed meanwhile
	}
	if r := h.rooms[user]; r != nil && len(r.members) >= server.cfg.MaxSocketsPerUser {
		return connected, schema.NewError(schema.TooManySockets, "")
	}
	s.wanted = wanted
	s.chosen = wanted & allowed(identity)
	names := []string{user, schema.RoomPublic}
	if s.chosen&bitOf(schema.Admin) != 0 {
		names = append(names, schema.RoomAdmin)
	}
	for _, name := range names {
		h.enter(s, name, len(names))
	}
	server.arrive(identity.Actor, h.rooms[user])
	// The models cannot pass this place unseen: what they apply next is delivered
	// under hub.mu, to this socket too.
	s.since = server.cfg.Models.Applied()
	s.joined.Store(true)
	connected = schema.Connected{User: identity.Actor, Namespaces: s.chosen.list(), Rooms: names, Seq: s.since}
	live(connected)
	return connected, nil
}

// allowed returns the namespaces whose pushes a token's roles allow.
func allowed(identity *Identity) namespaces {
	all := bitOf(schema.Social) | bitOf(schema.Messaging) | bitOf(schema.Notifications)
	if identity.Has(schema.RoleModerator) || identity.Has(schema.RoleAdmin) {
		all |= bitOf(schema.Admin)
	}
	return all
}

// refresh takes a new token of the same user, with whatever roles it has now.
func refresh(s *session, c *call, p *schema.Refresh) {
	identity, refusal := s.server.verify(p.Token)
	if refusal == nil && identity.Actor.ID != s.userID() {
		refusal = schema.NewError(schema.NotPermitted, "the token is another user's")
	}
	if refusal != nil {
		c.fail(refusal)
		return
	}
	s.identity.Store(&identity)
	h := &s.server.hub
	h.mu.Lock()
	s.chosen = s.wanted & allowed(&identity)
	if s.chosen&bitOf(schema.Admin) != 0 {
		h.enter(s, schema.RoomAdmin, len(s.seats)+1)
	} else {
		h.leave(s, schema.RoomAdmin)
	}
	if u := h.users[identity.Actor.ID]; u != nil {
		u.actor = identity.Actor
	}
	h.mu.Unlock()
	c.ok(nil)
}

// verify checks a token; what is wrong with it in detail is for the log only.
func (s *Server) verify(token string) (Identity, *schema.Error) {
	ctx, cancel := context.WithTimeout(s.ctx, verifyTimeout)
	defer cancel()
	identity, err := s.cfg.Auth.Verify(ctx, token)
	if err == nil {
		return identity, nil
	}
	s.log.Debug("token refused", "error", err)
	var refusal *schema.Error
	if !errors.As(err, &refusal) {
		refusal = schema.NewError(schema.InvalidToken, "")
	}
	return Identity{}, refusal
}

func closeFor(code schema.Code) schema.CloseCode {
	switch code {
	case schema.TokenExpired:
		return schema.CloseTokenExpired
	case schema.TooManySockets:
		return schema.CloseTooManySockets
	}
	return schema.CloseInvalidToken
}
