package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/oklog/ulid/v2"

	"roomlog/schema"
)

// notifications is what users were notified of, derived from the facts of others,
// and how many of it they have not read. It is home to the facts of /notifications.
type notifications struct {
	items    table // user, place and kind → item, but for those of messages
	messages table // conversation → the unread items of its messages, of all users
	awaited  table // user, conversation → present: there is one
	subjects table // what it is about, user, kind, and sender or place → place of the item
	users    table // user → mailbox
	names    table // username in lower case, place → the user who has borne it since
	blocks   table // two users in order → who blocks; a copy of the graph's, for this projector may read no other's

	live bool // somebody is there to be told

	boxes []opened // room for what a record does, see mail
	told  []string // and for whom a message is
}

// How many notifications a user keeps: past the first number the oldest go, down to
// the second, read or not. So no act costs more than a walk over that many.
const (
	maxKept = 1500
	minKept = 1000
)

// The kinds of notifications, as keys and ids hold them.
const (
	kindLike byte = iota + 1
	kindComment
	kindFollow
	kindMention
	kindMessage
	kindFriend
)

var kindNames = [...]string{
	kindLike: schema.NotifyLike, kindComment: schema.NotifyComment, kindFollow: schema.NotifyFollow,
	kindMention: schema.NotifyMention, kindMessage: schema.NotifyMessage, kindFriend: schema.NotifyFriendRequest,
}

// A notification's id is a ULID that follows from the record that made it: the time
// of the record's id (48 bits), its place (56), the kind (4), and a hash over the
// record's id, the kind and the recipient (20). So the place can be read from it,
// which is all that a cursor or read-all needs, when the notification is long gone.
func notificationID(recordID string, seq uint64, kind byte, recipient string) (text ulidText) {
	id, err := ulid.ParseStrict(recordID)
	if err != nil {
		panic(damage("a notification's id is of no ULID")) // decode has seen to those of records
	}
	hashed := make([]byte, 0, 128)
	hashed = append(hashed, recordID...)
	hashed = append(hashed, 0, kind)
	sum := sha256.Sum256(append(hashed, recipient...))
	var place [8]byte
	binary.BigEndian.PutUint64(place[:], seq)
	copy(id[6:], place[1:])
	id[13], id[14], id[15] = kind<<4|sum[0]&0xf, sum[1], sum[2]
	if err := id.MarshalTextTo(text[:]); err != nil {
		panic(err) // it has room
	}
	return text
}

// ulidText is an id as a row holds it.
type ulidText [ulid.EncodedSize]byte

func (f *fields) ulid() (text ulidText) {
	copy(text[:], f.bytes())
	return text
}

func (id ulidText) String() string { return string(id[:]) }

// parseNotificationID returns the place and kind that an id holds.
func parseNotificationID(id string) (seq uint64, kind byte, ok bool) {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return 0, 0, false
	}
	var b [8]byte
	copy(b[1:], u[6:13])
	return binary.BigEndian.Uint64(b[:]), u[13] >> 4, true
}

// mailbox is a row of users.
type mailbox struct {
	unread, kept uint64
	username     []byte // in lower case, "" for one who has done nothing yet
	named        uint64 // place since which they bear it
}

func (m mailbox) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, m.unread)
	b = binary.AppendUvarint(b, m.kept)
	b = appendText(b, string(m.username))
	return binary.AppendUvarint(b, m.named)
}

func (n *notifications) mailbox(user string) mailbox {
	row := n.users.get([]byte(user))
	if row == nil {
		return mailbox{}
	}
	return decodeMailbox(row)
}

func decodeMailbox(row []byte) mailbox {
	f := fields{row}
	return mailbox{f.uint(), f.uint(), f.bytes(), f.uint()}
}

func (m mailbox) describe() Fields {
	return append(Fields{{"unread", m.unread}, {"kept", m.kept}}.maybe("username", string(m.username)), Field{"namedSinceSeq", m.named})
}

// knows reports whether a user has done anything, or was ever notified.
func (n *notifications) knows(user string) bool { return n.users.has([]byte(user)) }

// The rows of blocks, by which of the two in order it is who blocks.
const (
	firstBlocks byte = 1 << iota
	secondBlocks
)

func (n *notifications) isBlocked(a, b string) bool { return n.blocks.has(couple(a, b)) }

func (n *notifications) setBlocked(blocker, blocked string, on bool) {
	key, who, bit := couple(blocker, blocked), byte(0), firstBlocks
	if row := n.blocks.get(key); row != nil {
		who = row[0]
	}
	if blocker > blocked {
		bit = secondBlocks
	}
	if who &^= bit; on {
		who |= bit
	}
	if who == 0 {
		n.blocks.remove(key)
		return
	}
	n.blocks.put(key, []byte{who})
}

// blocksRow names who blocks: "one", "other" or both of the key.
func blocksRow(_, row []byte) Fields {
	who := []string{}
	bits := upTo(row, 1)[0]
	if bits&firstBlocks != 0 {
		who = append(who, "one")
	}
	if bits&secondBlocks != 0 {
		who = append(who, "other")
	}
	return Fields{{"blockedBy", who}}
}

// bearer returns who goes by a name: the one who has borne it longest, else the
// user of that id, unless they are known by another name; "" for nobody.
func (n *notifications) bearer(name string) string {
	prefix := owned(strings.ToLower(name))
	for _, user := range n.names.scan(prefix, prefix) {
		return string(user)
	}
	if schema.ValidUserID(name) && len(n.mailbox(name).username) == 0 {
		return name
	}
	return ""
}
