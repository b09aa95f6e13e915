package projections

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"roomlog/eventlog"
	"roomlog/schema"
)

// recount is what users should be notified of, by a walk over everything that
// happened: nothing is counted before somebody asks, and everything is searched
// from end to end. It believes the codes of the facts of others and shares no code
// with the projector.
type recount struct {
	names   []recountName   // as borne now, the one borne longest first
	known   map[string]bool // who has acted, or was notified
	blocks  map[edge]bool
	authors map[string]string // of posts, comments and messages
	talks   map[string]*recountTalk
	notes   []*recountNote // ever made, the oldest first
}

type recountName struct{ name, user string }

type recountTalk struct {
	group    bool
	users    []string
	since    map[string]uint64 // place from which on a user takes part
	messages []string          // ever sent
}

type recountNote struct {
	schema.Notification
	seq      uint64
	group    bool
	messages []string        // that it stands for, or the one in which somebody is mentioned
	hidden   map[string]bool // what of it a moderator removed
	gone     bool            // taken back
	deleted  bool            // by its recipient
}

func newRecount() *recount {
	return &recount{known: map[string]bool{}, blocks: map[edge]bool{}, authors: map[string]string{}, talks: map[string]*recountTalk{}}
}

// there is what of a message's notification was not removed.
func (n *recountNote) there() (messages []string) {
	for _, id := range n.messages {
		if !n.hidden[id] {
			messages = append(messages, id)
		}
	}
	return messages
}

func (n *recountNote) visible() bool {
	if n.Type == "message" {
		return !n.gone && !n.deleted && len(n.there()) > 0
	}
	return !n.gone && !n.deleted && len(n.hidden) == 0
}

// unread: it may be undone; hidden or not.
func (n *recountNote) unread() bool { return !n.gone && !n.deleted && n.ReadAt == nil }

// visible lists what a user should see, newest first, with the counts as of now.
func (m *recount) visible(user string) (notes []*recountNote) {
	for _, n := range slices.Backward(m.notes) {
		if n.Recipient != user || !n.visible() {
			continue
		}
		if n.Type == "message" {
			n.Count, n.Message = len(n.there()), ""
			if slices.Contains(n.there(), n.latest()) {
				n.Message = n.latest()
			}
		}
		notes = append(notes, n)
	}
	return notes
}

// latest is the message that made it: a message's id is its record's.
func (n *recountNote) latest() string { return id(int(n.seq)) }

func (m *recount) count(user string) (unread int) {
	for _, n := range m.visible(user) {
		if n.ReadAt == nil {
			unread++
		}
	}
	return unread
}

func (m *recount) byID(user, id string) *recountNote {
	for _, n := range m.notes {
		if n.ID == id && n.Recipient == user {
			return n
		}
	}
	return nil
}

// undo takes back what nobody has read.
func (m *recount) undo(which func(*recountNote) bool) {
	for _, n := range m.notes {
		if n.unread() && which(n) {
			n.gone = true
		}
	}
}

func (m *recount) blocked(a, b string) bool { return m.blocks[edge{a, b}] || m.blocks[edge{b, a}] }

func (m *recount) notify(r eventlog.Record, to string, n recountNote) {
	if to == "" || to == r.Actor.ID || m.blocked(to, r.Actor.ID) {
		return
	}
	m.known[to] = true
	n.ID = recountedID(r, n.Type, to)
	n.Recipient, n.Sender, n.CreatedAt, n.seq, n.hidden = to, r.Actor, r.Time, r.Seq, map[string]bool{}
	m.notes = append(m.notes, &n)
}

// goesBy returns who is meant by a name.
func (m *recount) goesBy(name string) string {
	known := false
	for _, n := range m.names {
		if strings.EqualFold(n.name, name) {
			return n.user
		}
		known = known || n.user == name
	}
	if known {
		return ""
	}
	return name
}

func (m *recount) acts(a schema.Actor) {
	m.known[a.ID] = true
	if strings.Contains(a.Username, "\x00") {
		return // no name that a client may have
	}
	for i, n := range m.names {
		if n.user == a.ID {
			if strings.EqualFold(n.name, a.Username) {
				return
			}
			m.names = slices.Delete(m.names, i, i+1)
			break
		}
	}
	m.names = append(m.names, recountName{a.Username, a.ID})
}

