package projections

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"roomlog/schema"
)

// item is one notification of a user. Those that stand for unread messages are kept
// by conversation (notification_seats.go). All others are kept by user, in the order in
// which they were made.
type item struct {
	user string // whose it is
	seq  uint64 // place of the record that made it
	kind byte

	id                                   ulidText // zero: see ident
	sender                               string
	post, comment, message, conversation string
	created, readAt                      schema.Time // readAt 0: unread
	hidden                               byte
	group                                bool   // of a message: said in a group
	number                               uint64 // the message's
	standing, held                       spans  // messages it stands for; and those of them that a moderator removed
}

// ident returns the id. That of messages is only made when somebody sees it: the
// record that made the item has the message's id.
func (it *item) ident() ulidText {
	if it.id == (ulidText{}) {
		return notificationID(it.message, it.seq, it.kind, it.user)
	}
	return it.id
}

// Why an unread item is hidden: a moderator removed what it is about.
const (
	hiddenPost = 1 << iota
	hiddenComment
	hiddenMessage
)

// itemKey is the key of a row of items.
func itemKey(user string, seq uint64, kind byte) []byte { return append(place(user, seq), kind) }

func (it *item) encode(b []byte) []byte {
	id := it.ident()
	b = appendText(b, string(id[:]))
	for _, s := range [...]string{it.sender, it.post, it.comment, it.message, it.conversation} {
		b = appendText(b, s)
	}
	b = appendTime(b, it.created)
	b = appendTime(b, it.readAt)
	b = append(b, it.hidden, marker(it.group))
	b = binary.AppendUvarint(b, it.number)
	return it.held.encode(it.standing.encode(b))
}

func decodeItem(key, row []byte) *item {
	if len(key) < 10 {
		panic(damage("the key of a notification is cut short"))
	}
	last := len(key) - 1
	f := fields{row}
	return &item{
		string(key[:last-9]), seqOf(key[:last]), key[last],
		f.ulid(), f.text(), f.text(), f.text(), f.text(), f.text(), f.time(), f.time(),
		byte(f.uint()), f.uint() == 1, f.uint(), f.spans(), f.spans(),
	}
}

func itemKeyFields(key []byte) Fields {
	last := upTo(key, len(key)-1)
	return Fields{{"user", placeOwner(last)}, {"seq", seqOf(last)}, {"type", kindName(key[len(last)])}}
}

// kindName is how the wire names a kind.
func kindName(kind byte) string {
	if int(kind) >= len(kindNames) {
		panic(damage("no kind of notification"))
	}
	return kindNames[kind]
}

func itemRow(key, row []byte) Fields { return decodeItem(key, row).describe() }

func (it *item) describe() Fields {
	f := Fields{{"notification", it.ident().String()}, {"sender", it.sender}}.
		maybe("post", it.post).maybe("comment", it.comment).maybe("message", it.message).maybe("conversation", it.conversation).
		at("created", it.created).at("readAt", it.readAt)
	if it.hidden != 0 {
		f = append(f, Field{"hidden", true})
	}
	if it.kind == kindMessage {
		f = append(f, Field{"messages", it.standing.pairs()}, Field{"held", it.held.pairs()})
	}
	return f
}

// awaits reports whether it is kept with its conversation.
func (it *item) awaits() bool { return it.kind == kindMessage && it.readAt == 0 }

// put writes an item that was there before, or is not one of messages.
func (n *notifications) put(it *item) {
	if !it.awaits() {
		n.items.put(itemKey(it.user, it.seq, it.kind), it.encode(n.items.blank()))
		return
	}
	n.reseat(it.conversation, func(s *seat) bool {
		if string(s.user) == it.user {
			s.stands(it)
		}
		return true
	})
}

func (n *notifications) erase(it *item) {
	if !it.awaits() {
		n.items.remove(itemKey(it.user, it.seq, it.kind))
		return
	}
	n.reseat(it.conversation, func(s *seat) bool { return string(s.user) != it.user })
	n.awaited.remove(pair(it.user, it.conversation))
}

// item returns the item of a place and kind, nil when it is not there.
func (n *notifications) item(user string, seq uint64, kind byte) *item {
	key := itemKey(user, seq, kind)
	if row := n.items.get(key); row != nil {
		return decodeItem(key, row)
	}
	if kind == kindMessage {
		for _, it := range n.awaitedBy(user, seq) {
			if it.seq == seq {
				return it
			}
		}
	}
	return nil
}

// awaitedBy returns a user's unread items of messages that records up to a place made,
// the oldest first.
func (n *notifications) awaitedBy(user string, upTo uint64) (all []*item) {
	prefix := owned(user)
	for key := range n.awaited.scan(prefix, prefix) {
		conversation := key[len(prefix):]
		if s, _ := n.seat(user, conversation); s.seq <= upTo {
			all = append(all, s.item(string(conversation)))
		}
	}
	slices.SortFunc(all, bySeq)
	return all
}

