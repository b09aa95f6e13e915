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
	stamp   uint64              // of the push being delivered
	closed  bool                // no more sockets are taken
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
	members []*session
}

// seat is a socket's place in a room: members[place] is that socket.
type seat struct {
	room  *room
	place int
}

// enter puts the socket into the room, mu held. It returns false when the socket
// is in max rooms already.
func (h *hub) enter(s *session, name string, max int) bool {
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
	r.members = append(r.members, s)
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
	r.members[last] = nil
	r.members = r.members[:last]
	if last == 0 {
		delete(h.rooms, r.name)
	}
}

// join is enter for a connected socket.
func (h *hub) join(s *session, name string, max int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[s.id] != s {
		return true // it has closed meanwhile
	}
	return h.enter(s, name, max)
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
	for _, s := range h.sockets {
		into = append(into, s)
	}
	return into
}

// delivery is one push on its way to rooms.
type delivery struct {
	event  string
	seq    uint64 // 0: not a fact
	at     schema.Time
	data   json.RawMessage
	rooms  []string
	users  []string // told in their own user rooms, after the rooms
	origin string   // id of the socket that sent it, which is not told; "" for none
}

// deliver queues the push on every socket of its rooms, once on each, as of the
// first room that the socket is in. It returns how many sockets it went to, and
// those whose queue was full: the caller closes them.
func (h *hub) deliver(d *delivery) (told int, slow []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stamp++
	p := pass{delivery: d, namespace: bitOf(schema.NamespaceOf(d.event)), stamp: h.stamp}
	for _, name := range d.rooms {
		if r := h.rooms[name]; r != nil {
			p.tell(r)
		}
	}
	for _, id := range d.users {
		if u := h.users[id]; u != nil && u.room != nil {
			p.tell(u.room)
		}
	}
	return p.told, p.slow
}

// pass is one delivery under way.
type pass struct {
	*delivery
	namespace namespaces
	stamp     uint64
	tail      []byte // made when the first room turns out to have members
	told      int
	slow      []*session
}

func (p *pass) tell(r *room) {
	if p.tail == nil {
		p.tail = newPushTail(p.at, p.data)
	}
	frame := pushFrame{head: newPushHead(p.event, r.name, p.seq), tail: p.tail}
	for _, s := range r.members {
		switch {
		case s.stamp == p.stamp: // it was in an earlier room
			continue
		case p.seq != 0 && p.seq <= s.since: // its connect ack already stands after this
			continue
		case s.chosen&p.namespace == 0 && r.name != schema.RoomPublic:
			continue
		case s.id == p.origin:
			continue
		}
		s.stamp = p.stamp
		if !s.out.push(&frame) {
			p.slow = append(p.slow, s)
			continue
		}
		p.told++
	}
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

func (set namespaces) list() []schema.Namespace {
	names := make([]schema.Namespace, 0, len(choosable))
	for _, n := range choosable {
		if set&bitOf(n) != 0 {
			names = append(names, n)
		}
	}
	return names
}