func (m *recount) mention(r eventlog.Record, text string, among []string, n recountNote) {
	n.Type = "mention"
	var told, strangers []string
	for _, name := range schema.Mentions(text) {
		user := m.goesBy(name)
		if slices.Contains(told, user) || among != nil && !slices.Contains(among, user) {
			continue
		}
		if among == nil && user != "" && !m.known[user] {
			strangers = append(strangers, user)
		}
		if len(strangers) <= 5 || !slices.Contains(strangers, user) {
			told = append(told, user)
			m.notify(r, user, n)
		}
	}
}

// apply is told what became of a record, and returns what should have become of it.
func (m *recount) apply(r eventlog.Record, code schema.Code) schema.Code {
	if code == schema.Suspended || code == schema.DuplicateKey {
		return code
	}
	if strings.HasPrefix(r.Event, "notification:") {
		if want := m.own(r); want != "" {
			return want
		}
		m.acts(r.Actor)
		return ""
	}
	if code != "" {
		return code
	}
	m.acts(r.Actor)
	if m.social(r); schema.NamespaceOf(r.Event) == schema.Messaging {
		m.talk(r)
	}
	m.keep()
	return ""
}

// own is what a user does with notifications of theirs.
func (m *recount) own(r eventlog.Record) schema.Code {
	if r.Event == "notification:read-all" {
		upTo := m.byID(r.Actor.ID, read[schema.NotificationReadAll](r).UpTo)
		if upTo == nil {
			return schema.NotificationNotFound
		}
		for _, n := range m.notes {
			if n.Recipient == r.Actor.ID && n.seq <= upTo.seq && n.unread() {
				n.read(r.Time)
			}
		}
		return ""
	}
	n := m.byID(r.Actor.ID, read[schema.NotificationRef](r).NotificationID)
	switch {
	case n == nil || !n.visible():
		return schema.NotificationNotFound
	case r.Event == "notification:delete":
		n.deleted = true
	case n.ReadAt != nil:
		return schema.AlreadyRead
	default:
		n.read(r.Time)
	}
	return ""
}

// read: what is removed of messages is left out of it for good.
func (n *recountNote) read(now schema.Time) {
	n.ReadAt = &now
	if n.Type == "message" {
		n.messages, n.gone = n.there(), len(n.there()) == 0
	}
}

func (m *recount) social(r eventlog.Record) {
	me := r.Actor.ID
	var d struct {
		Content, PostID, CommentID, ParentID, Action, FollowingID, TargetID string
		Target                                                              json.RawMessage
	}
	if err := json.Unmarshal(r.Data, &d); err != nil {
		panic(err)
	}
	one := func(kind, to, from string) func(*recountNote) bool {
		return func(n *recountNote) bool { return n.Type == kind && n.Recipient == to && n.Sender.ID == from }
	}
	switch r.Event + " " + d.Action {
	case "post:create ":
		m.authors[r.ID] = me
		m.mention(r, d.Content, nil, recountNote{Notification: schema.Notification{Post: r.ID}})
	case "post:comment ":
		m.authors[r.ID] = me
		about := recountNote{Notification: schema.Notification{Type: "comment", Post: d.PostID, Comment: r.ID}}
		m.notify(r, m.authors[d.PostID], about)
		if answered := m.authors[d.ParentID]; answered != m.authors[d.PostID] {
			m.notify(r, answered, about)
		}
		m.mention(r, d.Content, nil, about)
	case "post:like like":
		same := one("like", m.authors[d.PostID], me)
		if !slices.ContainsFunc(m.notes, func(n *recountNote) bool { return same(n) && n.Post == d.PostID && !n.gone }) {
			m.notify(r, m.authors[d.PostID], recountNote{Notification: schema.Notification{Type: "like", Post: d.PostID}})
		}
	case "post:like unlike":
		same := one("like", m.authors[d.PostID], me)
		m.undo(func(n *recountNote) bool { return same(n) && n.Post == d.PostID })
	case "post:delete ":
		m.undo(func(n *recountNote) bool { return n.Post == d.PostID })
	case "comment:delete ":
		m.undo(func(n *recountNote) bool { return n.Comment == d.CommentID })
	case "user:follow follow":
		m.notify(r, d.FollowingID, recountNote{Notification: schema.Notification{Type: "follow"}})
	case "user:follow unfollow":
		m.undo(one("follow", d.FollowingID, me))
	case "user:friend-request send":
		m.notify(r, d.TargetID, recountNote{Notification: schema.Notification{Type: "friend_request"}})
	case "user:friend-request cancel":
		m.undo(one("friend_request", d.TargetID, me))
	case "user:friend-request decline":
		m.undo(one("friend_request", me, d.TargetID))
	case "user:block block":
		m.blocks[edge{me, d.TargetID}] = true
		m.undo(func(n *recountNote) bool {
			between := edge{n.Recipient, n.Sender.ID}
			return (between == edge{me, d.TargetID} || between == edge{d.TargetID, me}) && !n.group
		})
	case "user:block unblock":
		delete(m.blocks, edge{me, d.TargetID})
	case "admin:remove ":
		target := read[schema.AdminContent](r).Target.ID
		for _, n := range m.notes {
			about := n.Post == target || n.Comment == target || slices.Contains(n.messages, target)
			if about && (n.unread() || len(n.hidden) > 0 && n.Type != "message") {
				n.hidden[target] = true
			}
		}
	case "admin:restore ":
		for _, n := range m.notes {
			delete(n.hidden, read[schema.AdminContent](r).Target.ID)
		}
	}
}

