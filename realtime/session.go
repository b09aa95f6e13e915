package realtime

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// session is one socket. Its life: it says hello, waits for socket:connect
// (joined is false), is live, and closes. One goroutine (run) reads; commands are
// carried out one at a time, by a worker, while run waits.
type session struct {
	server *Server
	id     string
	in     frameReader // run's
	out    sendQueue

	identity atomic.Pointer[Identity]      // nil until the token is verified
	unacked  atomic.Int32                  // facts whose ack is not queued: of these there are at most MaxFactsInFlight
	inFlight atomic.Int32                  // facts that are not done with: as unacked, but lowered after the ack is queued
	waiting  atomic.Pointer[chan struct{}] // closed when inFlight is 0; nil while nobody waits
	draining atomic.Bool                   // takes no new facts, and closes when inFlight is 0
	joined   atomic.Bool                   // socket:connect is done; set with handling held
	pong     atomic.Int64                  // Unix ms of the last pong
	code     atomic.Uint32                 // roomlog's close code, 0: the server did not close it

	handling sync.Mutex  // held while a command is carried out
	rate     bucket      // guarded by handling
	refused  bool        // the last command came too often; written with handling held, read by run when it is carried out
	queues   atomic.Bool // it is not read from: it waits for a turn
	greedy   bool        // it has used its share, see pressure.go; likewise
	controls bucket      // run's: pings and pongs

	sender *sender // the user's; set with handling held, before anything of theirs is carried out

	from netip.Addr // by what its connection is counted

	opened schema.Time // when it was upgraded
	pinged int64       // Unix ms of the last ping, 0: none yet; the sweep's

	// Guarded by hub.mu.
	seats []seat
	since uint64 // pushes up to this place are not for this socket

	resuming *resume // what it missed is being sent; nil once it is live

	stamp  uint64     // of the last delivery that reached it
	wanted namespaces // whose pushes the client asked for
	chosen namespaces // of these, what its token allows
}

func newSession(server *Server, id string, conn net.Conn, ahead []byte, identity *Identity) *session {
	s := &session{server: server, id: id, opened: schema.TimeOf(time.Now())}
	s.in.start(conn, ahead, server.cfg.MaxFrameBytes, s.onControl)
	s.out.conn, s.out.limits, s.out.heavy, s.out.flusher = conn, &server.cfg, &server.heavy, &server.sockets
	s.identity.Store(identity)
	return s
}

// seatIn returns the place in seats of the room, -1 when it is not in it; hub.mu held.
func (s *session) seatIn(room string) int {
	for i := range s.seats {
		if s.seats[i].room.name == room {
			return i
		}
	}
	return -1
}

// run reads until the socket is done with.
func (s *session) run() {
	defer s.server.sockets.Done()
	s.end(s.read())
}

func (s *session) read() error {
	for {
		if err := s.in.wait(); err != nil {
			return err
		}
		message, err := s.in.next()
		if err != nil {
			return err
		}
		s.carryOutInTurn(message)
	}
}

// end carries out the rest of the closing handshake and forgets the socket.
func (s *session) end(cause error) {
	s.server.tails.stop(s)
	within := s.server.cfg.CloseTimeout
	var violation *protocolError
	var closed *peerClosed
	switch {
	case errors.As(cause, &violation):
		s.server.forget(s, violation.reason)
		s.server.metrics.closed(uint16(violation.code))
		s.seal(nil, ws.NewCloseFrameBody(violation.code, violation.reason), false, within)
		s.in.discard()
		s.out.finish(true)
	case errors.As(cause, &closed):
		s.server.forget(s, "closed by the client")
		var echo []byte
		if closed.code != 0 {
			echo = ws.NewCloseFrameBody(closed.code, "")
		}
		s.seal(nil, echo, false, within)
		s.out.finish(true)
	default: // the connection broke, or the closing handshake took too long
		s.server.forget(s, "connection lost")
		s.out.finish(false)
	}
	s.server.slots.Add(-1)
	s.server.addresses.leave(s.from)
}

