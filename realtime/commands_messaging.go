package realtime

import (
	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// messagingFacts are the facts of /messaging. Who may send which is the
// projector's to decide, at the record's place in the log.
var messagingFacts = map[string]command{
	"conversation:create": fact(func(r *eventlog.Record, _ *schema.ConversationCreate) { r.Entity = "conversation:" + r.ID }),
	"conversation:update": fact(func(r *eventlog.Record, p *schema.ConversationUpdate) { r.Entity = "conversation:" + p.ConversationID }),
	"conversation:delete": fact(func(r *eventlog.Record, p *schema.ConversationRef) { r.Entity = "conversation:" + p.ConversationID }),
	"message:send":        fact(func(r *eventlog.Record, p *schema.MessageSend) { r.Entity = "conversation:" + p.ConversationID }),
	"message:delivered":   fact(func(r *eventlog.Record, p *schema.MessageRef) { r.Entity = "conversation:" + p.ConversationID }),
	"message:read":        fact(func(r *eventlog.Record, p *schema.MessageRef) { r.Entity = "conversation:" + p.ConversationID }),
	"message:edit":        fact(func(r *eventlog.Record, p *schema.MessageEdit) { r.Entity = "message:" + p.MessageID }),
	"message:delete":      fact(func(r *eventlog.Record, p *schema.MessageRef) { r.Entity = "message:" + p.MessageID }),
}

// messagingQueries are the queries of /messaging. The viewer is the session's
// user, whatever the payload says.
var messagingQueries = map[string]command{
	"conversation:list": query(func(s *session, v *projections.View, q *schema.Page) (any, error) {
		return v.Conversations(s.userID(), *q)
	}),
	"conversation:get": query(func(s *session, v *projections.View, q *schema.ConversationRef) (any, error) {
		return v.Conversation(s.userID(), q.ConversationID)
	}),
	"message:list": query(func(s *session, v *projections.View, q *schema.MessageList) (any, error) {
		return v.Messages(s.userID(), *q)
	}),
}

// messagingSignals are the signals of /messaging: recorded, but never waited for.
var messagingSignals = map[string]command{
	"message:join": act(func(s *session, c *call, p *schema.ConversationRef) {
		if s.enterRoom(c, schema.ConversationRoom(p.ConversationID), p, schema.ConversationNotFound) {
			s.tell("message:joined", mustJSON(p))
		}
	}),
	"message:leave": act(func(s *session, c *call, p *schema.ConversationRef) {
		s.leaveRoom(c, schema.ConversationRoom(p.ConversationID), p)
	}),
	"message:typing": act(messageTyping),
}

// messageTyping needs no seat in the room: who may send a message may type one. It is pushed when the signal comes back from the log.
func messageTyping(s *session, c *call, p *schema.ConversationAction) {
	if !s.record("message:typing", schema.ConversationRoom(p.ConversationID), p) {
		c.fail(schema.NewError(schema.LogUnavailable, ""))
		return
	}
	c.ok(nil)
}
