package realtime

import (
	"roomlog/projections"
	"roomlog/schema"
)

// enterRoom carries out a command that takes the socket into a room, which is
// answered with missing when the user may not be in it. It returns whether the
// socket is in.
func (s *session) enterRoom(c *call, room string, data any, missing schema.Code) bool {
	if err := s.server.seat(s, room, missing); err != nil {
		c.failWith(err)
		return false
	}
	s.record(c.event, room, data)
	c.ok(nil)
	return true
}

// leaveRoom is content with a socket that was not in the room: it is not now. So it
// tells nothing of who may be in it.
func (s *session) leaveRoom(c *call, room string, data any) {
	if s.server.hub.part(s, room) {
		s.record(c.event, room, data)
	}
	c.ok(nil)
}

// seat lets a socket into a room that its user may be in by the read models, to
// hear of what comes after the place where those stand. Someone who is made to
// leave meanwhile does not slip in behind: then the read models are asked again.
func (s *Server) seat(session *session, room string, missing schema.Code) error {
	for {
		var asOf uint64
		err := s.cfg.Models.View(func(v *projections.View) error {
			asOf = v.Seq()
			if !mayEnter(v, session.userID(), room) {
				return schema.NewError(missing, "")
			}
			return nil
		})
		if err != nil {
			return err
		}
		joined, stale := s.hub.join(session, room, asOf, s.cfg.MaxRoomsPerSocket)
		switch {
		case joined:
			return nil
		case !stale:
			return schema.NewError(schema.TooManyRooms, "")
		}
	}
}

// mayEnter reports whether a user may be in a room that sockets choose to enter.
func mayEnter(v *projections.View, user, room string) bool {
	switch typ, id, _ := schema.ParseRoom(room); typ {
	case "post":
		return v.PostExists(id)
	case "conversation":
		return v.Participates(user, id)
	}
	return false
}