// hello sends socket:hello, the first frame.
func (s *session) hello() {
	cfg := &s.server.cfg
	s.tell("socket:hello", mustJSON(schema.Hello{
		SocketID:      s.id,
		Protocol:      schema.Protocol,
		PingInterval:  cfg.PingInterval.Milliseconds(),
		MaxFrameBytes: cfg.MaxFrameBytes,
		Log:           schema.LogPosition{Epoch: cfg.Log.Epoch(), Seq: cfg.Models.Applied()},
	}))
}

// tell pushes something about the connection to this socket alone.
func (s *session) tell(event string, data json.RawMessage) {
	if !s.out.push(ownPush(event, data)) {
		s.tooSlow()
	}
}

func ownPush(event string, data json.RawMessage) *pushFrame {
	return &pushFrame{head: newPushHead(event, "", 0), tail: newPushTail(schema.TimeOf(time.Now()), data)}
}

// answer sends an ack.
func (s *session) answer(ack []byte) {
	if !s.out.send(ws.OpText, ack) {
		s.tooSlow()
	}
}

// onControl answers pings and notes pongs, unless they come too often.
func (s *session) onControl(op ws.OpCode, payload []byte) {
	cfg := &s.server.cfg
	if limit := cfg.rate(cfg.RateControls); s.controls.take(time.Now(), limit, time.Minute) > 0 {
		s.server.metrics.limited.WithLabelValues("control").Inc()
		if s.controls.goesOn(limit) {
			s.close(schema.CloseTooManyEvents)
		}
		s.pause()
		return
	}
	if op == ws.OpPong {
		s.pong.Store(time.Now().UnixMilli())
		return
	}
	if !s.out.send(ws.OpPong, payload) {
		s.tooSlow()
	}
}

// close begins the closing handshake with socket:disconnect and a close frame,
// after everything that is queued. Only the first call counts.
func (s *session) close(code schema.CloseCode) { s.closeAfter(code, 0) }

// closeAfter is close that asks the client to wait before it comes back.
func (s *session) closeAfter(code schema.CloseCode, retryAfter time.Duration) {
	s.shut(code, retryAfter, false, s.server.cfg.CloseTimeout)
}

// tooSlow closes a socket whose queue is full. What is queued is dropped, to be
// read again from the log; what is being written has as long as any write.
func (s *session) tooSlow() {
	if s.shut(schema.CloseTooSlow, 0, true, s.server.cfg.WriteTimeout) {
		s.server.audit.note(schema.AuditSlow, auditEntry{User: s.userID(), Socket: s.id, Code: "TOO_SLOW"})
	}
}

func (s *session) shut(code schema.CloseCode, retryAfter time.Duration, drop bool, within time.Duration) bool {
	last := ownPush("socket:disconnect", mustJSON(schema.Disconnect{
		UserID:       s.userID(),
		Reason:       code.Reason(),
		Reconnect:    code.Reconnect(),
		RetryAfterMs: retryAfter.Milliseconds(),
	}))
	if !s.seal(last, ws.NewCloseFrameBody(ws.StatusCode(code), code.Reason()), drop, within) {
		return false
	}
	s.code.Store(uint32(code))
	s.server.metrics.closed(uint16(code))
	return true
}

// seal queues the last frames and gives the client until within to read them and
// to close its side.
func (s *session) seal(last *pushFrame, closing []byte, drop bool, within time.Duration) bool {
	if !s.out.seal(last, closing, drop) {
		return false
	}
	// What the closing needs is the one deadline that a connection ever has.
	_ = s.out.conn.SetDeadline(time.Now().Add(within))
	return true
}

// userID returns the verified user's id, "" before the token was verified.
func (s *session) userID() string {
	if id := s.identity.Load(); id != nil {
		return id.Actor.ID
	}
	return ""
}
