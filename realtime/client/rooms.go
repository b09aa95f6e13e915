package client

import (
	"encoding/json"
	"slices"

	"roomlog/schema"
)

// The commands that move a socket into and out of rooms, by the room's type.
var (
	joinOf  = map[string]string{"post": "post:join", "conversation": "message:join"}
	leaveOf = map[string]string{"post": "post:leave", "conversation": "message:leave"}
)

// moved remembers what a good ack of a join or leave means; mu is held.
func (s *Session) moved(c *call) {
	for typ := range joinOf {
		joins, leaves := c.event == joinOf[typ], c.event == leaveOf[typ]
		if !joins && !leaves {
			continue
		}
		var fields map[string]string
		if json.Unmarshal(c.data, &fields) != nil {
			return
		}
		room := typ + ":" + fields[typ+"Id"]
		s.forget(room)
		if joins {
			s.rooms = append(s.rooms, room)
		}
	}
}

// forget drops a room; mu is held.
func (s *Session) forget(room string) {
	s.rooms = slices.DeleteFunc(s.rooms, func(r string) bool { return r == room })
}

// rejoin asks for the rooms that a new socket is not in, before anything else is
// sent. What the server refuses is forgotten; mu is held.
func (s *Session) rejoin(present []string) {
	var joins []*call
	for _, room := range s.rooms {
		typ, id, ok := schema.ParseRoom(room)
		if !ok || joinOf[typ] == "" || slices.Contains(present, room) {
			continue
		}
		refused := func(_ schema.Frame, err error) {
			if err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.forget(room)
			}
		}
		joins = append(joins, &call{event: joinOf[typ], data: entity(typ, id), ack: refused, rejoin: true})
	}
	s.pending = append(joins, s.pending...)
}
