package projections

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"roomlog/schema"
)

// What auditors ask, who see more than any user does.

// ToldSeqs yields the places, from one on, of the applied records of which those in a
// room were told: the room itself, the followers or participants behind it each in
// their own room, or who got a notification of it.
func (v *View) ToldSeqs(room string, from uint64) iter.Seq[uint64] {
	return v.state.history.seqs(room, told, from)
}

// WasTold reports whether ToldSeqs has a place.
func (v *View) WasTold(room string, seq uint64) bool { return v.state.history.has(room, told, seq) }

const told = asRoom | asAudience | asRecipient

// NamedSeqs yields the places, from one on, of the records that name an entity, a room
// or a user, as whatever.
func (v *View) NamedSeqs(name string, from uint64) iter.Seq[uint64] {
	return v.state.history.seqs(name, 1<<reasonBits-1, from)
}

// MadeAt returns the place of the record that made what has an id: a post, a share, a
// comment, a conversation, a report, or a notification, which some other fact made. Of
// messages it is not known.
func (v *View) MadeAt(id string) (seq uint64, ok bool) {
	s := v.state
	if seq, ok := s.feeds.placeOf(id); ok {
		return seq, true
	}
	if row := s.feeds.commentPlace.get([]byte(id)); row != nil {
		return decodeWhereabouts(row).seq, true
	}
	if row := s.conversations.heads.get([]byte(id)); row != nil {
		return decodeConversation(row).seq, true
	}
	if row := s.moderation.reports.get([]byte(id)); row != nil {
		return decodeReport(row).seq, true
	}
	if seq, kind, ok := parseNotificationID(id); ok && int(kind) < len(kindNames) && kind != 0 && seq <= v.Seq() {
		return seq, seq != 0
	}
	return 0, false
}

// SaidIn returns the place of the record that made the conversation of a message.
func (v *View) SaidIn(messageID string) (conversationSeq uint64, ok bool) {
	row := v.state.conversations.places.get([]byte(messageID))
	if row == nil {
		return 0, false
	}
	return decodePosition(row).conversation, true
}

// ReportsAbout yields the reports about something, whoever made them, each with its
// place; kind "" stands for any. It walks over all reports.
func (v *View) ReportsAbout(kind, id string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for key, row := range v.state.moderation.reports.scan(nil, nil) {
			p := decodeReport(row)
			if p.target.ID == id && (kind == "" || kind == p.target.Type) && !yield(string(key), p.seq) {
				return
			}
		}
	}
}

// Parked returns what the projectors said that failed on a record, none for most.
func (v *View) Parked(seq uint64) (all []ParkedRecord) {
	prefix := seqKey(seq)
	c := v.tx.Bucket([]byte(bucketParked)).Cursor()
	for k, row := c.Seek(prefix); k != nil && strings.HasPrefix(string(k), string(prefix)); k, row = c.Next() {
		var p ParkedRecord
		if err := json.Unmarshal(row, &p); err != nil {
			panic(damage("a parked record: " + err.Error()))
		}
		all = append(all, p)
	}
	return all
}

// Receipt is how far a participant of a conversation has got, in numbers of its
// messages.
type Receipt struct {
	User      string      `json:"user"`
	Joined    schema.Time `json:"joined"`
	After     uint64      `json:"after"` // messages up to this one are not theirs to see
	Delivered uint64      `json:"delivered"`
	Read      uint64      `json:"read"`
	Unread    uint64      `json:"unread"` // how many
}

// Receipts returns the participants of a conversation in the order in which they
// joined, none when it is not there.
func (v *View) Receipts(conversationID string) (all []Receipt) {
	c := &v.state.conversations
	h, ok := c.conversation(conversationID)
	if !ok {
		return nil
	}
	for _, p := range c.roster(conversationID) {
		m, _ := c.membership(p.user, conversationID)
		all = append(all, Receipt{p.user, m.at, m.floor, m.delivered, m.read, m.unread(h)})
	}
	return all
}

// Blocks returns those whom a user blocks.
func (v *View) Blocks(user string) []string {
	blocked := []string{}
	prefix := owned(user)
	for key := range v.state.graph.blocks.scan(prefix, prefix) {
		blocked = append(blocked, string(key[len(prefix):]))
	}
	return blocked
}

// Suspension returns until when a user was last suspended, 0 for no end; ok is false
// when they are not, or were reinstated. One that has ended is still there: Suspended
// tells.
func (v *View) Suspension(user string) (until schema.Time, ok bool) {
	row := v.state.moderation.suspensions.get([]byte(user))
	if row == nil {
		return 0, false
	}
	f := fields{row}
	return f.time(), true
}

// Row is a row of a read model.
type Row struct {
	Table string `json:"table"`
	Key   Fields `json:"key"`
	Value Fields `json:"value"`
}

// Rows returns rows of a read model, table by table, from a cursor on ("": from the
// first). The next page's cursor is "" at the end. An unknown model or cursor is an
// error.
func (v *View) Rows(model, cursor string, limit int) (rows []Row, next string, err error) {
	tables := slices.DeleteFunc(slices.Clone(v.state.bound), func(t *table) bool { return t.projector != model })
	if len(tables) == 0 {
		return nil, "", fmt.Errorf("no read model is called %q", model)
	}
	rows = []Row{}
	name, from, _ := strings.Cut(cursor, "/")
	key, err := hex.DecodeString(from)
	begin := slices.IndexFunc(tables, func(t *table) bool { return t.name == name })
	if cursor == "" {
		begin = 0
	}
	if begin < 0 || err != nil {
		return nil, "", fmt.Errorf("no page ended at %q", cursor)
	}
	for _, t := range tables[begin:] {
		for k, row := range t.scan(nil, key) {
			if len(rows) == limit {
				return rows, t.name + "/" + hex.EncodeToString(k), nil
			}
			r := Row{Table: t.name}
			r.Key, r.Value = describe(model, t.name, k, row)
			rows = append(rows, r)
		}
		key = nil
	}
	return rows, "", nil
}

// ModelNames lists the read models in the order in which they are told of a record.
func ModelNames() []string {
	var names []string
	for _, o := range newState(nil).observers() {
		names = append(names, o.name)
	}
	return names
}
