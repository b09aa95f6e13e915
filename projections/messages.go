package projections

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"roomlog/schema"
)

// message is a row of messages, until it is deleted, or of withheld while it is removed.
type message struct {
	sender, id      string
	kind            string
	created, edited schema.Time // edited 0: never
	replyTo         string
	media           []byte // JSON list, "" for none
	content         string
}

func (m message) encode(b []byte) []byte {
	b = appendText(b, m.sender)
	b = appendText(b, m.id)
	b = appendText(b, m.kind)
	b = appendTime(b, m.created)
	b = appendTime(b, m.edited)
	b = appendText(b, m.replyTo)
	b = binary.AppendUvarint(b, uint64(len(m.media)))
	b = append(b, m.media...)
	return append(b, m.content...)
}

func decodeMessage(row []byte) message {
	f := fields{row}
	return message{f.text(), f.text(), f.text(), f.time(), f.time(), f.text(), f.bytes(), string(f.rest)}
}

func (m message) describe() Fields {
	return append(Fields{{"message", m.id}, {"sender", m.sender}, {"messageType", m.kind}, {"created", m.created}}.
		at("edited", m.edited).maybe("replyTo", m.replyTo), Field{"content", m.content}).json("media", m.media)
}

// senderOf reads no more of a message than a count needs.
func senderOf(row []byte) []byte {
	f := fields{row}
	return f.bytes()
}

func messageKey(conversation, number uint64) []byte {
	return within(conversation, number)
}

// position is a row of places. It stays when the message is deleted: its id still
// works as a cursor and for a marker.
type position struct {
	fate                 fate
	conversation, number uint64 // the conversation's place, and the message's number in it
	sender               []byte
}

func (p position) encode(b []byte) []byte {
	b = append(b, byte(p.fate))
	b = binary.AppendUvarint(b, p.conversation)
	b = binary.AppendUvarint(b, p.number)
	return append(b, p.sender...)
}

func decodePosition(row []byte) position {
	f := fields{row}
	return position{fate(f.uint()), f.uint(), f.uint(), f.rest}
}

func (p position) describe() Fields {
	return Fields{{"fate", p.fate.String()}, {"conversationSeq", p.conversation}, {"number", p.number}, {"sender", string(p.sender)}}
}

// find returns where a message of a conversation is, or was if it is deleted.
func (c *conversations) find(h conversation, messageID string) (p position, ok bool) {
	row := c.places.get([]byte(messageID))
	if row == nil {
		return position{}, false
	}
	p = decodePosition(row)
	return p, p.conversation == h.seq
}

// sees is find for a message of a member's time.
func (c *conversations) sees(h conversation, m membership, messageID string) (p position, ok bool) {
	p, ok = c.find(h, messageID)
	return p, ok && p.number > m.floor
}

func (c *conversations) send(r *record, d *schema.MessageSend) (verdict, error) {
	h, m, ok := c.enter(r.Actor.ID, d.ConversationID)
	if !ok {
		return void(schema.ConversationNotFound), nil
	}
	switch d.MessageType {
	case schema.MessageText, schema.MessageImage, schema.MessageVideo, schema.MessageFile:
	default:
		return void(schema.InvalidField), nil
	}
	if d.ReplyTo != "" {
		if p, ok := c.sees(h, m, d.ReplyTo); !ok || p.fate != there {
			return void(schema.MessageNotFound), nil
		}
	}
	if c.places.has([]byte(r.ID)) {
		return verdict{}, fmt.Errorf("the message id %s is taken", r.ID)
	}
	said := message{sender: r.Actor.ID, id: r.ID, kind: d.MessageType, created: r.Time, replyTo: d.ReplyTo, content: d.Content}
	if len(d.Media) > 0 {
		var err error
		if said.media, err = json.Marshal(d.Media); err != nil {
			return verdict{}, err
		}
	}
	h.total++
	h.last, h.lastAt = r.Seq, r.Time
	m.own++
	c.messages.put(messageKey(h.seq, h.total), said.encode(c.messages.blank()))
	c.places.put([]byte(r.ID), position{conversation: h.seq, number: h.total, sender: []byte(r.Actor.ID)}.encode(c.places.blank()))
	c.setMembership(r.Actor.ID, d.ConversationID, m)
	c.setConversation(d.ConversationID, h)
	v := c.sent(r, d)
	v.number, v.group = h.total, h.group
	if h.size <= maxReceipts || strings.Contains(d.Content, "@") {
		v.listeners = c.participants(d.ConversationID)
	}
	return v, nil
}

func (c *conversations) messageSent(r *record, d *schema.MessageSend, _ uint64) verdict {
	if code := c.gone(d.ConversationID, r.ID); code != "" {
		return void(code)
	}
	return c.sent(r, d)
}

