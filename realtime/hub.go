package realtime

import (
	"encoding/json"
	"slices"
	"sync"

	"roomlog/schema"
)

// hub knows which sockets are open, which rooms they are in and which users are
// connected. One lock guards it all: a push goes to all of its rooms under it,
// so that pushes reach every socket in the order in which they were delivered,
// and a socket that joins a room hears everything from one known position on.
// Nothing that can block happens under it.
type hub struct {
	mu      sync.Mutex
	sockets map[string]*session // by socket id
	rooms   map[string]*room    // by name; none is empty
	users   map[string]*user    // by user id: connected, or gone for less than the grace period
	arrived arrivals            // whoever was put into users
	stamp   uint64              // of the push being delivered

	delivered uint64 // place of the last record whose pushes were delivered, or are being, see begin
	evicted   uint64 // place of the last record that made users leave a room
	suspended uint64 // place of the last record that suspended a user
	held      int    // pushes for those who resume, when all was asked last
	closed    bool   // no more sockets are taken
}

func newHub() hub {
	return hub{
		sockets: make(map[string]*session),
		rooms:   make(map[string]*room),
		users:   make(map[string]*user),
	}
}

// room is a set of sockets.
type room struct {
	name    string
	members []member
}

// member is a socket in a room. Pushes of records up to since are not for it as a
// member of the room: it was let in by what the read models said after them.
type member struct {
	*session
	since uint64
}

// seat is a socket's place in a room: members[place] is that socket.
type seat struct {
	room  *room
	place int
}

// enter puts the socket into the room, to hear of what comes after since, mu held.
// It returns false when the socket is in max rooms already.
func (h *hub) enter(s *session, name string, since uint64, max int) bool {
	if s.seatIn(name) >= 0 {
		return true
	}
	if len(s.seats) >= max {
		return false
	}
	r := h.rooms[name]
	if r == nil {
		r = &room{name: name}
		h.rooms[name] = r
	}
	s.seats = append(s.seats, seat{r, len(r.members)})
	r.members = append(r.members, member{s, since})
	return true
}

// leave takes the socket out of the room, mu held, and reports whether it was in it.
func (h *hub) leave(s *session, name string) bool {
	i := s.seatIn(name)
	if i < 0 {
		return false
	}
	h.stand(s.seats[i])
	s.seats = slices.Delete(s.seats, i, i+1)
	return true
}

// stand empties a seat: the room's last member moves to it.
func (h *hub) stand(at seat) {
	r := at.room
	last := len(r.members) - 1
	if at.place != last {
		moved := r.members[last]
		r.members[at.place] = moved
		moved.seats[moved.seatIn(r.name)].place = at.place
	}
	r.members[last] = member{}
	r.members = r.members[:last]
	if last == 0 {
		delete(h.rooms, r.name)
	}
}

// join is enter for a connected socket that may be in the room as of a place in
// the log. It returns stale when users were made to leave rooms since: then that
// place says nothing of now.
func (h *hub) join(s *session, name string, asOf uint64, max int) (joined, stale bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.sockets[s.id] != s:
		return true, false // it has closed meanwhile
	case h.evicted > asOf:
		return false, true
	}
	return h.enter(s, name, asOf, max), false
}

// evict makes the sockets of users leave the room, or all sockets when everyone
// is set, mu held. Who was let in by what the read models said at the record's
// place or later stays: they may be there again.
func (h *hub) evict(name string, users []string, everyone bool, seq uint64) {
	r := h.rooms[name]
	if r == nil {
		return
	}
	for _, m := range slices.Clone(r.members) {
		if m.since < seq && (everyone || slices.Contains(users, m.userID())) {
			h.leave(m.session, name)
		}
	}
}

func (h *hub) part(s *session, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leave(s, name)
}

func (h *hub) isIn(s *session, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.seatIn(name) >= 0
}

// close makes the hub take no more sockets. It returns false when it was closed.
func (h *hub) close() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.closed
	h.closed = true
	return !was
}

