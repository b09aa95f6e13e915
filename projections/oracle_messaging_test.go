package projections

import (
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// oracleTalk is a conversation with all that was ever said in it. Nothing about
// it is counted before somebody asks.
type oracleTalk struct {
	shown    schema.Conversation // without participants
	seq      uint64
	creator  string
	deleted  bool
	members  []*oracleMember // in the order in which they joined
	messages []*oracleMessage
}

type oracleMember struct {
	user            string
	joined, since   uint64
	at              schema.Time
	from            int // how many messages had been sent before their time
	delivered, read int // how many messages they know of, from the first of all
}

type oracleMessage struct {
	shown   schema.Message
	seq     uint64
	deleted bool
}

// telling is what should be told of a record.
type telling struct {
	rooms, users, except, evicted []string

	closed bool
	own    any
	first  uint64
}

func (o *oracle) talk(id string) *oracleTalk {
	for _, t := range o.talks {
		if t.shown.ID == id {
			return t
		}
	}
	return nil
}

func (t *oracleTalk) member(user string) *oracleMember {
	for _, m := range t.members {
		if m.user == user && !t.deleted {
			return m
		}
	}
	return nil
}

func (t *oracleTalk) users() (users []string) {
	for _, m := range t.members {
		users = append(users, m.user)
	}
	return users
}

func (t *oracleTalk) direct() bool { return t.shown.Type == "direct" }

func (t *oracleTalk) room() string { return "conversation:" + t.shown.ID }

// number returns how many messages were sent up to one, itself included; 0 when
// the member does not know of it.
func (t *oracleTalk) number(m *oracleMember, id string) int {
	for i, message := range t.messages {
		if message.shown.ID == id && i >= m.from {
			return i + 1
		}
	}
	return 0
}

func (t *oracleTalk) unread(m *oracleMember) (n int) {
	for _, message := range t.messages[m.read:] {
		if !message.deleted && message.shown.Sender.ID != m.user {
			n++
		}
	}
	return n
}

// decideTalk is decide for the facts of /messaging.
func (o *oracle) decideTalk(r eventlog.Record) (schema.Code, any, telling) {
	if r.Event == "conversation:create" {
		return o.createTalk(r, read[schema.ConversationCreate](r))
	}
	d := read[schema.MessageRef](r)
	t := o.talk(d.ConversationID)
	if t == nil || t.member(r.Actor.ID) == nil {
		return schema.ConversationNotFound, nil, telling{}
	}
	switch r.Event {
	case "conversation:update":
		return o.updateTalk(r, t, read[schema.ConversationUpdate](r).Updates)
	case "conversation:delete":
		return o.deleteTalk(r, t)
	case "message:send":
		return o.sendMessage(r, t, read[schema.MessageSend](r))
	case "message:delivered", "message:read":
		return o.markTalk(r, t, d.MessageID)
	}
	return o.changeMessage(r, t, d.MessageID)
}

func (o *oracle) createTalk(r eventlog.Record, d schema.ConversationCreate) (code schema.Code, payload any, told telling) {
	me := r.Actor.ID
	users := append([]string{me}, d.Participants...)
	if slices.Contains(d.Participants, me) {
		return schema.Oneself, nil, told
	}
	for _, user := range d.Participants {
		if o.blocked(me, user) {
			return schema.Blocked, nil, told
		}
	}
	for i, user := range users {
		if i > 0 && (user == "" || slices.Contains(users[1:i], user)) {
			return schema.InvalidField, nil, told
		}
	}
	for _, t := range o.talks {
		m := t.member(me)
		if d.Type != "direct" || !t.direct() || m == nil || t.member(users[1]) == nil {
			continue
		}
		payload = schema.ConversationCreated{Conversation: o.opened(t, r.Actor)}
		if o.hidden(t, m) {
			m.joined, m.at = r.Seq, r.Time
			return "", payload, telling{rooms: []string{"user:" + me}}
		}
		return schema.ConversationExists, payload, telling{first: t.seq}
	}
	t := &oracleTalk{
		shown: schema.Conversation{ID: r.ID, Type: d.Type, Name: d.Name, CreatedAt: r.Time}, seq: r.Seq, creator: me,
	}
	o.talks = append(o.talks, t)
	for _, user := range users {
		t.join(r, user)
	}
	return "", schema.ConversationCreated{Conversation: o.opened(t, r.Actor)}, telling{users: users}
}

func (t *oracleTalk) join(r eventlog.Record, user string) {
	n := len(t.messages)
	t.members = append(t.members, &oracleMember{user: user, joined: r.Seq, since: r.Seq, at: r.Time, from: n, delivered: n, read: n})
}

// opened is a conversation as its creation tells of it.
func (o *oracle) opened(t *oracleTalk, actor schema.Actor) schema.Conversation {
	shown := t.shown
	for _, user := range t.users() {
		a := o.actor(user)
		if user == actor.ID {
			a = actor
		}
		shown.Participants = append(shown.Participants, a)
	}
	return shown
}

// hidden: deleted by the member, and neither opened again nor written in since.
func (o *oracle) hidden(t *oracleTalk, m *oracleMember) bool {
	return m.since > m.joined && (len(t.messages) == 0 || t.messages[len(t.messages)-1].seq < m.since)
}

func (o *oracle) updateTalk(r eventlog.Record, t *oracleTalk, u schema.ConversationUpdates) (schema.Code, any, telling) {
	none := telling{}
	if t.direct() {
		return schema.NotPermitted, nil, none
	}
	for _, user := range u.AddParticipants {
		if o.blocked(r.Actor.ID, user) {
			return schema.Blocked, nil, none
		}
	}
	both := slices.Concat(u.AddParticipants, u.RemoveParticipants)
	for i, user := range both {
		if user == "" || slices.Contains(both[:i], user) {
			return schema.InvalidField, nil, none
		}
	}
	if u.Name == "" && len(both) == 0 {
		return schema.InvalidField, nil, none
	}
	for _, user := range u.RemoveParticipants {
		switch {
		case user != r.Actor.ID && t.creator != r.Actor.ID:
			return schema.NotPermitted, nil, none
		case t.member(user) == nil:
			return schema.NotParticipant, nil, none
		}
	}
	for _, user := range u.AddParticipants {
		if t.member(user) != nil {
			return schema.AlreadyParticipant, nil, none
		}
	}
	told := telling{rooms: []string{t.room()}, evicted: u.RemoveParticipants}
	for _, user := range u.RemoveParticipants {
		t.members = slices.DeleteFunc(t.members, func(m *oracleMember) bool { return m.user == user })
		told.rooms = append(told.rooms, "user:"+user)
	}
	for _, user := range u.AddParticipants {
		t.join(r, user)
	}
	if u.Name != "" {
		t.shown.Name = u.Name
	}
	t.deleted = len(t.members) == 0
	if !t.deleted && t.member(t.creator) == nil {
		t.creator = t.members[0].user
	}
	told.users = t.users()
	return "", schema.ConversationUpdated{ConversationID: t.shown.ID, Updates: u, UpdatedAt: r.Time}, told
}

func (o *oracle) deleteTalk(r eventlog.Record, t *oracleTalk) (schema.Code, any, telling) {
	payload := schema.ConversationDeleted{ConversationID: t.shown.ID, DeletedBy: r.Actor.ID}
	if t.direct() {
		m, n := t.member(r.Actor.ID), len(t.messages)
		m.since, m.from, m.delivered, m.read = r.Seq, n, n, n
		return "", payload, telling{rooms: []string{"user:" + r.Actor.ID}}
	}
	if t.creator != r.Actor.ID {
		return schema.NotPermitted, nil, telling{}
	}
	told := telling{rooms: []string{t.room()}, closed: true}
	for _, user := range t.users() {
		told.rooms = append(told.rooms, "user:"+user)
	}
	t.deleted = true
	return "", payload, told
}

func (o *oracle) silent(t *oracleTalk) bool {
	return t.direct() && o.blocked(t.members[0].user, t.members[1].user)
}

func (o *oracle) sendMessage(r eventlog.Record, t *oracleTalk, d schema.MessageSend) (schema.Code, any, telling) {
	if o.silent(t) {
		return schema.Blocked, nil, telling{}
	}
	if !slices.Contains([]string{"text", "image", "video", "file"}, d.MessageType) {
		return schema.InvalidField, nil, telling{}
	}
	if d.ReplyTo != "" {
		if n := t.number(t.member(r.Actor.ID), d.ReplyTo); n == 0 || t.messages[n-1].deleted {
			return schema.MessageNotFound, nil, telling{}
		}
	}
	m := schema.Message{
		ID: r.ID, Sender: r.Actor, Content: d.Content, MessageType: d.MessageType,
		Media: append([]schema.Media{}, d.Media...), ReplyTo: d.ReplyTo, CreatedAt: r.Time,
	}
	t.messages = append(t.messages, &oracleMessage{shown: m, seq: r.Seq})
	return "", schema.MessageSent{ConversationID: t.shown.ID, Message: m}, telling{rooms: []string{t.room()}, users: t.users()}
}

func (o *oracle) changeMessage(r eventlog.Record, t *oracleTalk, id string) (schema.Code, any, telling) {
	n := t.number(t.member(r.Actor.ID), id)
	if n == 0 || t.messages[n-1].deleted {
		return schema.MessageNotFound, nil, telling{}
	}
	m := t.messages[n-1]
	told := telling{rooms: []string{t.room()}, users: t.users()}
	for _, member := range t.members {
		if n <= member.from {
			told.except = append(told.except, member.user)
		}
	}
	switch {
	case m.shown.Sender.ID != r.Actor.ID:
		return schema.NotPermitted, nil, telling{}
	case r.Event == "message:delete":
		m.deleted = true
		return "", schema.MessageDeleted{MessageID: id, ConversationID: t.shown.ID, DeletedBy: r.Actor.ID}, told
	case o.silent(t):
		return schema.Blocked, nil, telling{}
	}
	m.shown.Content, m.shown.EditedAt = read[schema.MessageEdit](r).Content, &r.Time
	return "", schema.MessageEdited{MessageID: id, ConversationID: t.shown.ID, Content: m.shown.Content, EditedAt: r.Time}, told
}

func (o *oracle) markTalk(r eventlog.Record, t *oracleTalk, id string) (schema.Code, any, telling) {
	me := t.member(r.Actor.ID)
	n := t.number(me, id)
	told := telling{rooms: []string{t.room(), "user:" + me.user}}
	for _, member := range t.members {
		if n <= member.from {
			told.except = append(told.except, member.user)
		}
	}
	switch {
	case n == 0:
		return schema.MessageNotFound, nil, telling{}
	case t.messages[n-1].shown.Sender.ID == me.user:
		return schema.NotPermitted, nil, telling{}
	case r.Event == "message:delivered" && n <= me.delivered:
		return schema.AlreadyDelivered, nil, telling{}
	case r.Event == "message:delivered":
		me.delivered = n
		return "", schema.MessageDelivered{MessageID: id, ConversationID: t.shown.ID, DeliveredTo: me.user, DeliveredAt: r.Time}, told
	case n <= me.read:
		return schema.AlreadyRead, nil, telling{}
	}
	me.read, me.delivered = n, max(n, me.delivered)
	payload := schema.MessageRead{MessageID: id, ConversationID: t.shown.ID, ReadBy: me.user, ReadAt: r.Time}
	own := payload
	own.UnreadCount = new(t.unread(me))
	told.own = own
	return "", payload, told
}
