package projections

import "encoding/binary"

// A row of messages holds the items that stand for the unread messages of a
// conversation, those of all its participants in the order of their users: for each
// message renews them. So they are mostly copied, as the bytes that they are.

// seat is one user's item in such a row.
type seat struct {
	user           []byte
	standing, held []byte // spans, encoded
	seq            uint64 // place of the record that made it
	made           []byte // what that says, see madeBy
}

// madeBy is what a row says of a message, behind b.
func madeBy(b []byte, r *record, v *verdict) []byte {
	b = binary.AppendUvarint(b, r.Seq)
	b = appendText(b, r.Actor.ID)
	b = appendText(b, r.ID)
	b = appendTime(b, r.Time)
	b = append(b, marker(v.group))
	return binary.AppendUvarint(b, v.number)
}

// next reads the next seat of a row, over the one before it.
func (s *seat) next(row *fields) bool {
	if len(row.rest) == 0 {
		return false
	}
	s.user, s.standing, s.held = row.bytes(), row.encodedSpans(), row.encodedSpans()
	made := row.rest
	if seq := row.uint(); seq != 0 {
		row.bytes()
		row.bytes()
		row.time()
		row.uint()
		row.uint()
		s.seq, s.made = seq, made[:len(made)-len(row.rest)]
	}
	return true
}

// ident returns the id of a seat's item, "" for one that was not there.
func (s *seat) ident() string {
	if s.seq == 0 {
		return ""
	}
	made := fields{s.made}
	seq, _, message := made.uint(), made.bytes(), made.text()
	return notificationID(message, seq, kindMessage, string(s.user)).String()
}

func (s *seat) standsFor() spans {
	f := fields{s.standing}
	return f.spans()
}

func (s *seat) item(conversation string) *item {
	made, held := fields{s.made}, fields{s.held}
	return &item{
		user: string(s.user), seq: made.uint(), kind: kindMessage, conversation: conversation,
		sender: made.text(), message: made.text(), created: made.time(), group: made.uint() == 1, number: made.uint(),
		standing: s.standsFor(), held: held.spans(),
	}
}

// stands has a seat stand for what an item does.
func (s *seat) stands(it *item) { s.standing, s.held = it.standing.encode(nil), it.held.encode(nil) }

// seats is a row that is being written. What the same message made is written once:
// the place is 0 where it is that of the seat before.
type seats struct {
	row  []byte
	last uint64
}

func (w *seats) add(s *seat) {
	w.row = appendText(w.row, string(s.user))
	w.row = append(append(w.row, s.standing...), s.held...)
	if s.seq == w.last {
		w.row = append(w.row, 0)
		return
	}
	w.row, w.last = append(w.row, s.made...), s.seq
}

// reseat writes the row of a conversation anew, with the seats that keep says to, as it
// leaves them. keep must not write a row with a value: they share a room, see table.blank.
func (n *notifications) reseat(conversation string, keep func(*seat) bool) {
	rest := fields{n.messages.get([]byte(conversation))}
	if len(rest.rest) == 0 {
		return
	}
	w := seats{row: n.messages.blank()}
	var s seat
	for s.next(&rest) {
		if keep(&s) {
			w.add(&s)
		}
	}
	if len(w.row) == 0 {
		n.messages.remove([]byte(conversation))
		return
	}
	n.messages.put([]byte(conversation), w.row)
}

// seat returns a user's seat in the row of a conversation, if there is one.
func (n *notifications) seat(user string, conversation []byte) (s seat, ok bool) {
	row := fields{n.messages.get(conversation)}
	for s.next(&row) {
		if string(s.user) == user {
			return s, true
		}
	}
	return seat{}, false
}

// awaiting returns the unread item of a conversation's messages, nil for none.
func (n *notifications) awaiting(user, conversation string) *item {
	if s, ok := n.seat(user, []byte(conversation)); ok {
		return s.item(conversation)
	}
	return nil
}

// awaitingRow has a field a user.
func awaitingRow(key, row []byte) Fields {
	f, rest := Fields{}, fields{row}
	var s seat
	for s.next(&rest) {
		it := s.item(string(key))
		f = append(f, Field{it.user, it.describe()})
	}
	return f
}