func bySeq(a, b *item) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.kind, b.kind)) }

// of returns the items of a user, the oldest first.
func (n *notifications) of(user string) []*item { return n.oldest(user, math.MaxInt) }

// oldest is of, up to so many items.
func (n *notifications) oldest(user string, most int) (all []*item) {
	prefix, upTo := owned(user), uint64(pastEnd)
	for key, row := range n.items.scan(prefix, prefix) {
		it := decodeItem(key, row)
		if all = append(all, it); len(all) == most {
			upTo = it.seq
			break
		}
	}
	all = append(all, n.awaitedBy(user, upTo)...)
	slices.SortFunc(all, bySeq)
	return all[:min(most, len(all))]
}

// find returns the user's notification of that id, nil when none is there to be seen.
func (n *notifications) find(user, id string) *item {
	seq, kind, ok := parseNotificationID(id)
	if !ok {
		return nil
	}
	if it := n.item(user, seq, kind); it != nil && it.ident().String() == id && it.shown() {
		return it
	}
	return nil
}

// shown reports whether the user sees it: of messages all may be removed.
func (it *item) shown() bool {
	return it.hidden == 0 && (it.kind != kindMessage || len(it.standing) > 0)
}

func (it *item) counts() bool { return it.readAt == 0 && it.shown() }

// subjects lists what an item is found by when that goes, with "" in between. That of
// messages is found by its conversation.
func (it *item) subjects() [4]string {
	switch it.kind {
	case kindFollow, kindFriend:
		return [4]string{aboutUser(it.sender)}
	case kindMessage:
		return [4]string{}
	}
	return [4]string{it.post, it.comment, it.message, it.conversation}
}

// aboutUser is what the items are about that only say who did it: no ULID.
func aboutUser(id string) string { return "@" + id }

// subjectKey is the key of a row of subjects. Of likes, follows and requests there is
// one a sender, so that the act is found that is taken back, or done again.
func subjectKey(subject, user string, kind byte, sender string, seq uint64) []byte {
	k := append(append(pair(subject, user), 0), kind)
	switch kind {
	case kindLike, kindFollow, kindFriend:
		return append(k, sender...)
	}
	return binary.BigEndian.AppendUint64(k, seq)
}

func subjectKeyFields(key []byte) Fields {
	subject, rest, _ := bytes.Cut(key, []byte{0})
	user, rest, found := bytes.Cut(rest, []byte{0})
	if !found || len(rest) == 0 {
		panic(damage("the key of a notification's subject is cut short"))
	}
	f := Fields{{"about", string(subject)}, {"user", string(user)}, {"type", kindName(rest[0])}}
	switch rest[0] {
	case kindLike, kindFollow, kindFriend:
		return append(f, Field{"sender", string(rest[1:])})
	}
	return append(f, Field{"seq", seqOf(rest)})
}

// about returns the items about something; user "": those of all users. Likes stay in
// mind when their items are gone, maybe a million of them: their rows are passed over.
func (n *notifications) about(subject, user string) (all []*item) {
	prefix := owned(subject)
	within := prefix
	if user != "" {
		within = append(slices.Clip(prefix), owned(user)...)
	}
	for from := within; from != nil; {
		rows := n.subjects.scan(within, from)
		from = nil
		for key, row := range rows {
			key = key[len(prefix):]
			end := bytes.IndexByte(key, 0)
			owner, kind := string(key[:end]), key[end+1]
			if kind == kindLike {
				all = append(all, n.likesOf(owner, subject)...)
				from = append(slices.Concat(prefix, owned(owner)), kind+1)
				break
			}
			if it := n.item(owner, seqOf(row), kind); it != nil {
				all = append(all, it)
			}
		}
	}
	return all
}

// likesOf returns a user's items of likes of a post, by a walk over all that they keep.
func (n *notifications) likesOf(user, post string) (all []*item) {
	prefix := owned(user)
	for key, row := range n.items.scan(prefix, prefix) {
		if key[len(key)-1] != kindLike {
			continue
		}
		if it := decodeItem(key, row); it.post == post {
			all = append(all, it)
		}
	}
	return all
}

// show is an item as clients see it. That of messages names none that is gone.
func (it *item) show(sender schema.Actor) schema.Notification {
	n := schema.Notification{
		ID: it.ident().String(), Type: kindNames[it.kind], Sender: sender, Recipient: it.user,
		Post: it.post, Comment: it.comment, Message: it.message, Conversation: it.conversation,
		Count: int(it.standing.size()), CreatedAt: it.created, ReadAt: optional(it.readAt),
	}
	if it.kind == kindMessage && !it.standing.has(it.number) {
		n.Message = ""
	}
	return n
}
