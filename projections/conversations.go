package projections

import (
	"encoding/binary"
	"iter"

	"roomlog/schema"
)

// conversations is who talks with whom, what was said, and how far everyone has
// read. It is home to the facts of /messaging.
//
// The messages of a conversation are numbered from 1, in the order of the log; a
// number is never given again, and one that has no row is of a message that is deleted
// or removed.
// Who has read a message follows from markers, which are such numbers: one a
// participant, never a row a message and participant. How many messages someone
// has not read follows from the highest number, so that sending costs the same
// in every conversation.
type conversations struct {
	heads    table // conversation id → conversation
	rosters  table // conversation id → its participants, in the order in which they joined
	members  table // user, conversation id → membership
	messages table // place of the conversation, number → message
	withheld table // likewise → message, while it is removed
	places   table // message id → where it is
	direct   table // two users in order → their direct conversation's id
}

// conversation is a row of heads: what every act in a conversation looks at. It
// stays when the conversation is deleted.
type conversation struct {
	deleted, group bool
	seq            uint64 // its place
	created        schema.Time
	creator        []byte // of a group: who may delete it
	name           []byte
	size           uint64      // participants
	total          uint64      // messages ever sent: the last one's number
	last           uint64      // the last one's place
	lastAt         schema.Time // and time
}

func (h conversation) encode(b []byte) []byte {
	b = append(b, marker(h.deleted), marker(h.group))
	b = binary.AppendUvarint(b, h.seq)
	b = appendTime(b, h.created)
	b = appendText(b, h.creator)
	b = appendText(b, h.name)
	b = binary.AppendUvarint(b, h.size)
	b = binary.AppendUvarint(b, h.total)
	b = binary.AppendUvarint(b, h.last)
	return appendTime(b, h.lastAt)
}

func decodeConversation(row []byte) conversation {
	f := fields{row}
	return conversation{f.uint() == 1, f.uint() == 1, f.uint(), f.time(), f.bytes(), f.bytes(), f.uint(), f.uint(), f.uint(), f.time()}
}

func (h conversation) describe() Fields {
	return append(Fields{{"deleted", h.deleted}, {"type", h.kind()}, {"seq", h.seq}, {"created", h.created}, {"creator", string(h.creator)}}.
		maybe("name", string(h.name)), Field{"participants", h.size}, Field{"messages", h.total}, Field{"lastSeq", h.last}).at("lastAt", h.lastAt)
}

// kind names the type as the wire does.
func (h conversation) kind() string {
	if h.group {
		return schema.ConversationGroup
	}
	return schema.ConversationDirect
}

// conversation returns a conversation that is there.
func (c *conversations) conversation(id string) (h conversation, ok bool) {
	row := c.heads.get([]byte(id))
	if row == nil {
		return conversation{}, false
	}
	h = decodeConversation(row)
	return h, !h.deleted
}

func (c *conversations) setConversation(id string, h conversation) {
	c.heads.put([]byte(id), h.encode(c.heads.blank()))
}

// participant is an entry of a roster.
type participant struct {
	user   string
	joined uint64 // place of the record that made them one
}

func decodeRoster(row []byte) (roster []participant) {
	for user, joined := range inRoster(row) {
		roster = append(roster, participant{string(user), joined})
	}
	return roster
}

// inRoster yields the participants of a row with their places.
func inRoster(row []byte) iter.Seq2[[]byte, uint64] {
	return func(yield func([]byte, uint64) bool) {
		for f := (fields{row}); len(f.rest) > 0; {
			if user, joined := f.bytes(), f.uint(); !yield(user, joined) {
				return
			}
		}
	}
}

func rosterRow(_, row []byte) Fields {
	f := Fields{}
	for _, p := range decodeRoster(row) {
		f = append(f, Field{p.user, p.joined})
	}
	return Fields{{"joinedAtSeq", f}}
}

func (c *conversations) roster(id string) []participant {
	return decodeRoster(c.rosters.get([]byte(id)))
}

