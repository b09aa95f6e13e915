package projections

import (
	"bytes"
	"slices"

	"roomlog/schema"
)

// observe derives notifications from what was applied.
func (n *notifications) observe(r *record, v *verdict) error {
	if v.Code != "" {
		return nil
	}
	m := n.mail(r)
	m.meet(r.Actor)
	switch d := r.data.(type) {
	case *schema.PostCreate:
		v.recipients = m.mention(d.Content, nil, item{post: r.ID})
	case *schema.PostAction:
		m.like(d, v.owner)
	case *schema.PostComment:
		m.comment(d, v)
	case *schema.PostRef: // post:delete
		m.takeBackAbout(d.PostID, "")
	case *schema.CommentDelete:
		m.takeBackAbout(d.CommentID, "")
	case *schema.UserFollow:
		if d.Action == schema.ActionFollow {
			m.notify(d.FollowingID, kindFollow, item{})
		} else {
			m.takeBack(aboutUser(r.Actor.ID), d.FollowingID, kindFollow, r.Actor.ID)
		}
	case *schema.TargetAction:
		if r.Event == "user:block" {
			m.block(d)
		} else {
			m.friendRequest(d)
		}
	case *schema.MessageSend:
		m.message(d, v)
	case *schema.MessageRef:
		switch r.Event {
		case "message:read":
			m.readMessages(d, v)
		case "message:delete":
			m.dropMessage(d, v)
		}
	case *schema.ConversationUpdate:
		for _, user := range d.Updates.RemoveParticipants {
			m.leave(user, d.ConversationID)
		}
	case *schema.ConversationRef: // conversation:delete
		for _, user := range v.listeners {
			m.leave(user, d.ConversationID)
		}
	case *schema.AdminContent:
		m.moderate(d, v)
	}
	v.notes = m.deliver()
	return nil
}

// like notifies once of the same like, however often it is taken back, but for one
// that was taken back unread.
func (m *mail) like(d *schema.PostAction, owner string) {
	switch me := m.r.Actor.ID; {
	case d.Action == schema.ActionUnlike:
		m.takeBack(d.PostID, owner, kindLike, me)
	case !m.subjects.has(subjectKey(d.PostID, owner, kindLike, me, 0)):
		m.notify(owner, kindLike, item{post: d.PostID})
	}
}

func (m *mail) comment(d *schema.PostComment, v *verdict) {
	it := item{post: d.PostID, comment: m.r.ID}
	m.notify(v.owner, kindComment, it)
	if v.answered != v.owner && m.notify(v.answered, kindComment, it) {
		v.recipients = append(v.recipients, v.answered)
	}
	v.recipients = append(v.recipients, m.mention(d.Content, nil, it)...)
}

// maxStrangers is how many users whom the log does not know one text makes a mailbox
// for. Who has done nothing yet may be mentioned, as they may be followed; but what
// only looks like names must not fill the read models.
const maxStrangers = 5

// mention notifies those whom a text mentions: all of them, or those of among.
func (m *mail) mention(text string, among []string, it item) (users []string) {
	strangers := 0
	for _, name := range schema.Mentions(text) {
		user := m.bearer(name)
		if slices.Contains(users, user) || among != nil && !slices.Contains(among, user) {
			continue
		}
		if among == nil && user != "" && !m.knows(user) {
			if strangers++; strangers > maxStrangers {
				continue
			}
		}
		if m.notify(user, kindMention, it) {
			users = append(users, user)
		}
	}
	return users
}

func (m *mail) friendRequest(d *schema.TargetAction) {
	requester, target := parties(m.r, d)
	switch d.Action {
	case schema.ActionSend:
		m.notify(target, kindFriend, item{})
	case schema.ActionCancel, schema.ActionDecline:
		m.takeBack(aboutUser(requester), target, kindFriend, requester)
	}
}

// block takes back what the two have not read of each other. A group's messages are
// not of one sender.
func (m *mail) block(d *schema.TargetAction) {
	me, other := m.r.Actor.ID, d.TargetID
	m.setBlocked(me, other, d.Action == schema.ActionBlock)
	if d.Action == schema.ActionUnblock {
		return
	}
	for _, two := range [][2]string{{me, other}, {other, me}} {
		for _, it := range m.of(two[0]) {
			if it.sender == two[1] && !it.group {
				m.undo(it)
			}
		}
	}
}

