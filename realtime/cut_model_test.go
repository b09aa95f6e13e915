package realtime_test

import (
	"encoding/json"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// truth is what the applied records of a history mean: who was in which
// conversation from when to when, what was said, and who was to be told of what.
// It is slow, obvious, and knows nothing of the projectors.
type truth struct {
	told            []*telling
	posts           map[string]*truePost
	postIDs         []string
	follows         map[[2]string]uint64 // follower, followed → since
	conversations   map[string]*trueConversation
	conversationIDs []string
}

// telling is one applied record, and whom it concerned at its place.
type telling struct {
	seq     uint64
	event   string
	data    string
	content string // part of every push of it
	users   map[string]bool

	// Who is not told of it later: those who may not hear it any more.
	now func(user string) bool // nil: all may
	// Those who hear of it only while they look at the room.
	lookers map[string]bool
}

// to says whether a user's devices had to hear of it, and whether they were
// allowed to.
func (t *telling) to(user string) (must, may bool) {
	if t.lookers[user] && !t.users[user] {
		return false, true
	}
	if !t.users[user] {
		return false, false
	}
	return t.now == nil || t.now(user), true
}

type truePost struct {
	author  string
	deleted bool
}

type trueConversation struct {
	direct     bool
	deleted    bool
	creator    string
	members    map[string]uint64 // user → place from which on they see
	order      []string          // members by joining
	cleared    map[string]uint64 // direct: user → place up to which they deleted it
	reopened   map[string]bool   // who asked for it again since
	read       map[string]uint64 // user → place of the marker
	messages   []*trueMessage
	messageIDs []string
}

type trueMessage struct {
	id, sender, content string
	seq                 uint64
	deleted             bool
}

func newTruth() *truth {
	return &truth{posts: map[string]*truePost{}, follows: map[[2]string]uint64{}, conversations: map[string]*trueConversation{}}
}

func set(users ...string) map[string]bool {
	s := map[string]bool{}
	for _, u := range users {
		s[u] = true
	}
	return s
}

// conversationsOf returns the conversations that a user is in, in the order in
// which they were made.
func (w *truth) conversationsOf(user string) (own []string) {
	for _, id := range w.conversationIDs {
		if _, in := w.conversations[id].members[user]; in {
			own = append(own, id)
		}
	}
	return own
}

// shows reports whether a user sees a message now.
func (c *trueConversation) shows(user string, m *trueMessage) bool {
	since, in := c.members[user]
	return in && m.seq > since && m.seq > c.cleared[user] && !m.deleted
}

func (c *trueConversation) unread(user string) (n int) {
	for _, m := range c.messages {
		if c.shows(user, m) && m.sender != user && m.seq > c.read[user] {
			n++
		}
	}
	return n
}

// listedFor: a direct conversation that one deleted comes back with the next message.
func (c *trueConversation) listedFor(user string) bool {
	_, in := c.members[user]
	if cleared := c.cleared[user]; in && cleared > 0 && !c.reopened[user] {
		return slices.ContainsFunc(c.messages, func(m *trueMessage) bool { return m.seq > cleared })
	}
	return in
}

func (c *trueConversation) message(rt *rapid.T, r eventlog.Record, id string) *trueMessage {
	for _, m := range c.messages {
		if m.id == id {
			return m
		}
	}
	rt.Fatalf("record %d (%s) was applied to message %s, which is not of the conversation", r.Seq, r.Event, id)
	return nil
}

// apply moves the truth on by one applied record.
func (w *truth) apply(rt *rapid.T, r eventlog.Record) {
	user := r.Actor.ID
	t := &telling{seq: r.Seq, event: r.Event, data: string(r.Data)}
	data := func(v any) {
		if err := json.Unmarshal(r.Data, v); err != nil {
			rt.Fatalf("record %d: %v", r.Seq, err)
		}
	}
	there := func(id string) func(string) bool { return func(string) bool { return !w.posts[id].deleted } }
	switch r.Event {
	case "post:create":
		var d schema.PostCreate
		data(&d)
		w.posts[r.ID] = &truePost{author: user}
		w.postIDs = append(w.postIDs, r.ID)
		t.content, t.users = d.Content, set(user)
		since := map[string]uint64{}
		for edge, at := range w.follows {
			if edge[1] == user {
				t.users[edge[0]], since[edge[0]] = true, at
			}
		}
		t.now = func(u string) bool {
			return !w.posts[r.ID].deleted && (u == user || w.follows[[2]string{u, user}] == since[u])
		}
	case "post:delete":
		var d schema.PostRef
		data(&d)
		w.posts[d.PostID].deleted = true
		t.users = set(user)
	case "post:like":
		var d schema.PostAction
		data(&d)
		t.users, t.now = set(w.posts[d.PostID].author), there(d.PostID)
	case "user:follow":
		var d schema.UserFollow
		data(&d)
		t.users = set(user, d.FollowingID)
		if d.Action == "follow" {
			w.follows[[2]string{user, d.FollowingID}] = r.Seq
		} else {
			delete(w.follows, [2]string{user, d.FollowingID})
		}
	case "user:block":
		return // the bells
	default:
		w.applyMessaging(rt, r, t, data)
	}
	w.told = append(w.told, t)
}

func (w *truth) applyMessaging(rt *rapid.T, r eventlog.Record, t *telling, data func(any)) {
	user := r.Actor.ID
	var ref schema.ConversationRef
	data(&ref)
	c := w.conversations[ref.ConversationID]
	if r.Event == "conversation:create" {
		var d schema.ConversationCreate
		data(&d)
		if c = w.again(user, d); c != nil { // the direct one that its sender had deleted
			c.reopened[user] = true
			t.users = set(user)
			return
		}
		c = &trueConversation{direct: d.Type == "direct", creator: user, members: map[string]uint64{}, cleared: map[string]uint64{}, reopened: map[string]bool{}, read: map[string]uint64{}}
		w.conversations[r.ID] = c
		w.conversationIDs = append(w.conversationIDs, r.ID)
		c.join(r.Seq, append([]string{user}, d.Participants...))
	}
	if c == nil || c.deleted {
		rt.Fatalf("record %d (%s) was applied to conversation %s, which is not there", r.Seq, r.Event, ref.ConversationID)
	}
	if _, in := c.members[user]; !in {
		rt.Fatalf("record %d (%s) of %s, who is not in the conversation, was applied", r.Seq, r.Event, user)
	}
	// Whoever is a participant still, in the same period, is told later too.
	t.now = func(u string) bool {
		since, in := c.members[u]
		return in && r.Seq >= since && r.Seq > c.cleared[u]
	}
	t.users = set(c.order...)
	var m schema.MessageRef
	data(&m)
	// What becomes of a message is for those who see it.
	who := func(m *trueMessage) map[string]bool {
		users := map[string]bool{}
		for u, since := range c.members {
			if m.seq > since && m.seq > c.cleared[u] {
				users[u] = true
			}
		}
		return users
	}
	still := func(m *trueMessage) func(string) bool {
		in := t.now
		return func(u string) bool { return in(u) && !m.deleted }
	}
	switch r.Event {
	case "conversation:create":
	case "conversation:update":
		var d schema.ConversationUpdate
		data(&d)
		c.leave(d.Updates.RemoveParticipants)
		c.join(r.Seq, d.Updates.AddParticipants)
		maps.Copy(t.users, set(c.order...))
		removed, in := set(d.Updates.RemoveParticipants...), t.now
		t.now = func(u string) bool { return removed[u] || in(u) }
	case "conversation:delete":
		t.now = nil
		if c.direct {
			c.cleared[user], c.reopened[user] = r.Seq, false
			t.users = set(user)
			break
		}
		c.deleted = true
		c.leave(slices.Clone(c.order))
	case "message:send":
		var d schema.MessageSend
		data(&d)
		sent := &trueMessage{id: r.ID, sender: user, content: d.Content, seq: r.Seq}
		c.messages = append(c.messages, sent)
		c.messageIDs = append(c.messageIDs, r.ID)
		t.content, t.now = d.Content, still(sent)
	case "message:edit":
		var d schema.MessageEdit
		data(&d)
		edited := c.message(rt, r, d.MessageID)
		if edited.sender != user || !c.shows(user, edited) {
			rt.Fatalf("record %d: %s edited a message of %s", r.Seq, user, edited.sender)
		}
		edited.content = d.Content
		t.content, t.users, t.now = d.Content, who(edited), still(edited)
	case "message:delete":
		deleted := c.message(rt, r, m.MessageID)
		if deleted.sender != user || !c.shows(user, deleted) {
			rt.Fatalf("record %d: %s deleted a message of %s", r.Seq, user, deleted.sender)
		}
		deleted.deleted = true
		t.users = who(deleted)
	case "message:read", "message:delivered":
		read := c.message(rt, r, m.MessageID)
		if read.sender == user {
			rt.Fatalf("record %d: %s marked their own message", r.Seq, user)
		}
		if r.Event == "message:read" {
			if c.read[user] >= read.seq {
				rt.Fatalf("record %d: the marker of %s went from %d to %d", r.Seq, user, c.read[user], read.seq)
			}
			c.read[user] = read.seq
		}
		t.lookers, t.users = who(read), set(user)
	default:
		rt.Fatalf("the truth does not know %s", r.Event)
	}
}

// again returns the direct conversation between a user and another, if there is one.
func (w *truth) again(user string, d schema.ConversationCreate) *trueConversation {
	for _, c := range w.conversations {
		if c.direct && d.Type == "direct" && c.members[user] > 0 && c.members[d.Participants[0]] > 0 {
			return c
		}
	}
	return nil
}

func (c *trueConversation) join(seq uint64, users []string) {
	for _, u := range users {
		c.members[u] = seq
		c.order = append(c.order, u)
		delete(c.read, u)
	}
}

func (c *trueConversation) leave(users []string) {
	for _, u := range users {
		delete(c.members, u)
		c.order = slices.DeleteFunc(c.order, func(m string) bool { return m == u })
	}
	if len(c.order) == 0 {
		c.deleted = true
	}
}