func (m *recount) talk(r eventlog.Record) {
	me, ref := r.Actor.ID, read[schema.MessageRef](r)
	t := m.talks[ref.ConversationID]
	here := func(n *recountNote) bool { return n.Conversation == ref.ConversationID }
	switch r.Event {
	case "conversation:create":
		d := read[schema.ConversationCreate](r)
		t = &recountTalk{group: d.Type == "group", users: append([]string{me}, d.Participants...), since: map[string]uint64{}}
		m.talks[r.ID] = t
		for _, user := range t.users {
			t.since[user] = r.Seq
		}
	case "conversation:update":
		u := read[schema.ConversationUpdate](r).Updates
		t.users = append(t.users, u.AddParticipants...)
		for _, user := range u.AddParticipants {
			t.since[user] = r.Seq
		}
		out := func(user string) bool { return slices.Contains(u.RemoveParticipants, user) }
		t.users = slices.DeleteFunc(t.users, out)
		maps.DeleteFunc(t.since, func(user string, _ uint64) bool { return out(user) })
		m.undo(func(n *recountNote) bool { return here(n) && out(n.Recipient) })
	case "conversation:delete":
		if t.since[me] = r.Seq; t.group {
			t.since = nil
		}
		m.undo(func(n *recountNote) bool { return here(n) && (t.group || n.Recipient == me) })
	case "message:send":
		m.say(r, t, read[schema.MessageSend](r))
	case "message:delete":
		for _, n := range m.notes {
			if n.unread() && slices.Contains(n.messages, ref.MessageID) {
				n.messages = slices.DeleteFunc(slices.Clone(n.messages), func(id string) bool { return id == ref.MessageID })
				n.gone = len(n.messages) == 0
			}
		}
	case "message:read":
		passed := t.messages[:slices.Index(t.messages, ref.MessageID)+1]
		for _, n := range m.notes {
			if n.unread() && here(n) && n.Type == "message" && n.Recipient == me {
				n.pass(passed, r.Time)
			}
		}
	}
}

// pass leaves what is not yet read, if something is, removed or not.
func (n *recountNote) pass(passed []string, now schema.Time) {
	left := slices.DeleteFunc(slices.Clone(n.messages), func(id string) bool { return slices.Contains(passed, id) })
	if len(left) == 0 {
		n.read(now)
		return
	}
	n.messages = left
}

func (m *recount) say(r eventlog.Record, t *recountTalk, d schema.MessageSend) {
	t.messages = append(t.messages, r.ID)
	m.authors[r.ID] = r.Actor.ID
	about := schema.Notification{Conversation: d.ConversationID, Message: r.ID}
	m.mention(r, d.Content, t.users, recountNote{Notification: about, messages: []string{r.ID}})
	about.Type = "message"
	if len(t.users) > 100 {
		return
	}
	for _, user := range t.users {
		if user == r.Actor.ID || m.blocked(user, r.Actor.ID) {
			continue
		}
		next := recountNote{Notification: about, group: t.group, messages: []string{r.ID}}
		hidden := map[string]bool{}
		for _, n := range m.notes {
			if n.unread() && n.Type == "message" && n.Conversation == d.ConversationID && n.Recipient == user {
				next.messages, hidden, n.gone = append(slices.Clone(n.messages), r.ID), n.hidden, true
			}
		}
		m.notify(r, user, next)
		m.notes[len(m.notes)-1].hidden = hidden
	}
}
