package projections

import (
	"bytes"

	"roomlog/schema"
)

// fate is what has become of a post, comment or message.
type fate byte

const (
	there   fate = iota
	removed      // by a moderator: its row is kept aside, for it may come back
	deleted      // for good
)

// subject is what a report or a removal is about, as the content's own read model
// knows it.
type subject struct {
	fate   fate   // of the thing itself; deleted, too, when it never was
	shown  bool   // to the record's actor
	author string // of content
	post   string // of a post its own id, of a comment its post's
	owner  string // the post's author
}

// subjectOf looks up what a record of /admin is about, nil for every other record.
// As permit does, it asks each read model about its own.
func (s *state) subjectOf(r *record) *subject {
	var t schema.Target
	switch d := r.data.(type) {
	case *schema.AdminReport:
		t = d.Target
	case *schema.AdminContent:
		t = d.Target
	default:
		return nil
	}
	switch t.Type {
	case schema.TargetPost:
		return s.feeds.aboutPost(t.ID)
	case schema.TargetComment:
		return s.feeds.aboutComment(t.ID)
	case schema.TargetMessage:
		return s.conversations.about(r.Actor.ID, t.ConversationID, t.ID)
	case schema.TargetUser:
		if _, ok := s.graph.user(t.ID); ok {
			return &subject{shown: true}
		}
	}
	return &subject{fate: deleted}
}

func (f *feeds) aboutPost(id string) *subject {
	row := f.posts.get([]byte(id))
	if row == nil {
		return &subject{fate: deleted}
	}
	h := decodeHead(row)
	author := string(h.author)
	return &subject{fate: h.fate, shown: h.fate == there, author: author, post: id, owner: author}
}

// aboutComment: with its post a comment is deleted, too, but not removed.
func (f *feeds) aboutComment(id string) *subject {
	row := f.commentPlace.get([]byte(id))
	if row == nil {
		return &subject{fate: deleted}
	}
	w := decodeWhereabouts(row)
	h := decodeHead(f.posts.get([]byte(w.postID)))
	if w.fate == deleted || h.fate == deleted {
		return &subject{fate: deleted}
	}
	rows := &f.comments
	if w.fate == removed {
		rows = &f.withheld
	}
	c := decodeComment(rows.get(commentKey(w.post, w.seq)))
	return &subject{fate: w.fate, shown: w.fate == there && h.fate == there, author: c.author, post: w.postID, owner: string(h.author)}
}

// about: with its conversation a message is deleted, too.
func (c *conversations) about(user, id, messageID string) *subject {
	h, ok := c.conversation(id)
	if !ok {
		return &subject{fate: deleted}
	}
	p, ok := c.find(h, messageID)
	if !ok {
		return &subject{fate: deleted}
	}
	m, ok := c.membership(user, id)
	return &subject{
		fate: p.fate, shown: ok && p.fate == there && p.number > m.floor,
		author: string(p.sender),
	}
}

// notFound is the code for a target that is not there, or not for whoever asks.
func notFound(targetType string) schema.Code {
	switch targetType {
	case schema.TargetPost:
		return schema.PostNotFound
	case schema.TargetComment:
		return schema.CommentNotFound
	case schema.TargetMessage:
		return schema.MessageNotFound
	case schema.TargetUser:
		return schema.UserNotFound
	}
	return schema.InvalidField
}

func (m *moderation) remove(r *record, d *schema.AdminContent) (verdict, error) {
	switch {
	case d.Target.Type == schema.TargetUser:
		return void(schema.InvalidField), nil
	case r.subject.fate == deleted:
		return void(notFound(d.Target.Type)), nil
	case r.subject.fate == removed:
		return void(schema.AlreadyRemoved), nil
	}
	return m.moderated(r, d), nil
}

func (m *moderation) restore(r *record, d *schema.AdminContent) (verdict, error) {
	switch {
	case d.Target.Type == schema.TargetUser:
		return void(schema.InvalidField), nil
	case r.subject.fate == deleted:
		return void(notFound(d.Target.Type)), nil
	case r.subject.fate == there:
		return void(schema.NotRemoved), nil
	}
	return m.moderated(r, d), nil
}

// contentRemoved tells nothing of what was deleted later: that is told by itself.
func (m *moderation) contentRemoved(r *record, d *schema.AdminContent, _ uint64) verdict {
	if r.subject.fate == deleted {
		return void(notFound(d.Target.Type))
	}
	return m.moderated(r, d)
}

