package projections

import (
	"encoding/json"
	"slices"

	"roomlog/schema"
)

// Messages answers message:list for participants: messages of their time, newest
// first. Before and around lead to older ones by next; after leads to newer ones,
// next is then what to send as after again. A deleted message's id still works.
func (v *View) Messages(viewer string, q schema.MessageList) (schema.Items[schema.Message], error) {
	page := schema.Items[schema.Message]{Items: []schema.Message{}}
	h, m, ok := v.state.conversations.enter(viewer, q.ConversationID)
	if !ok {
		return page, schema.NewError(schema.ConversationNotFound, "")
	}
	l := messageList{View: v, id: q.ConversationID, head: h, floor: m.floor, receipts: v.receipts(viewer, q.ConversationID, h)}
	cursor, err := l.cursor(m, q)
	if err != nil {
		return page, err
	}
	limit := pageSize(q.Page)
	switch {
	case q.After != "":
		newer, more := l.newer(cursor+1, limit)
		if page.Items = newer; more {
			page.Next = newer[0].ID
		}
	case q.Around != "":
		newer, _ := l.newer(cursor, (limit+1)/2)
		older, more := l.older(cursor, limit-(limit+1)/2)
		if page.Items = append(newer, older...); more {
			page.Next = q.Around
			if len(page.Items) > 0 {
				page.Next = page.Items[len(page.Items)-1].ID
			}
		}
	default:
		older, more := l.older(cursor, limit)
		if page.Items = older; more {
			page.Next = older[limit-1].ID
		}
	}
	return page, nil
}

// messageList is what one viewer sees of a conversation.
type messageList struct {
	*View
	id       string
	head     conversation
	floor    uint64
	receipts []receipt
}

// cursor returns the number of the message that a page is asked for by.
func (l *messageList) cursor(m membership, q schema.MessageList) (uint64, error) {
	id, field := q.Before+q.After+q.Around, ""
	switch id {
	case "":
		return pastEnd, nil
	case q.Before:
		field = "/before"
	case q.After:
		field = "/after"
	case q.Around:
		field = "/around"
	default:
		return 0, schema.NewError(schema.InvalidField, "at most one of before, after and around")
	}
	p, ok := l.state.conversations.sees(l.head, m, id)
	if !ok {
		return 0, schema.NewError(schema.InvalidField, field+": no message of this conversation that you may see")
	}
	return p.number, nil
}

// older returns at most limit messages before a number, newest first, and whether
// there are more.
func (l *messageList) older(number uint64, limit int) (items []schema.Message, more bool) {
	items = []schema.Message{}
	for key, row := range l.state.conversations.messages.before(seqKey(l.head.seq), messageKey(l.head.seq, number)) {
		switch n := seqOf(key); {
		case n <= l.floor:
			return items, false
		case len(items) == limit:
			return items, true
		default:
			items = append(items, l.message(n, row, l.receipts))
		}
	}
	return items, false
}

// newer returns at most limit messages from a number on, newest first, and whether
// there are more.
func (l *messageList) newer(number uint64, limit int) (items []schema.Message, more bool) {
	items = []schema.Message{}
	for key, row := range l.state.conversations.messages.scan(seqKey(l.head.seq), messageKey(l.head.seq, number)) {
		if more = len(items) == limit; more {
			break
		}
		items = append(items, l.message(seqOf(key), row, l.receipts))
	}
	slices.Reverse(items)
	return items, more
}

// receipt is how far a participant has got.
type receipt struct {
	user string
	membership
}

// receipts returns how far everyone has got, as far as the viewer is told; nil where
// there are too many of them.
func (v *View) receipts(viewer, id string, h conversation) (all []receipt) {
	if h.size > maxReceipts {
		return nil
	}
	c := &v.state.conversations
	for _, p := range c.roster(id) {
		if !h.group && v.Blocked(viewer, p.user) {
			continue
		}
		m, _ := c.membership(p.user, id)
		all = append(all, receipt{p.user, m})
	}
	return all
}

// message shows a message that is there.
func (v *View) message(number uint64, row []byte, receipts []receipt) schema.Message {
	m := decodeMessage(row)
	shown := schema.Message{
		ID: m.id, Sender: v.actor(m.sender), Content: m.content, MessageType: m.kind, Media: []schema.Media{},
		ReplyTo: m.replyTo, CreatedAt: m.created, EditedAt: optional(m.edited),
	}
	if len(m.media) > 0 {
		if err := json.Unmarshal(m.media, &shown.Media); err != nil {
			panic(damage("the media of a message: " + err.Error()))
		}
	}
	for _, r := range receipts {
		if r.user == m.sender || number <= r.floor {
			continue
		}
		if number <= r.delivered {
			shown.DeliveredTo = append(shown.DeliveredTo, r.user)
		}
		if number <= r.read {
			shown.ReadBy = append(shown.ReadBy, r.user)
		}
	}
	return shown
}