// message makes one notification a conversation and recipient; while it is unread a
// later message renews it.
func (m *mail) message(d *schema.MessageSend, v *verdict) {
	if len(v.listeners) <= maxReceipts {
		m.renew(d, v)
	}
	if v.listeners != nil {
		m.mention(d.Content, v.listeners, item{message: m.r.ID, conversation: d.ConversationID})
	}
}

// renew merges the conversation's row with those whom the message is for, without a
// look into what is only written again. Meanwhile no other row may use table.blank.
func (m *mail) renew(d *schema.MessageSend, v *verdict) {
	m.told = m.told[:0]
	for _, user := range v.listeners {
		if user != m.r.Actor.ID && !m.isBlocked(user, m.r.Actor.ID) {
			m.told = append(m.told, user)
		}
	}
	slices.Sort(m.told)
	key := []byte(d.ConversationID)
	row := seats{row: m.messages.blank()}
	rest := fields{m.messages.get(key)}
	made, standing := madeBy(make([]byte, 0, 128), m.r, v), make([]byte, 0, 64)
	var s seat
	more := s.next(&rest)
	for _, user := range m.told {
		for ; more && string(s.user) < user; more = s.next(&rest) {
			row.add(&s)
		}
		if m.live {
			m.begin(user) // of all of them but the actor nothing has been said
		}
		was := seat{user: []byte(user), standing: noSpans, held: noSpans}
		if more && string(s.user) == user {
			was = s
			more = s.next(&rest)
		}
		standing = appendWith(standing[:0], was.standing, v.number)
		now := seat{was.user, standing, was.held, m.r.Seq, made}
		row.add(&now)
		if was.seq == 0 {
			m.awaited.put(pair(user, d.ConversationID), present)
			m.box(user).kept++
		}
		if bytes.Equal(was.standing, noSpans) {
			m.box(user).unread++
		}
		if m.live {
			m.announce(&item{
				user: user, seq: m.r.Seq, kind: kindMessage, sender: m.r.Actor.ID, message: m.r.ID, conversation: d.ConversationID,
				created: m.r.Time, group: v.group, number: v.number, standing: now.standsFor(),
			}, was.ident())
		}
	}
	for ; more; more = s.next(&rest) {
		row.add(&s)
	}
	if len(row.row) > 0 {
		m.messages.put(key, row.row)
	}
}

// leave takes back what a user has not read of a conversation.
func (m *mail) leave(user, conversation string) {
	m.undo(m.awaiting(user, conversation))
	m.takeBackAbout(conversation, user)
}

// readMessages reads the notification as far as the marker goes. Of what is removed
// behind that it stands for again what is restored.
func (m *mail) readMessages(d *schema.MessageRef, v *verdict) {
	it := m.awaiting(m.r.Actor.ID, d.ConversationID)
	if it == nil {
		return
	}
	standing, held := it.standing.after(v.number), it.held.after(v.number)
	if len(standing)+len(held) == 0 {
		m.read(it)
		return
	}
	m.change(it, func(it *item) { it.standing, it.held = standing, held })
}

// dropMessage has the notifications that stand for a message stand for one less.
func (m *mail) dropMessage(d *schema.MessageRef, v *verdict) {
	m.takeBackAbout(d.MessageID, "")
	m.changeAwaiting(d.ConversationID, func(it *item) { it.standing = it.standing.without(v.number) })
}

// moderate hides what is about removed content, and brings it back with it. What was
// read by then is not hidden, as it is not taken back.
func (m *mail) moderate(d *schema.AdminContent, v *verdict) {
	removed := m.r.Event == "admin:remove"
	var bit byte
	switch d.Target.Type {
	case schema.TargetPost:
		bit = hiddenPost
	case schema.TargetComment:
		bit = hiddenComment
	case schema.TargetMessage:
		bit = hiddenMessage
		m.moderateMessage(d.Target.ConversationID, removed, v)
	}
	for _, it := range m.about(d.Target.ID, "") {
		if it.readAt != 0 && it.hidden == 0 {
			continue
		}
		m.change(it, func(it *item) {
			if it.hidden &^= bit; removed {
				it.hidden |= bit
			}
		})
	}
}

// moderateMessage has notifications hold back a removed message, and stand for it
// again when it is restored.
func (m *mail) moderateMessage(conversation string, removed bool, v *verdict) {
	m.changeAwaiting(conversation, func(it *item) {
		switch {
		case removed && it.standing.has(v.number):
			it.standing, it.held = it.standing.without(v.number), it.held.with(v.number)
		case !removed && it.held.has(v.number):
			it.standing, it.held = it.standing.with(v.number), it.held.without(v.number)
		}
	})
}
