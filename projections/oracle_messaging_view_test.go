package projections

import (
	"encoding/json"
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// visible lists the messages that a member sees, oldest first.
func (o *oracle) visible(t *oracleTalk, m *oracleMember) (shown []schema.Message) {
	for i, message := range t.messages {
		if i < m.from || message.deleted {
			continue
		}
		s := message.shown
		s.Sender = o.actor(s.Sender.ID)
		for _, other := range t.members {
			if other.user == s.Sender.ID || i < other.from || t.direct() && o.blocked(m.user, other.user) {
				continue
			}
			if i < other.delivered {
				s.DeliveredTo = append(s.DeliveredTo, other.user)
			}
			if i < other.read {
				s.ReadBy = append(s.ReadBy, other.user)
			}
		}
		shown = append(shown, s)
	}
	return shown
}

// conversation is a conversation as a member should see it.
func (o *oracle) conversation(t *oracleTalk, m *oracleMember) schema.Conversation {
	shown := o.opened(t, schema.Actor{})
	_, at := t.activity(m)
	shown.LastActivity, shown.UnreadCount = &at, new(t.unread(m))
	if seen := o.visible(t, m); len(seen) > 0 {
		shown.LastMessage = &seen[len(seen)-1]
	}
	return shown
}

func (t *oracleTalk) activity(m *oracleMember) (uint64, schema.Time) {
	if len(t.messages) > m.from {
		last := t.messages[len(t.messages)-1]
		return last.seq, last.shown.CreatedAt
	}
	return m.joined, m.at
}

// conversations lists a user's conversations, that of the last activity first.
func (o *oracle) conversations(user string) (shown []schema.Conversation) {
	var mine []*oracleTalk
	for _, t := range o.talks {
		if m := t.member(user); m != nil && !o.hidden(t, m) {
			mine = append(mine, t)
		}
	}
	slices.SortFunc(mine, func(a, b *oracleTalk) int {
		at, _ := a.activity(a.member(user))
		bt, _ := b.activity(b.member(user))
		return int(bt) - int(at)
	})
	for _, t := range mine {
		shown = append(shown, o.conversation(t, t.member(user)))
	}
	return shown
}

// retold reports whether a record that was applied may still be told of.
func (o *oracle) retold(r eventlog.Record) bool {
	var d struct{ PostID, CommentID, ConversationID, MessageID string }
	if err := json.Unmarshal(r.Data, &d); err != nil {
		panic(err)
	}
	switch r.Event {
	case "user:follow", "user:friend-request", "user:block", "post:delete", "conversation:update", "conversation:delete":
		return true
	case "post:create":
		return o.post(r.ID) != nil
	case "post:update", "post:like", "post:share", "comment:delete":
		return o.post(d.PostID) != nil
	case "post:comment", "comment:update":
		p := o.post(d.PostID)
		return p != nil && (p.comment(r.ID) != nil || p.comment(d.CommentID) != nil)
	case "conversation:create":
		t := o.talk(r.ID)
		return t == nil || !t.deleted // nil: a direct one opened again
	}
	t := o.talk(d.ConversationID)
	if t.deleted {
		return false
	}
	for _, m := range t.messages {
		if m.shown.ID == r.ID || m.shown.ID == d.MessageID && r.Event == "message:edit" {
			return !m.deleted
		}
	}
	return true
}

// missed lists the places of what a user was told, in their own room and in the
// conversations' rooms, as far as they may hear it today.
func (o *oracle) missed(user string, rooms []string) (seqs []uint64) {
	for i, told := range o.tellings {
		seq := uint64(i + 1)
		r := o.records[i]
		if o.outcomes[i] != "" {
			continue
		}
		heard := r.Event == "post:create" && o.followed[edge{user, r.Actor.ID}] != 0 && o.followed[edge{user, r.Actor.ID}] < seq
		for _, room := range told.rooms {
			if t := o.talk(room[min(len(room), len("conversation:")):]); t == nil || t.room() != room {
				heard = heard || slices.Contains(rooms, room)
			} else if m := t.member(user); m != nil && seq >= m.since {
				heard = heard || slices.Contains(rooms, room)
			}
		}
		if told.users != nil {
			t := o.talk(read[schema.MessageRef](r).ConversationID)
			if r.Event == "conversation:create" {
				t = o.talk(r.ID)
			}
			m := t.member(user)
			heard = heard || m != nil && seq >= m.since && slices.Contains(told.users, user)
		}
		if heard {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}
