package realtime

import (
	"encoding/json"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// connectionSignals is the subject of the stored signals about sockets.
const connectionSignals = "signals.connection.>"

// socialSignals are the signals of /social: recorded, but never waited for.
var socialSignals = map[string]command{
	"post:join": act(func(s *session, c *call, p *schema.PostRef) {
		s.enterRoom(c, schema.PostRoom(p.PostID), p, schema.PostNotFound)
	}),
	"post:leave":  act(func(s *session, c *call, p *schema.PostRef) { s.leaveRoom(c, schema.PostRoom(p.PostID), p) }),
	"user:typing": act(typing),
}

// typing is pushed when the signal comes back from the log, on every node.
func typing(s *session, c *call, p *schema.PostAction) {
	if !s.server.hub.isIn(s, schema.PostRoom(p.PostID)) {
		c.fail(schema.NewError(schema.NotInRoom, ""))
		return
	}
	if !s.record("user:typing", "post:"+p.PostID, p) {
		c.fail(schema.NewError(schema.LogUnavailable, ""))
		return
	}
	c.ok(nil)
}

// record puts a signal of this socket's user into the log, and reports whether
// the log took it.
func (s *session) record(event, entity string, data any) bool {
	now := time.Now()
	err := s.server.cfg.Log.Signal(eventlog.Record{
		Time:   schema.TimeOf(now),
		ID:     eventlog.NewID(now),
		Event:  event,
		Actor:  s.identity.Load().Actor,
		Entity: entity,
		Data:   mustJSON(data),
		Socket: s.id,
	})
	if err != nil {
		s.server.log.Warn("signal not recorded", "event", event, "error", err)
	}
	return err == nil
}

// onSignal pushes a signal, of this node or another, to the sockets here. It is
// called from one goroutine of the log.
func (s *Server) onSignal(r eventlog.Record) {
	switch {
	case schema.NamespaceOf(r.Event) == schema.Connection:
		s.sawSignal(r)
	case r.Event == "user:typing":
		apart, err := s.apartFrom(r.Actor.ID)
		if err != nil {
			s.log.Error("typing: read models", "error", err)
			return // a block may forbid it
		}
		typed(s, r, apart, func(p schema.PostAction) (string, any) {
			return schema.PostRoom(p.PostID), schema.UserTyping{PostID: p.PostID, UserID: r.Actor.ID, Username: r.Actor.Username, Action: p.Action}
		})
	case r.Event == "message:typing":
		typed(s, r, nil, func(p schema.ConversationAction) (string, any) {
			return schema.ConversationRoom(p.ConversationID), schema.MessageTyping{
				ConversationID: p.ConversationID, UserID: r.Actor.ID, Username: r.Actor.Username, Action: p.Action,
			}
		})
	}
}

// apartFrom returns the connected users whom a block keeps apart from one.
func (s *Server) apartFrom(user string) (ids []string, err error) {
	err = s.cfg.Models.View(func(v *projections.View) error {
		for id := range s.hub.related(v, apart, user, apart.count(v, user)) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// typed tells a room, but for some users, that someone types; push returns the room
// and what it is told.
func typed[P any](s *Server, r eventlog.Record, except []string, push func(P) (room string, data any)) {
	var p P
	if err := json.Unmarshal(r.Data, &p); err != nil {
		s.log.Warn("signal with bad data", "event", r.Event, "error", err)
		return
	}
	room, data := push(p)
	s.deliver(0, []delivery{{event: r.Event, at: r.Time, data: mustJSON(data), rooms: []string{room}, origin: r.Socket, except: setOf(except)}}, nil)
}