func (c *conversations) setRoster(id string, roster []participant) {
	row := c.rosters.blank()
	for _, p := range roster {
		row = appendText(row, p.user)
		row = binary.AppendUvarint(row, p.joined)
	}
	c.rosters.put([]byte(id), row)
}

// participants returns the ids of a conversation's participants, as parts of one text;
// nil for no conversation.
func (c *conversations) participants(id string) (users []string) {
	row := c.rosters.get([]byte(id))
	count := 0
	for range inRoster(row) {
		count++
	}
	if count == 0 {
		return nil
	}
	users = make([]string, count)
	whole, f := string(row), fields{row}
	for i := range users {
		users[i] = f.part(whole)
		f.uint()
	}
	return users
}

// membership is a row of members, from joining to leaving. Messages up to floor
// are none of theirs.
//
// unread = total − read − own − gone, where own and gone count what was sent
// after the read marker and is no unread message: own ones, and deleted ones of
// anybody.
type membership struct {
	joined          uint64      // place of the record that made them a participant, or opened a deleted conversation again
	at              schema.Time // its time
	since           uint64      // from this place on they are told: joining, or deleting a direct conversation for themselves
	floor           uint64      // number of the last message before that
	delivered, read uint64      // numbers of the last message of which that is known; never below floor
	own, gone       uint64
}

func (m membership) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, m.joined)
	b = appendTime(b, m.at)
	for _, n := range [...]uint64{m.since, m.floor, m.delivered, m.read, m.own, m.gone} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeMembership(row []byte) membership {
	f := fields{row}
	return membership{f.uint(), f.time(), f.uint(), f.uint(), f.uint(), f.uint(), f.uint(), f.uint()}
}

func (m membership) describe() Fields {
	return Fields{
		{"joinedSeq", m.joined}, {"joined", m.at}, {"toldSinceSeq", m.since}, {"afterMessage", m.floor},
		{"delivered", m.delivered}, {"read", m.read}, {"ownUnread", m.own}, {"goneUnread", m.gone},
	}
}

func (m membership) unread(h conversation) uint64 { return h.total - m.read - m.own - m.gone }

// hidden reports whether a direct conversation was deleted by the member and
// nothing has happened in it since.
func (m membership) hidden(h conversation) bool { return m.since > m.joined && m.floor == h.total }

// activity returns the place and time by which the member's list is ordered.
func (m membership) activity(h conversation) (uint64, schema.Time) {
	if h.total > m.floor {
		return h.last, h.lastAt
	}
	return m.joined, m.at
}

func (c *conversations) membership(user, id string) (m membership, ok bool) {
	row := c.members.get(pair(user, id))
	if row == nil {
		return membership{}, false
	}
	return decodeMembership(row), true
}

func (c *conversations) setMembership(user, id string, m membership) {
	c.members.put(pair(user, id), m.encode(c.members.blank()))
}

// join makes a user a participant as of a record: their time begins there.
func (c *conversations) join(r *record, user, id string, h conversation) participant {
	c.setMembership(user, id, membership{
		joined: r.Seq, at: r.Time, since: r.Seq, floor: h.total, delivered: h.total, read: h.total,
	})
	return participant{user, r.Seq}
}

// enter returns a conversation to one of its participants. To anybody else it is
// not there.
func (c *conversations) enter(user, id string) (h conversation, m membership, ok bool) {
	if m, ok = c.membership(user, id); !ok {
		return conversation{}, membership{}, false
	}
	h, ok = c.conversation(id)
	return h, m, ok
}

// of yields the conversations of a user.
func (c *conversations) of(user string) iter.Seq2[string, membership] {
	return func(yield func(string, membership) bool) {
		prefix := owned(user)
		for key, row := range c.members.scan(prefix, prefix) {
			if !yield(string(key[len(prefix):]), decodeMembership(row)) {
				return
			}
		}
	}
}
