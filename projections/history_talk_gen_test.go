package projections

import (
	"slices"

	"roomlog/schema"
)

// Facts of /messaging are drawn with the oracle at hand: of what nobody may do
// there is enough when one act in eight is drawn from everything there is.

// seldom is true one time in eight.
func (g *historian) seldom(label string) bool { return g.roll(label, 8) == 0 }

// scene draws a conversation and who acts in it: mostly a participant.
func (g *historian) scene() (id string, t *oracleTalk) {
	talks := g.oracle.talks[max(0, len(g.oracle.talks)-4):]
	if len(talks) == 0 || g.roll("nowhere", 32) == 0 {
		return nobody, nil
	}
	t = talks[g.roll("conversation", len(talks))]
	if users := t.users(); len(users) > 0 && !g.seldom("stranger") {
		g.as = g.pick("member", users...)
	}
	return t.shown.ID, t
}

// nobody is the id of nothing.
var nobody = id(999_997)

// message draws a message of a conversation, mostly one of a kind.
func (g *historian) message(t *oracleTalk, fits func(*oracleMessage) bool) string {
	var all, fit []string
	if t != nil {
		for _, m := range t.messages {
			if all = append(all, m.shown.ID); fits(m) && !m.deleted {
				fit = append(fit, m.shown.ID)
			}
		}
	}
	if len(fit) > 0 && !g.seldom("odd message") {
		return g.pick("message", fit...)
	}
	for _, other := range g.oracle.talks {
		if len(other.messages) > 0 && g.seldom("misplaced") {
			return other.messages[0].shown.ID
		}
	}
	return g.pick("message", append(all, nobody)...)
}

func (g *historian) anyMessage(t *oracleTalk) string {
	return g.message(t, func(*oracleMessage) bool { return true })
}

func (g *historian) ofOthers(t *oracleTalk) string {
	return g.message(t, func(m *oracleMessage) bool { return m.shown.Sender.ID != g.as })
}

func (g *historian) ownMessage(t *oracleTalk) string {
	return g.message(t, func(m *oracleMessage) bool { return m.shown.Sender.ID == g.as })
}

// others draws a few users, mostly different ones who are not the actor.
func (g *historian) others(most int) []string {
	g.as = g.user()
	var users []string
	for range 1 + g.roll("number", most) {
		user := g.pick("other", append(slices.Clip(cast), "frank", "gertrude")...)
		if user != g.as && !slices.Contains(users, user) || g.roll("spoilt", 16) == 0 {
			users = append(users, user)
		}
	}
	if len(users) == 0 || g.roll("no id", 32) == 0 {
		users = append(users, "")
	}
	return users
}

func (g *historian) updateTalk() schema.ConversationUpdate {
	var d schema.ConversationUpdate
	added := g.others(2)
	var t *oracleTalk
	d.ConversationID, t = g.scene()
	switch g.roll("update", 6) {
	case 0:
		d.Updates.Name = "The watch"
	case 1, 2, 3:
		d.Updates.AddParticipants = added
	case 4: // leaving, and perhaps sending someone else in
		d.Updates.RemoveParticipants = []string{g.as}
		if g.seldom("in one's place") {
			d.Updates.AddParticipants = added
		}
	default:
		if t != nil && !t.deleted {
			if !g.seldom("no creator") {
				g.as = t.creator
			}
			d.Updates.RemoveParticipants = []string{g.pick("removed", append(t.users(), cast...)...)}
		}
	}
	return d
}

// talk draws a fact of /messaging, or a block.
func (g *historian) talk() (event string, data any) {
	text := g.pick("text", "words, words, words", "the rest is silence", "ü→𝄞")
	kind := g.roll("kind", 26)
	if kind < 3 && len(g.oracle.talks) > 3 && g.roll("another", 3) > 0 {
		kind = 25
	}
	switch kind {
	case 0, 1:
		return "conversation:create", schema.ConversationCreate{Type: "direct", Participants: g.others(1)[:1]}
	case 2:
		return "conversation:create", schema.ConversationCreate{Type: "group", Participants: g.others(3), Name: text}
	case 3, 4, 5:
		return "conversation:update", g.updateTalk()
	case 6:
		id, t := g.scene()
		for range 2 {
			if t != nil && !t.direct() {
				id, t = g.scene()
			}
		}
		if t != nil && !g.seldom("no creator") && !t.direct() {
			g.as = t.creator
		}
		return "conversation:delete", schema.ConversationRef{ConversationID: id}
	case 7, 8:
		id, t := g.scene()
		return "message:delivered", schema.MessageRef{ConversationID: id, MessageID: g.ofOthers(t)}
	case 9, 10, 11, 12:
		id, t := g.scene()
		return "message:read", schema.MessageRef{ConversationID: id, MessageID: g.ofOthers(t)}
	case 13:
		id, t := g.scene()
		return "message:edit", schema.MessageEdit{ConversationID: id, MessageID: g.ownMessage(t), Content: text}
	case 14, 15:
		id, t := g.scene()
		return "message:delete", schema.MessageRef{ConversationID: id, MessageID: g.ownMessage(t)}
	case 16:
		return "user:block", schema.TargetAction{TargetID: g.pick("whom", cast...), Action: g.pick("action", "block", "unblock", "unblock")}
	default:
		id, t := g.scene()
		d := schema.MessageSend{ConversationID: id, Content: text, MessageType: g.pick("type", "text", "text", "text", "image")}
		if d.MessageType == "image" {
			d.Media = []schema.Media{{URL: "https://example.org/1.png", Type: "image", Alt: "1"}}
		}
		if g.roll("song", 24) == 0 {
			d.MessageType = "song"
		}
		if g.roll("answer", 4) == 0 {
			d.ReplyTo = g.anyMessage(t)
		}
		return "message:send", d
	}
}