func (m *moderation) contentRestored(r *record, d *schema.AdminContent, _ uint64) verdict {
	if r.subject.fate != there {
		return void(notFound(d.Target.Type))
	}
	return m.moderated(r, d)
}

// moderated tells those who saw the content, and the moderators, who alone learn
// which of them it was.
func (m *moderation) moderated(r *record, d *schema.AdminContent) verdict {
	payload := schema.ContentModerated{Target: d.Target, Reason: d.Reason, At: r.Time}
	v := verdict{payload: payload}
	payload.ModeratorID = r.Actor.ID
	v.own = payload
	switch about := r.subject; d.Target.Type {
	case schema.TargetMessage:
		v.rooms = []string{schema.ConversationRoom(d.Target.ConversationID), schema.RoomAdmin}
		v.participantsOf = d.Target.ConversationID
		v.of = schema.MessageRef{ConversationID: d.Target.ConversationID, MessageID: d.Target.ID}
	case schema.TargetComment:
		v.rooms = []string{schema.PostRoom(about.post), schema.RoomAdmin, schema.UserRoom(about.owner)}
		if about.author != about.owner {
			v.rooms = append(v.rooms, schema.UserRoom(about.author))
		}
	default:
		v.rooms = []string{schema.PostRoom(about.post), schema.RoomAdmin, schema.UserRoom(about.author)}
		v.followersOf, v.closed = about.author, r.Event == "admin:remove"
	}
	return v
}

// moderatedContent returns what an applied record removed or restored, and what that
// is now: for the read models whose it is.
func moderatedContent(r *record, v *verdict) (t schema.Target, now fate, ok bool) {
	d, ok := r.data.(*schema.AdminContent)
	if !ok || v.Code != "" {
		return schema.Target{}, there, false
	}
	if r.Event == "admin:remove" {
		now = removed
	}
	return d.Target, now, true
}

func (f *feeds) observe(r *record, v *verdict) error {
	switch t, now, ok := moderatedContent(r, v); {
	case !ok:
	case t.Type == schema.TargetPost:
		f.turnPost(t.ID, now)
	case t.Type == schema.TargetComment:
		f.turnComment(t.ID, now)
	}
	return nil
}

// turnPost leaves comments, shares and likes of a removed post where they are, as
// deletePost does: what is not there leads nobody to them.
func (f *feeds) turnPost(id string, now fate) {
	h := decodeHead(f.posts.get([]byte(id)))
	h.fate = now
	author := string(h.author)
	f.setPost(id, h)
	if key := place(author, h.seq); now == removed {
		f.timelines.remove(key)
		f.countPosts(author, -1)
	} else {
		f.timelines.put(key, timelineEntry{postID: id}.encode(f.timelines.blank()))
		f.countPosts(author, 1)
	}
}

func (f *feeds) turnComment(id string, now fate) {
	w := decodeWhereabouts(f.commentPlace.get([]byte(id)))
	h := decodeHead(f.posts.get([]byte(w.postID)))
	w.fate = now
	f.commentPlace.put([]byte(id), w.encode(f.commentPlace.blank()))
	if key := commentKey(w.post, w.seq); now == removed {
		move(&f.comments, &f.withheld, key)
		h.comments--
	} else {
		move(&f.withheld, &f.comments, key)
		h.comments++
	}
	f.setPost(w.postID, h)
}

func (c *conversations) observe(r *record, v *verdict) error {
	t, now, ok := moderatedContent(r, v)
	if !ok || t.Type != schema.TargetMessage {
		return nil
	}
	p := decodePosition(c.places.get([]byte(t.ID)))
	v.number = p.number
	if key := messageKey(p.conversation, p.number); now == removed {
		move(&c.messages, &c.withheld, key)
		c.missing(t.ConversationID, p, 1)
	} else {
		move(&c.withheld, &c.messages, key)
		c.missing(t.ConversationID, p, -1)
	}
	p.fate = now
	c.places.put([]byte(t.ID), p.encode(c.places.blank()))
	return nil
}

// move takes a row from one table to another.
func move(from, to *table, key []byte) {
	to.put(key, bytes.Clone(from.get(key)))
	from.remove(key)
}
