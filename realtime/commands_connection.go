package realtime

import (
	"context"
	"errors"
	"time"

	"roomlog/projections"
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
		if refusal := s.server.takeOf(s.server.limiters.connects, identity.Actor.ID, c.began); refusal != nil {
			c.fail(refusal)
			s.closeAfter(schema.CloseTooManyEvents, refusal.RetryAfter)
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
	e := entry{wanted: wanted, live: func(connected schema.Connected) { c.ok(mustJSON(connected)) }}
	var refusal *schema.Error
	if p.Resume != nil {
		refusal = s.comeBack(e, p.Resume)
	} else {
		refusal = s.goLive(e)
	}
	if refusal != nil {
		c.fail(refusal)
		s.closeAfter(closeFor(refusal.Code), comeBackAfter())
	}
}

// connectQuietly connects a socket that came with a token in its handshake and
// never sent socket:connect: as if it had, with nothing in it. handling is held.
func (s *session) connectQuietly() *schema.Error {
	return s.goLive(entry{wanted: ^namespaces(0), live: func(schema.Connected) {}})
}

// entry is how a socket becomes live.
type entry struct {
	wanted namespaces
	// live is told where the socket stands: pushes of everything after that place
	// reach it, after whatever live queues, and of nothing before it.
	live func(schema.Connected)

	checked uint64 // place as of which the user is not suspended

	// Of a client that was here before:
	rooms    []string // those it was in and may be in, as of a place in the log
	asOf     uint64
	resuming *resume // pushes after asOf are held back for what it missed; nil: none are
}

// goLive puts the socket into its user's rooms, unless the user is suspended. Who is
// suspended meanwhile does not slip in behind: then the read models are asked again.
func (s *session) goLive(e entry) *schema.Error {
	for {
		err := s.server.cfg.Models.View(func(v *projections.View) error {
			e.checked = v.Seq()
			if v.Suspended(s.userID(), schema.TimeOf(time.Now())) {
				return schema.NewError(schema.Suspended, "")
			}
			return nil
		})
		if err != nil {
			return s.server.refusal(err)
		}
		connected, stale, refusal := s.takeSeats(e)
		if stale {
			continue
		}
		if refusal == nil {
			s.arrived(connected)
		}
		return refusal
	}
}

// arrived records that the socket is connected.
func (s *session) arrived(connected schema.Connected) {
	s.record(connectEvent, schema.UserRoom(connected.User.ID), schema.Connect{Namespaces: connected.Namespaces})
}

// takeSeats returns stale, and does nothing, when users were suspended, or made to
// leave rooms, after the places as of which the entry was found good.
func (s *session) takeSeats(e entry) (connected schema.Connected, stale bool, refusal *schema.Error) {
	server, identity := s.server, s.identity.Load()
	user := schema.UserRoom(identity.Actor.ID)
	h := &server.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[s.id] != s {
		return connected, false, schema.NewError(schema.ShuttingDown, "") // it has closed meanwhile
	}
	if r := h.rooms[user]; r != nil && len(r.members) >= server.cfg.MaxSocketsPerUser {
		return connected, false, schema.NewError(schema.TooManySockets, "")
	}
	if h.suspended > e.checked || e.asOf != 0 && h.evicted > e.asOf {
		return connected, true, nil
	}
	s.wanted = e.wanted
	s.chosen = e.wanted & allowed(identity)
	names := ownRooms(identity.Actor.ID, s.chosen)
	for _, name := range names {
		h.enter(s, name, 0, len(names))
	}
	for _, name := range e.rooms {
		if h.enter(s, name, e.asOf, server.cfg.MaxRoomsPerSocket) {
			names = append(names, name)
		}
	}
	s.sender = &server.arrive(identity.Actor, h.rooms[user]).sender
	s.since, s.resuming = e.asOf, e.resuming
	if e.resuming == nil {
		// The models cannot pass this place unseen: what they apply next is delivered
		// under hub.mu, to this socket too.
		s.since = server.cfg.Models.Applied()
	}
	s.joined.Store(true)
	connected = schema.Connected{User: identity.Actor, Namespaces: s.chosen.list(), Rooms: names, Seq: s.since, Resumed: e.resuming != nil}
	e.live(connected)
	return connected, false, nil
}

// ownRooms returns the rooms that a user's socket is in without having asked, the
// user's own first.
func ownRooms(user string, chosen namespaces) []string {
	names := []string{schema.UserRoom(user), schema.RoomPublic}
	if chosen&bitOf(schema.Admin) != 0 {
		names = append(names, schema.RoomAdmin)
	}
	return names
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
	if allowed(&identity)&bitOf(schema.Admin) == 0 {
		s.server.tails.stop(s)
	}
	h := &s.server.hub
	h.mu.Lock()
	s.chosen = s.wanted & allowed(&identity)
	if s.chosen&bitOf(schema.Admin) != 0 {
		h.enter(s, schema.RoomAdmin, 0, len(s.seats)+1)
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
	case schema.Suspended:
		return schema.CloseSuspended
	case schema.ShuttingDown, schema.Internal: // another try may do
		return schema.CloseShuttingDown
	}
	return schema.CloseInvalidToken
}
