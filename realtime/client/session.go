package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"roomlog/schema"
)

// maxPending is how many commands of a session may wait for their acks.
const maxPending = 1024

// ErrTooManyPending is what Session.Send returns while 1024 commands wait for
// their acks.
var ErrTooManyPending = errors.New("1024 commands wait for their acks already")

// SessionOptions say who is present and what they listen to. The functions are
// called one at a time and in the order of what they tell. While one runs nothing
// else is read, so none may wait for the session (Do, Join, Close); Send is allowed.
type SessionOptions struct {
	// Token returns the JWT for a connection that is about to be made. Required. An
	// error of it is a failed try to connect.
	Token      func(ctx context.Context) (string, error)
	Namespaces []schema.Namespace // none: all that the token's roles allow
	// Resume is where an earlier session stood, as its Position said; nil: from now on.
	Resume *schema.Resume

	// OnPush gets every push but those about the connection itself (socket:*), in
	// order, each once over all connections.
	OnPush func(schema.Frame)
	// OnResync is called when missed pushes cannot be had: what is shown must be
	// read again by query. Pushes go on from the given seq.
	OnResync func(schema.Resync)
	OnState  func(State)
	// OnFrame is Options.OnFrame, for every connection.
	OnFrame func(frame []byte)

	// The wait before a try to connect is drawn evenly between nothing and a bound
	// that begins with MinBackoff (0: 250 ms) and doubles up to MaxBackoff (0: 30 s);
	// what the server asked for comes on top.
	MinBackoff, MaxBackoff time.Duration

	HTTPHeader http.Header // further headers of the handshake, such as Origin
	TLS        *tls.Config // for wss URLs; nil: the defaults
	// NetDial is Options.NetDial, for every connection.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Session is one user's presence at a server, over as many connections as it
// takes. Its methods may be called concurrently.
type Session struct {
	url   string
	o     SessionOptions
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	slots chan struct{} // one for each pending command
	wake  chan struct{} // has room for one: something may be sent, or sent again
	done  chan struct{} // closed when the session has ended

	token    string // of the last try to connect; the session goroutine's
	missedAt uint64 // cursor when the connection came back; the reading goroutine's

	mu       sync.Mutex         // guards all that follows; not held while the app's functions run
	cursor   schema.LogPosition // up to where everything was heard; no epoch: never connected
	rooms    []string           // joined, in that order
	user     schema.Actor
	maxFrame int       // bytes that the server takes; 0: it has not said
	live     bool      // commands may be sent
	owed     bool      // a socket:resync is to come
	hold     time.Time // nothing is sent before
	tries    int       // refusals in a row that did not say how long to wait
	pending  []*call   // in the order in which they were given
	ended    bool
	err      error // why it ended; nil while it lasts and after Close
}

// Open connects a user to a WebSocket URL ("ws://127.0.0.1:7777/ws"). When the
// first try fails, Open fails, with the errors of Dial; ctx bounds that try only.
// From then on the session comes back by itself whenever its connection is lost,
// until Close, or until the server says not to come back.
func Open(ctx context.Context, url string, o SessionOptions) (*Session, error) {
	s := &Session{
		url:   url,
		o:     o,
		slots: make(chan struct{}, maxPending),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	if r := o.Resume; r != nil {
		s.cursor = schema.LogPosition{Epoch: r.Epoch, Seq: r.Seq}
		s.rooms = slices.Clone(r.Rooms)
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	go s.run(c)
	return s, nil
}

// Do sends a command and waits for its ack, over as many connections as it takes:
// a command whose connection was lost before its ack is sent again. A fact is
// given an idempotency key, so that it is carried out once all the same. A
// command that is refused for now (RATE_LIMITED, TOO_MANY_IN_FLIGHT and other
// temporary codes) is sent again too. What else is refused is returned as a
// *schema.Error along with the frame. data is encoded as JSON; nil stands for {}.
//
// When ctx ends first, the command may or may not have been carried out. When the
// session ends first, Do returns why, net.ErrClosed after Close.
func (s *Session) Do(ctx context.Context, event string, data any) (schema.Frame, error) {
	return s.DoKey(ctx, event, data, "")
}

// DoKey is Do with the caller's own idempotency key, such as one that was written
// down before a restart. "" stands for one made here.
func (s *Session) DoKey(ctx context.Context, event string, data any, key string) (schema.Frame, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return schema.Frame{}, fmt.Errorf("waiting to send %s: %w", event, ctx.Err())
	case <-s.done:
		return schema.Frame{}, fmt.Errorf("sending %s: %w", event, s.why())
	}
	type answer struct {
		frame schema.Frame
		err   error
	}
	answered := make(chan answer, 1)
	c, err := s.queue(event, data, key, func(f schema.Frame, err error) { answered <- answer{f, err} })
	if err != nil {
		<-s.slots
		return schema.Frame{}, err
	}
	select {
	case a := <-answered:
		return a.frame, a.err
	case <-ctx.Done():
		s.withdraw(c)
		return schema.Frame{}, fmt.Errorf("waiting for the ack of %s: %w", event, ctx.Err())
	}
}

// Send is DoKey without waiting: ack, when not nil, is called once, with what
// DoKey returns. Commands are sent in the order of the calls, and after a lost
// connection again in that order.
func (s *Session) Send(event string, data any, key string, ack func(schema.Frame, error)) error {
	select {
	case s.slots <- struct{}{}:
	default:
		return fmt.Errorf("sending %s: %w", event, ErrTooManyPending)
	}
	if ack == nil {
		ack = func(schema.Frame, error) {}
	}
	if _, err := s.queue(event, data, key, ack); err != nil {
		<-s.slots
		return err
	}
	return nil
}

// Join enters the room of a post or conversation ("post:01J…"). The session goes
// back into it after a lost connection, as long as it may, until Leave. The same
// is true of rooms that post:join or message:join were sent for.
func (s *Session) Join(ctx context.Context, room string) error { return s.move(ctx, room, joinOf) }

// Leave leaves a room that was joined.
func (s *Session) Leave(ctx context.Context, room string) error { return s.move(ctx, room, leaveOf) }

func (s *Session) move(ctx context.Context, room string, event map[string]string) error {
	typ, id, ok := schema.ParseRoom(room)
	if !ok || event[typ] == "" {
		return fmt.Errorf("%q is not the room of a post or a conversation", room)
	}
	_, err := s.Do(ctx, event[typ], entity(typ, id))
	return err
}

// Position returns where the session stands: up to where everything was handed
// over, and its rooms. Given as Resume to a later session of the same user, that
// one goes on from there. Within OnPush the push is part of it.
func (s *Session) Position() schema.Resume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return schema.Resume{Epoch: s.cursor.Epoch, Seq: s.cursor.Seq, Rooms: slices.Clone(s.rooms)}
}

// User returns who the server says this is.
func (s *Session) User() schema.Actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns nil while the session lasts and after Close, otherwise why the
// server does not want it back: a *CloseError, *RefusedError or *schema.Error.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// why returns the error for calls that come after the end.
func (s *Session) why() error {
	if err := s.Err(); err != nil {
		return err
	}
	return net.ErrClosed
}

// Close ends the session and waits until nothing of it runs. Commands that still
// wait for their acks fail with net.ErrClosed. Calling it again is allowed.
func (s *Session) Close() error {
	s.stop()
	<-s.done
	return nil
}

// entity is the data of a join or leave.
func entity(typ, id string) json.RawMessage {
	return fmt.Appendf(nil, `{"%sId":%q}`, typ, id)
}