// all returns the open sockets, in no order.
func (h *hub) all(into []*session) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = 0
	for _, s := range h.sockets {
		into = append(into, s)
		if s.resuming != nil {
			h.held += len(s.resuming.held)
		}
	}
	return into
}

func (h *hub) hasUser(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users[id] != nil
}

// userIDs returns who is connected, or lately was, unless that are as many as fewer or
// more: then nil.
func (h *hub) userIDs(fewer int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.users) >= fewer {
		return nil
	}
	ids := make([]string, 0, len(h.users))
	for id := range h.users {
		ids = append(ids, id)
	}
	return ids
}

// arrivedSince returns who came after the first so many users, unless that is too long
// ago to be known; how many did altogether, and how many are connected.
func (h *hub) arrivedSince(n uint64) (ids []string, known bool, upTo uint64, connected int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := &h.arrived
	if known = n >= a.dropped; known {
		ids = a.ids[n-a.dropped:]
	}
	return ids, known, a.dropped + uint64(len(a.ids)), len(h.users)
}

// delivery is one push on its way to rooms.
type delivery struct {
	event  string
	seq    uint64 // 0: not a fact
	at     schema.Time
	data   json.RawMessage
	rooms  []string
	users  []string        // told in their own user rooms, after the rooms
	among  map[string]bool // users, where many are looked for; nil: not made
	origin string          // id of the socket that sent it, which is not told; "" for none

	own   json.RawMessage // what the sockets of actor, and room admin, are told instead of data; nil: the same
	actor string

	suspended string // a user whose sockets are closed

	except  map[string]bool // users who are not told, but in room admin
	evicted []string        // users who leave the first room once they are told
	closed  bool            // everyone does
}

// told is what a delivery came to.
type told struct {
	count     int
	slow      []*session // whose queue was full: the caller closes them
	starts    *starts    // whose writers the caller starts; it frees the list
	suspended []*session // whose user is suspended: likewise
}

// begin notes that what records up to a place tell is being delivered, before it is
// looked up which of the connected are told: of who comes from then on these may not know.
func (h *hub) begin(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered = max(h.delivered, seq)
}

// deliver queues the pushes of one record, or of none (seq 0), each on every socket
// of its rooms, once, as of the first room that the socket is in (see inOrder); before
// them what users are told of their notifications.
//
// All of a record is delivered under one lock: between two records every socket
// has heard either all or nothing of the next.
func (h *hub) deliver(seq uint64, all []delivery, notes []note) (out told) {
	out.starts = lists.Get().(*starts)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range notes {
		h.notify(&notes[i], seq, all, &out)
	}
	for i := range all {
		d := &all[i]
		h.stamp++
		p := pass{delivery: d, stamp: h.stamp, out: &out, few: h.sizeOf(d) <= fewSockets}
		for _, name := range inOrder(d.rooms) {
			if r := h.rooms[name]; r != nil {
				p.tell(r)
			}
		}
		for _, id := range d.users {
			if u := h.users[id]; u != nil && u.room != nil {
				p.tell(u.room)
			}
		}
		if d.closed || len(d.evicted) > 0 {
			h.evict(d.rooms[0], d.evicted, d.closed, seq)
			h.evicted = seq
		}
		if d.suspended != "" {
			h.suspended = seq
			if r := h.rooms[schema.UserRoom(d.suspended)]; r != nil {
				for _, m := range r.members {
					out.suspended = append(out.suspended, m.session)
				}
			}
		}
	}
	return out
}

// fewSockets is how many are told of one push by starting the writer of each as it is
// told, which is a tenth cheaper than listing them, but puts all of them, some
// milliseconds' work, before whatever is to be done next.
const fewSockets = 1024

// sizeOf returns about how many sockets a push is for, mu held.
func (h *hub) sizeOf(d *delivery) int {
	size := len(d.users)
	for _, name := range d.rooms {
		if r := h.rooms[name]; r != nil {
			size += len(r.members)
		}
	}
	return size
}