func (c *conversations) sent(r *record, d *schema.MessageSend) verdict {
	return toAll(r, d.ConversationID, schema.MessageSent{ConversationID: d.ConversationID, Message: schema.Message{
		ID: r.ID, Sender: r.Actor, Content: d.Content, MessageType: d.MessageType, Media: list(d.Media),
		ReplyTo: d.ReplyTo, CreatedAt: r.Time,
	}})
}

// gone says why nobody is told of a message any more, "" for no reason.
func (c *conversations) gone(id, messageID string) schema.Code {
	h, ok := c.conversation(id)
	if !ok {
		return schema.ConversationNotFound
	}
	if p, ok := c.find(h, messageID); !ok || p.fate != there {
		return schema.MessageNotFound
	}
	return ""
}

// toAll tells the conversation's room, and each participant for the sockets that
// are not in it.
func toAll(r *record, id string, payload any) verdict {
	v := r.applied(payload, r.conversationRoom(id))
	v.participantsOf = id
	return v
}

// written returns a message that is there, to a participant who sees it.
func (c *conversations) written(r *record, id, messageID string) (conversation, position, schema.Code) {
	h, m, ok := c.enter(r.Actor.ID, id)
	if !ok {
		return h, position{}, schema.ConversationNotFound
	}
	p, ok := c.sees(h, m, messageID)
	if !ok || p.fate != there {
		return h, p, schema.MessageNotFound
	}
	return h, p, ""
}

func (c *conversations) edit(r *record, d *schema.MessageEdit) (verdict, error) {
	_, p, code := c.written(r, d.ConversationID, d.MessageID)
	if code != "" {
		return void(code), nil
	}
	key := messageKey(p.conversation, p.number)
	said := decodeMessage(c.messages.get(key))
	said.content, said.edited = d.Content, r.Time
	c.messages.put(key, said.encode(c.messages.blank()))
	return c.messageEdited(r, d, 0), nil
}

func (c *conversations) messageEdited(r *record, d *schema.MessageEdit, _ uint64) verdict {
	if code := c.gone(d.ConversationID, d.MessageID); code != "" {
		return void(code)
	}
	v := toAll(r, d.ConversationID, schema.MessageEdited{
		MessageID: d.MessageID, ConversationID: d.ConversationID, Content: d.Content, EditedAt: r.Time,
	})
	v.of = schema.MessageRef{ConversationID: d.ConversationID, MessageID: d.MessageID}
	return v
}

// unsend takes a message away.
func (c *conversations) unsend(r *record, d *schema.MessageRef) (verdict, error) {
	_, p, code := c.written(r, d.ConversationID, d.MessageID)
	if code != "" {
		return void(code), nil
	}
	c.messages.remove(messageKey(p.conversation, p.number))
	c.missing(d.ConversationID, p, 1)
	p.fate = deleted
	c.places.put([]byte(d.MessageID), p.encode(c.places.blank()))
	v := c.messageDeleted(r, d, 0)
	v.number = p.number
	return v, nil
}

// missing counts a message that went (1), or came back (-1): whoever has not read
// as far has one less to read, or one more, and so has the sender of their own.
func (c *conversations) missing(id string, p position, by int) {
	for _, member := range c.roster(id) {
		m, ok := c.membership(member.user, id)
		if !ok || p.number <= m.read {
			continue
		}
		if m.gone += uint64(by); member.user == string(p.sender) {
			m.own -= uint64(by)
		}
		c.setMembership(member.user, id, m)
	}
}

func (c *conversations) messageDeleted(r *record, d *schema.MessageRef, _ uint64) verdict {
	if _, ok := c.conversation(d.ConversationID); !ok {
		return void(schema.ConversationNotFound)
	}
	v := toAll(r, d.ConversationID, schema.MessageDeleted{
		MessageID: d.MessageID, ConversationID: d.ConversationID, DeletedBy: r.Actor.ID,
	})
	v.of = schema.MessageRef{ConversationID: d.ConversationID, MessageID: d.MessageID}
	return v
}

// later returns the participants whose time began after a message, none for no message.
func (c *conversations) later(d schema.MessageRef) (users []string) {
	if d.MessageID == "" {
		return nil
	}
	h, _ := c.conversation(d.ConversationID)
	roster := c.roster(d.ConversationID)
	if last := len(roster) - 1; h.group && last >= 0 && roster[last].joined == h.seq {
		return nil // all were there from the beginning
	}
	p, _ := c.find(h, d.MessageID)
	for _, member := range roster {
		if m, ok := c.membership(member.user, d.ConversationID); ok && p.number <= m.floor {
			users = append(users, member.user)
		}
	}
	return users
}
