package projections

import (
	"bytes"
	"slices"
	"strings"

	"roomlog/schema"
)

// mail is what one record does to notifications. Mailboxes are written, and their
// users told, when all is done: boxes has them in the order in which they were opened.
type mail struct {
	*notifications
	r *record
}

// opened is what happens to one user. It is where it is until another one is opened.
type opened struct {
	user  string
	known bool // the mailbox was looked up, which it is only to be changed
	mailbox
	was   mailbox
	fresh []schema.Notification // filled in when live
}

func (n *notifications) mail(r *record) *mail {
	n.boxes = n.boxes[:0]
	return &mail{n, r}
}

// open returns what happens to a user, which mostly is what was begun last.
func (m *mail) open(user string) *opened {
	for i := len(m.boxes) - 1; i >= 0; i-- {
		if o := &m.boxes[i]; o.user == user {
			return o
		}
	}
	return m.begin(user)
}

// begin is open for a user to whom nothing has happened yet.
func (m *mail) begin(user string) *opened {
	m.boxes = append(m.boxes, opened{user: user})
	return &m.boxes[len(m.boxes)-1]
}

// box returns the mailbox of a user, to be changed.
func (m *mail) box(user string) *opened {
	o := m.open(user)
	if !o.known {
		o.known, o.mailbox = true, m.mailbox(user)
		o.was = o.mailbox
	}
	return o
}

// deliver writes the mailboxes, and returns what their users are told.
func (m *mail) deliver() (notes []Note) {
	for i := range m.boxes {
		o := &m.boxes[i]
		m.trim(o)
		if o.changed() {
			m.users.put([]byte(o.user), o.encode(m.users.blank()))
		}
		if !m.live || o.unread == o.was.unread && len(o.fresh) == 0 {
			continue
		}
		note := Note{User: o.user, New: o.fresh, Count: -1}
		if o.unread != o.was.unread {
			note.Count = int(o.unread)
		}
		notes = append(slices.Grow(notes, len(m.boxes)-len(notes)), note)
	}
	return notes
}

func (o *opened) changed() bool {
	return o.unread != o.was.unread || o.kept != o.was.kept || o.named != o.was.named
}

// meet notes the name that the actor goes by.
func (m *mail) meet(a schema.Actor) {
	o := m.box(a.ID)
	if string(o.username) == a.Username {
		return
	}
	name := strings.ToLower(a.Username)
	if string(o.username) == name || len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
		return
	}
	if len(o.username) > 0 {
		m.names.remove(place(string(o.username), o.named))
	}
	m.names.put(place(name, m.r.Seq), []byte(a.ID))
	o.username, o.named = []byte(name), m.r.Seq
}

// notify makes a notification, but for one's own act or across a block. It reports
// whether it did.
func (m *mail) notify(recipient string, kind byte, it item) bool {
	if recipient == "" || recipient == m.r.Actor.ID || m.isBlocked(recipient, m.r.Actor.ID) {
		return false
	}
	it.user, it.kind = recipient, kind
	m.add(&it)
	return true
}

// add makes an item one of this record's, and puts it where it belongs.
func (m *mail) add(it *item) {
	it.seq, it.sender, it.created = m.r.Seq, m.r.Actor.ID, m.r.Time
	it.id = notificationID(m.r.ID, m.r.Seq, it.kind, it.user)
	m.put(it)
	for _, subject := range it.subjects() {
		if subject != "" {
			m.subjects.put(subjectKey(subject, it.user, it.kind, it.sender, it.seq), seqKey(it.seq))
		}
	}
	o := m.box(it.user)
	o.kept++
	o.unread++
	m.announce(it, "")
}

// announce has the user told of an item that this record made, and of the id of the
// one that it renews, "" for none.
func (m *mail) announce(it *item, renews string) {
	if !m.live {
		return
	}
	shown := it.show(m.r.Actor)
	shown.Renews = renews
	o := m.open(it.user)
	o.fresh = append(o.fresh, shown)
}

// change alters an item that is there, and counts it anew.
func (m *mail) change(it *item, alter func(*item)) {
	was := *it
	alter(it)
	if was.awaits() != it.awaits() {
		m.erase(&was)
	}
	m.put(it)
	m.tally(&was, it)
}

// tally counts an item that changed.
func (m *mail) tally(was, it *item) {
	switch {
	case was.counts() && !it.counts():
		m.box(it.user).unread--
	case !was.counts() && it.counts():
		m.box(it.user).unread++
	}
}

// changeAwaiting alters all unread items of a conversation's messages. Those are gone
// of which nothing is left.
func (m *mail) changeAwaiting(conversation string, alter func(*item)) {
	m.reseat(conversation, func(s *seat) bool {
		it := s.item(conversation)
		was := *it
		alter(it)
		m.tally(&was, it)
		if len(it.standing)+len(it.held) == 0 {
			m.box(it.user).kept--
			m.awaited.remove(pair(it.user, conversation))
			return false
		}
		s.stands(it)
		return true
	})
}

// drop removes an item. A like stays in mind: the same must not notify again.
func (m *mail) drop(it *item) {
	o := m.box(it.user)
	o.kept--
	if it.counts() {
		o.unread--
	}
	m.erase(it)
	if it.kind != kindLike {
		m.forget(it)
	}
}

// undo takes an item back unless it was read, as if it had not been made.
func (m *mail) undo(it *item) {
	if it != nil && it.readAt == 0 {
		m.drop(it)
		m.forget(it)
	}
}

// forget removes the rows by which an item is found, but for those of a later one.
func (m *mail) forget(it *item) {
	for _, subject := range it.subjects() {
		if subject == "" {
			continue
		}
		key := subjectKey(subject, it.user, it.kind, it.sender, it.seq)
		if bytes.Equal(m.subjects.get(key), seqKey(it.seq)) {
			m.subjects.remove(key)
		}
	}
}

// read marks an unread item as read. Of messages those that are removed are left out
// for good, restored or not; nothing is left of it when all are.
func (m *mail) read(it *item) {
	if it.kind == kindMessage && len(it.standing) == 0 {
		m.drop(it)
		return
	}
	m.change(it, func(it *item) { it.readAt, it.held = m.r.Time, nil })
}

// takeBack undoes the item of an act of which there is one a sender.
func (m *mail) takeBack(subject, user string, kind byte, sender string) {
	if row := m.subjects.get(subjectKey(subject, user, kind, sender, 0)); row != nil {
		m.undo(m.item(user, seqOf(row), kind))
	}
}

// takeBackAbout undoes what is about something; user "": that of all users.
func (m *mail) takeBackAbout(subject, user string) {
	for _, it := range m.about(subject, user) {
		m.undo(it)
	}
}

// trim drops the oldest when there are too many. That is done for a hundred at a
// time, since finding them costs a walk.
func (m *mail) trim(o *opened) {
	if o.kept <= maxKept {
		return
	}
	for _, it := range m.oldest(o.user, int(o.kept-minKept)) {
		m.drop(it)
	}
}