// inOrder returns the rooms of a push in the order in which they are told: room admin
// before any other, for moderators are told more than the rest, and all of it.
func inOrder(rooms []string) []string {
	if i := slices.Index(rooms, schema.RoomAdmin); i > 0 {
		return append([]string{schema.RoomAdmin}, slices.Delete(slices.Clone(rooms), i, i+1)...)
	}
	return rooms
}

// pass is one delivery under way.
type pass struct {
	*delivery
	stamp   uint64
	out     *told
	few     bool   // sockets: their writers are started at once
	tail    []byte // made when the first room turns out to have members
	ownTail []byte // likewise
	head    []byte // of the room that is told
}

func (p *pass) tell(r *room) {
	if p.tail == nil {
		p.tail = newPushTail(p.at, p.data)
	}
	p.head = appendPushHead(p.head[:0], p.event, r.name, p.seq)
	frame := &pushFrame{head: p.head, tail: p.tail}
	own := frame
	if p.own != nil {
		if p.ownTail == nil {
			p.ownTail = newPushTail(p.at, p.own)
		}
		own = &pushFrame{head: frame.head, tail: p.ownTail}
	}
	for i := range r.members {
		m := &r.members[i]
		s := m.session
		if s.stamp == p.stamp || !p.isFor(m, r.name) { // it was in an earlier room
			continue
		}
		s.stamp = p.stamp
		f := frame
		if own != frame && (s.userID() == p.actor || r.name == schema.RoomAdmin) {
			f = own
		}
		if p.seq != 0 && s.resuming != nil {
			s.resuming.hold(p.seq, f)
			continue
		}
		var ok, list bool
		if p.few {
			ok = s.out.push(f)
		} else {
			ok, list = s.out.pushListed(f)
		}
		if !ok {
			p.out.slow = append(p.out.slow, s)
			continue
		}
		if p.out.count++; list {
			p.out.starts.add(&s.out)
		}
	}
}

// isFor reports whether a socket is told in a room that it is in.
func (d *delivery) isFor(m *member, room string) bool {
	switch {
	case d.seq != 0 && d.seq <= max(m.session.since, m.since):
		return false
	case !m.chosen.hear(d.event, room):
		return false
	case m.id == d.origin:
		return false
	}
	return !d.excepts(m.userID(), room)
}

// manyLookedFor is how many comparisons of ids cost more than a set of them.
const manyLookedFor = 4096

// lookedFor prepares for that so many users are looked for in users.
func (d *delivery) lookedFor(times int) {
	if times*len(d.users) > manyLookedFor {
		d.among = setOf(d.users)
	}
}

// isTo reports whether a user is one of users.
func (d *delivery) isTo(user string) bool {
	if d.among != nil {
		return d.among[user]
	}
	return slices.Contains(d.users, user)
}

// setOf makes a set of users, nil of none.
func setOf(users []string) map[string]bool {
	if len(users) == 0 {
		return nil
	}
	set := make(map[string]bool, len(users))
	for _, id := range users {
		set[id] = true
	}
	return set
}

// excepts reports whether a user is not told in a room whatever they listen to.
func (d *delivery) excepts(user, room string) bool {
	return room != schema.RoomAdmin && d.except[user]
}

// namespaces is a set of namespaces.
type namespaces uint8

var choosable = []schema.Namespace{schema.Social, schema.Messaging, schema.Notifications, schema.Admin}

// bitOf returns the set of one namespace. What is about the connection itself
// belongs to every set.
func bitOf(n schema.Namespace) namespaces {
	if i := slices.Index(choosable, n); i >= 0 {
		return 1 << i
	}
	return ^namespaces(0)
}

// hear reports whether a socket that listens to the set is told of an event in a
// room that it is in. What moderators do is told everybody whom it concerns: of
// /admin the set decides only in room admin.
func (set namespaces) hear(event, room string) bool {
	said := bitOf(schema.NamespaceOf(event))
	return set&said != 0 || said == bitOf(schema.Admin) && room != schema.RoomAdmin
}

func (set namespaces) list() []schema.Namespace {
	names := make([]schema.Namespace, 0, len(choosable))
	for _, n := range choosable {
		if set&bitOf(n) != 0 {
			names = append(names, n)
		}
	}
	return names
}
