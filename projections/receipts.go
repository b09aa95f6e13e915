package projections

import "roomlog/schema"

// maxReceipts is how many participants a conversation may have for all of them to
// be told, and shown, how far each has read. In larger ones everyone knows their
// own markers alone.
const maxReceipts = 100

// receipt returns the message up to which the actor says to have got or read all.
// It may be deleted: it still is a position.
func (c *conversations) receipt(r *record, d *schema.MessageRef) (h conversation, m membership, p position, code schema.Code) {
	h, m, _ = c.enter(r.Actor.ID, d.ConversationID) // permit let nobody else come here
	p, ok := c.sees(h, m, d.MessageID)
	if !ok {
		code = schema.MessageNotFound
	}
	return h, m, p, code
}

func (c *conversations) delivered(r *record, d *schema.MessageRef) (verdict, error) {
	h, m, p, code := c.receipt(r, d)
	switch {
	case code != "":
		return void(code), nil
	case p.number <= m.delivered:
		return void(schema.AlreadyDelivered), nil
	}
	m.delivered = p.number
	c.setMembership(r.Actor.ID, d.ConversationID, m)
	return discreet(h, gotMessage(r, d, h)), nil
}

func (c *conversations) messageDelivered(r *record, d *schema.MessageRef, _ uint64) verdict {
	h, ok := c.conversation(d.ConversationID)
	if !ok {
		return void(schema.ConversationNotFound)
	}
	return gotMessage(r, d, h)
}

func gotMessage(r *record, d *schema.MessageRef, h conversation) verdict {
	v := r.applied(schema.MessageDelivered{
		MessageID: d.MessageID, ConversationID: d.ConversationID, DeliveredTo: r.Actor.ID, DeliveredAt: r.Time,
	}, r.conversationRoom(d.ConversationID), schema.UserRoom(r.Actor.ID))
	return toOthers(h, d, r, v)
}

func (c *conversations) read(r *record, d *schema.MessageRef) (verdict, error) {
	h, m, p, code := c.receipt(r, d)
	switch {
	case code != "":
		return void(code), nil
	case p.number <= m.read:
		return void(schema.AlreadyRead), nil
	}
	c.markRead(h, &m, r.Actor.ID, p.number)
	c.setMembership(r.Actor.ID, d.ConversationID, m)
	v := discreet(h, readMessage(r, d, h, m.unread(h)))
	v.number = p.number
	return v, nil
}

func (c *conversations) messageRead(r *record, d *schema.MessageRef, unread uint64) verdict {
	h, ok := c.conversation(d.ConversationID)
	if !ok {
		return void(schema.ConversationNotFound)
	}
	return readMessage(r, d, h, unread)
}

func readMessage(r *record, d *schema.MessageRef, h conversation, unread uint64) verdict {
	payload := schema.MessageRead{MessageID: d.MessageID, ConversationID: d.ConversationID, ReadBy: r.Actor.ID, ReadAt: r.Time}
	v := r.counted(unread, payload, r.conversationRoom(d.ConversationID), schema.UserRoom(r.Actor.ID))
	payload.UnreadCount = new(int(unread))
	v.own = payload
	return toOthers(h, d, r, v)
}

// toOthers says who is not told of a receipt: those for whom the message is before
// their time and, of two who are alone with each other, who is across a block.
func toOthers(h conversation, d *schema.MessageRef, r *record, v verdict) verdict {
	if h.size <= maxReceipts {
		v.of = *d
	}
	if !h.group {
		v.apart = r.Actor.ID
	}
	return v
}

// discreet keeps a receipt in a large conversation to the one whose it is.
func discreet(h conversation, v verdict) verdict {
	if h.size > maxReceipts {
		v.rooms = v.rooms[len(v.rooms)-1:]
	}
	return v
}

// markRead moves a member's read marker on. What is not unread after it is
// counted anew by a walk over the messages that the marker passes, or over those
// behind it where they are fewer: so a member's markers cost one look at each
// message, however often they move. Mostly there is nothing to count.
func (c *conversations) markRead(h conversation, m *membership, user string, to uint64) {
	switch passed, left := to-m.read, h.total-to; {
	case left == 0:
		m.own, m.gone = 0, 0
	case m.own == 0 && m.gone == 0:
	case passed <= left:
		own, gone := c.count(h, user, m.read+1, to)
		m.own, m.gone = m.own-own, m.gone-gone
	default:
		m.own, m.gone = c.count(h, user, to+1, h.total)
	}
	m.read, m.delivered = to, max(m.delivered, to)
}

// count returns how many of the messages first..last are a user's own, and how
// many are gone.
func (c *conversations) count(h conversation, user string, first, last uint64) (own, gone uint64) {
	gone = last + 1 - first
	for row := range c.messages.numbered(seqKey(h.seq), first, last) {
		if gone--; string(senderOf(row)) == user {
			own++
		}
	}
	return own, gone
}
