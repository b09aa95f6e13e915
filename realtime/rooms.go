package realtime

import (
	"roomlog/projections"
	"roomlog/schema"
)

// enterRoom lets a socket into a room when check passes on the read models, and
// returns why not otherwise. The socket hears of what comes after the place that
// check saw. Someone who is made to leave the room while check goes on does not
// slip in behind: then check is asked again.
func (s *Server) enterRoom(session *session, room string, check func(*projections.View) error) error {
	for {
		var asOf uint64
		err := s.cfg.Models.View(func(v *projections.View) error {
			asOf = v.Seq()
			return check(v)
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
