package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"roomlog/schema"
)

// inFlight is how many commands are sent ahead of their acks: enough to keep a
// connection busy, and fewer facts than a server takes at once (64).
const inFlight = 32

// envelope is more than what a frame has besides event, data and key, in bytes.
const envelope = 64

// call is a command that waits for its ack.
type call struct {
	event  string
	data   json.RawMessage
	key    string
	ack    func(schema.Frame, error)
	sent   bool // on the present connection; guarded by Session.mu
	rejoin bool // made here for a room of an earlier connection; has no slot
}

// queue takes a command whose slot the caller has taken.
func (s *Session) queue(event string, data any, key string, ack func(schema.Frame, error)) (*call, error) {
	c := &call{event: event, key: key, ack: ack}
	if data != nil {
		var err error
		if c.data, err = json.Marshal(data); err != nil {
			return nil, fmt.Errorf("sending %s: %w", event, err)
		}
	}
	if e, ok := schema.Lookup(event); ok && e.Kind == schema.Fact && key == "" {
		c.key = ulid.Make().String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, fmt.Errorf("sending %s: %w", event, cmp.Or(s.err, net.ErrClosed))
	}
	// A server ends the connection over such a frame, and would again.
	if n := len(event) + len(c.data) + len(key) + envelope; s.maxFrame > 0 && n > s.maxFrame {
		return nil, fmt.Errorf("sending %s: %w (%d bytes, the server takes %d)", event, ErrTooLarge, n, s.maxFrame)
	}
	s.pending = append(s.pending, c)
	s.rouse()
	return c, nil
}

// ErrTooLarge means that a command is longer than a frame that the server takes.
var ErrTooLarge = errors.New("the command is too large")

// rouse lets the session goroutine look what there is to send.
func (s *Session) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next returns the command to send now: the first that was not sent on this
// connection. Without one it returns how long to wait, 0 for until roused.
func (s *Session) next() (*call, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return nil, 0
	}
	if wait := time.Until(s.hold); wait > 0 {
		return nil, wait
	}
	flying := 0
	for _, c := range s.pending {
		if !c.sent {
			c.sent = true
			return c, 0
		}
		if flying++; flying == inFlight {
			break
		}
	}
	return nil, 0
}

// acked takes the ack of a command, from the reading goroutine.
func (s *Session) acked(c *call, f schema.Frame) {
	err := AckError(f)
	s.mu.Lock()
	if err == nil {
		// A duplicate's ack carries the place of the first time, which it may reach
		// before the pushes that come ahead of it: it says nothing of where this
		// connection stands.
		if !f.Duplicate {
			s.cursor.Seq = max(s.cursor.Seq, f.Seq)
		}
		s.tries = 0
		s.moved(c)
	}
	i := slices.Index(s.pending, c)
	if i < 0 { // withdrawn
		s.mu.Unlock()
		return
	}
	if s.again(c, err) {
		s.mu.Unlock()
		return
	}
	s.pending = slices.Delete(s.pending, i, i+1)
	s.rouse()
	s.mu.Unlock()
	s.settle(c, f, err)
}

// settle hands over the answer of a command that is pending no more.
func (s *Session) settle(c *call, f schema.Frame, err error) {
	if !c.rejoin {
		<-s.slots
	}
	c.ack(f, err)
}

// again sees to it that a command which was refused for now is sent again, and
// reports whether it was.
func (s *Session) again(c *call, err error) bool {
	var e *schema.Error
	if !errors.As(err, &e) {
		return false
	}
	switch {
	case e.Code == schema.ShuttingDown, e.Code == schema.TokenExpired && c.event != "socket:refresh":
		return true // the server closes: on the next connection
	case e.Code == schema.Internal, !e.Temporary:
		return false
	}
	wait := e.RetryAfter
	if wait == 0 {
		wait = s.backoff(s.tries)
		s.tries++
	}
	// Nothing overtakes it, and a server that asks for a rest gets it.
	if until := time.Now().Add(wait); until.After(s.hold) {
		s.hold = until
	}
	c.sent = false
	s.rouse()
	return true
}

// withdraw forgets a command that nobody waits for any more.
func (s *Session) withdraw(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.pending, c); i >= 0 {
		s.pending = slices.Delete(s.pending, i, i+1)
		<-s.slots
		s.rouse()
	}
}

// unsend makes every command one to send again: its connection is lost.
func (s *Session) unsend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = false
	s.pending = slices.DeleteFunc(s.pending, func(c *call) bool { return c.rejoin })
	for _, c := range s.pending {
		c.sent = false
	}
}
