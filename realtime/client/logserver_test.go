package client_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"roomlog/schema"
)

// logServer is a scripted server with a log in memory: it keeps facts, each once a
// key, tells every connection of them in order, and resumes. It cuts each
// connection where the test wants it.
type logServer struct {
	*scripted
	epoch string

	mu     sync.Mutex
	grown  *sync.Cond
	log    []entry  // seq 1 first
	late   []entry  // taken from a connection that was cut, and not committed yet
	cuts   []int    // after how many steps each connection is cut; those beyond are not
	conns  int      // made so far
	rooms  []string // that sockets asked to come back to, or joined, last
	resync bool     // refuse to resume
}

type entry struct {
	key    string
	conn   int // which sent it; 0: none of ours
	id     json.RawMessage
	data   json.RawMessage
	fromUs bool
}

func serveLog(t testing.TB, cuts ...int) *logServer {
	s := &logServer{epoch: "E1", cuts: cuts}
	s.grown = sync.NewCond(&s.mu)
	s.scripted = serve(t, s.serve)
	return s
}

// add puts another user's fact into the log.
func (s *logServer) add(data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, entry{data: encode(data)})
	s.grown.Broadcast()
}

func (s *logServer) head() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.log)
}

// connection is one of a logServer's; its fields are guarded by the server's mu.
type connection struct {
	*peer
	s     *logServer
	num   int
	steps int // left before it is cut; negative: never
	dead  bool
	at    int // records told
}

// step is called before and after whatever can be seen of a connection from
// outside. It reports whether the connection still stands. mu is held.
func (c *connection) step() bool {
	if c.steps == 0 && !c.dead {
		c.dead = true
		c.Close()
	}
	c.steps--
	return !c.dead
}

func (s *logServer) serve(p *peer) {
	s.mu.Lock()
	c := &connection{peer: p, s: s, num: s.conns + 1, steps: -1}
	if s.conns < len(s.cuts) {
		c.steps = s.cuts[s.conns]
	}
	s.conns++
	s.mu.Unlock()
	var teller sync.WaitGroup
	defer teller.Wait()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.dead = true
		s.grown.Broadcast()
	}()
	if !c.connect() {
		return
	}
	teller.Go(c.tellAll)
	for c.carryOut() {
	}
}

// connect answers socket:connect and sends what was missed.
func (c *connection) connect() bool {
	cmd, ok := c.command()
	if !ok {
		return false
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var connect schema.Connect
	if err := json.Unmarshal(cmd.Data, &connect); err != nil {
		panic(err)
	}
	head, resume := len(c.s.log), connect.Resume
	resumes := resume != nil && resume.Epoch == c.s.epoch && !c.s.resync
	rooms := []string{"user:alice"}
	if resume != nil && !c.s.resync {
		rooms = append(rooms, resume.Rooms...)
		c.s.rooms = resume.Rooms
	}
	if !c.step() {
		return false
	}
	c.ack(cmd.ID, schema.Connected{User: schema.Actor{ID: "alice"}, Rooms: rooms, Seq: uint64(head), Resumed: resumes})
	c.at = head
	switch {
	case resumes:
		for i := int(resume.Seq); i < head; i++ {
			if !c.step() {
				return false
			}
			c.record(i)
		}
		if !c.step() {
			return false
		}
		c.push("socket:resumed", schema.Resumed{Seq: uint64(head), Count: head - int(resume.Seq)})
	case resume != nil:
		if !c.step() {
			return false
		}
		c.push("socket:resync", schema.Resync{Reason: schema.ResyncTooFar, Seq: uint64(head)})
	}
	return c.step()
}

// tellAll tells of record after record, as an ack where this connection sent it.
func (c *connection) tellAll() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for {
		for c.at == len(c.s.log) && !c.dead {
			c.s.grown.Wait()
		}
		if !c.step() {
			return
		}
		i := c.at
		c.at++
		if e := c.s.log[i]; e.conn == c.num {
			c.text(`{"id":%s,"ok":true,"seq":%d,"data":%s}`, e.id, i+1, e.data)
		} else {
			c.record(i)
		}
		if !c.step() {
			return
		}
	}
}

func (c *connection) record(i int) {
	c.n++
	c.text(`{"event":"post:create","room":"user:alice","seq":%d,"n":%d,"data":%s}`, i+1, c.n, c.s.log[i].data)
}

// carryOut takes one command.
func (c *connection) carryOut() bool {
	cmd, ok := c.command()
	if !ok {
		return false
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	// What was under way when an earlier connection was cut comes behind what this
	// one caught up on.
	c.s.log = append(c.s.log, c.s.late...)
	c.s.late = nil
	c.s.grown.Broadcast()
	if cmd.Event == "test:cut" && c.num == 1 {
		return false
	}
	if cmd.Event != "post:create" {
		c.s.note(cmd)
		c.ack(cmd.ID, cmd.Data)
		return c.step()
	}
	first := slices.IndexFunc(c.s.log, func(e entry) bool { return e.key == cmd.Key })
	if cmd.Key == "" || first < 0 {
		e := entry{key: cmd.Key, conn: c.num, id: cmd.ID, data: cmd.Data, fromUs: true}
		if !c.step() {
			c.s.late = append(c.s.late, e)
			return false
		}
		c.s.log = append(c.s.log, e)
		return true
	}
	// It may overtake the push of the first time.
	c.text(`{"id":%s,"ok":true,"seq":%d,"duplicate":true,"data":%s}`, cmd.ID, first+1, c.s.log[first].data)
	return c.step()
}

func (s *logServer) note(cmd schema.Command) {
	var p schema.PostRef
	if cmd.Event == "post:join" && json.Unmarshal(cmd.Data, &p) == nil {
		s.rooms = append(s.rooms, schema.PostRoom(p.PostID))
	}
}
