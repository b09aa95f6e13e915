package projections

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"

	"roomlog/schema"
)

// maxShown bounds the participants on a page of conversations: past it the page
// ends early.
const maxShown = 2 * maxParticipants

// Conversations answers conversation:list: the viewer's conversations, the one
// where something was said last first. Those that the viewer deleted are left out
// until something is said in them. A page ends early after very large ones.
func (v *View) Conversations(viewer string, q schema.Page) (schema.Items[schema.Conversation], error) {
	page := schema.Items[schema.Conversation]{Items: []schema.Conversation{}}
	c := &v.state.conversations
	bound := uint64(pastEnd)
	if q.Before != "" {
		h, m, ok := c.enter(viewer, q.Before)
		if !ok {
			return page, unknownCursor()
		}
		bound, _ = m.activity(h)
	}
	limit := pageSize(q)
	newest := make(recent, 0, limit+2)
	for id, m := range c.of(viewer) {
		h, _ := c.conversation(id)
		at, _ := m.activity(h)
		if at >= bound || m.hidden(h) {
			continue
		}
		if heap.Push(&newest, talk{at, id, h, m}); len(newest) > limit+1 {
			heap.Pop(&newest)
		}
	}
	slices.SortFunc(newest, func(a, b talk) int { return cmp.Compare(b.at, a.at) })
	people := uint64(0)
	for i, t := range newest {
		if people += t.head.size; i == limit || people > maxShown {
			page.Next = newest[i-1].id
			break
		}
		page.Items = append(page.Items, v.conversation(viewer, t.id, t.head, t.member))
	}
	return page, nil
}

// talk is a conversation in a list.
type talk struct {
	at     uint64 // place of the last activity
	id     string
	head   conversation
	member membership
}

// recent is a heap, the conversation that has been quiet longest first.
type recent []talk

func (h recent) Len() int           { return len(h) }
func (h recent) Less(i, j int) bool { return h[i].at < h[j].at }
func (h recent) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *recent) Push(x any)        { *h = append(*h, x.(talk)) }
func (h *recent) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	*h = (*h)[:last]
	return t
}

// Conversation answers conversation:get, for participants alone.
func (v *View) Conversation(viewer, id string) (schema.Conversation, error) {
	h, m, ok := v.state.conversations.enter(viewer, id)
	if !ok {
		return schema.Conversation{}, schema.NewError(schema.ConversationNotFound, "")
	}
	return v.conversation(viewer, id, h, m), nil
}

// conversation shows a conversation to a member.
func (v *View) conversation(viewer, id string, h conversation, m membership) schema.Conversation {
	c := &v.state.conversations
	roster := c.roster(id)
	_, at := m.activity(h)
	shown := schema.Conversation{
		ID: id, Type: h.kind(), Name: string(h.name), Participants: make([]schema.Actor, len(roster)), CreatedAt: h.created,
		LastActivity: &at, UnreadCount: new(int(m.unread(h))),
	}
	for i, p := range roster {
		shown.Participants[i] = v.actor(p.user)
	}
	for key, row := range c.messages.before(seqKey(h.seq), messageKey(h.seq, pastEnd)) {
		if number := seqOf(key); number > m.floor {
			last := v.message(number, row, v.receipts(viewer, id, h))
			shown.LastMessage = &last
		}
		break
	}
	return shown
}

// Participates reports whether a user is a participant of a conversation.
func (v *View) Participates(user, conversationID string) bool {
	_, ok := v.state.conversations.membership(user, conversationID)
	return ok
}

// maxPartners bounds Partners, and the conversations that are looked into for it.
const maxPartners = 10_000

// Partners yields those who share a conversation of at most 100 participants with
// a user, each once and at most 10,000. Two of whom one blocks the other are no
// partners.
func (v *View) Partners(user string) iter.Seq[string] {
	return func(yield func(string) bool) {
		c := &v.state.conversations
		seen := map[string]bool{user: true}
		looked := 0
		for id := range c.of(user) {
			if looked++; looked > maxPartners {
				return
			}
			if h, _ := c.conversation(id); h.size > maxReceipts {
				continue
			}
			for _, p := range c.roster(id) {
				if seen[p.user] {
					continue
				}
				if seen[p.user] = true; len(seen) > maxPartners+1 || !v.Blocked(user, p.user) && !yield(p.user) {
					return
				}
			}
		}
	}
}
