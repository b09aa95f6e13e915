package realtime

import (
	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// note is what all sockets of one user are told of their notifications because of
// one record.
type note struct {
	*projections.Note
	at schema.Time
}

func notesOf(r *eventlog.Record, all []projections.Note) []note {
	notes := make([]note, len(all))
	for i := range all {
		notes[i] = note{&all[i], r.Time}
	}
	return notes
}

const (
	newNote   = "notification:new"
	noteCount = "notification:count"
)

// notify queues a note, mu held.
//
// A socket hears the notifications of a record before the record's own push, and
// only the last of what it hears carries the record's place: so the cursor of a
// client whose connection breaks in between stays before the record. It is told
// all of it again then, and knows a notification by its id. A count never carries
// a place: it is absolute, and who comes back is told it anew.
func (h *hub) notify(n *note, seq uint64, pushes []delivery, out *told) {
	u := h.users[n.User]
	if u == nil || u.room == nil {
		return
	}
	name := u.room.name
	frames := make([]*pushFrame, 0, len(n.New)+1)
	for i := range n.New {
		frames = append(frames, noteFrame(newNote, name, 0, n.at, schema.NotificationNew{Notification: n.New[i]}))
	}
	var placed *pushFrame // the last of the new ones, with the place
	if last := len(n.New) - 1; last >= 0 {
		placed = &pushFrame{head: newPushHead(newNote, name, seq), tail: frames[last].tail}
	}
	if n.Count >= 0 {
		frames = append(frames, noteFrame(noteCount, name, 0, n.at, schema.NotificationCount{Count: n.Count}))
	}
	d := delivery{event: newNote, seq: seq}
	for i := range u.room.members {
		m := &u.room.members[i]
		if !d.isFor(m, name) {
			continue
		}
		hearsMore := h.hearsAny(m, pushes)
		for j, f := range frames {
			if j == len(n.New)-1 && !hearsMore {
				f = placed
			}
			switch {
			case m.resuming != nil:
				m.resuming.hold(seq, f)
			case m.out.push(f):
				out.count++
			default:
				out.slow = append(out.slow, m.session)
			}
		}
	}
}

func noteFrame(event, room string, seq uint64, at schema.Time, data any) *pushFrame {
	return &pushFrame{head: newPushHead(event, room, seq), tail: newPushTail(at, mustJSON(data))}
}

// hearsAny reports whether a socket, as a member of its user's own room, is told one
// of the pushes, mu held.
func (h *hub) hearsAny(m *member, pushes []delivery) bool {
	for i := range pushes {
		d := &pushes[i]
		for _, room := range d.rooms {
			if at := m.seatIn(room); at >= 0 && d.isFor(&m.seats[at].room.members[m.seats[at].place], room) {
				return true
			}
		}
		if d.isTo(m.userID()) && d.isFor(m, schema.UserRoom(m.userID())) {
			return true
		}
	}
	return false
}
