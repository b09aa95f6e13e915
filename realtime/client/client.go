package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

const (
	dialTimeout  = 10 * time.Second // for TCP, TLS and the WebSocket handshake; ctx may be shorter
	writeTimeout = 10 * time.Second // after which a server that does not read counts as gone
	closeTimeout = 3 * time.Second  // for the server's part of the closing handshake

	// readBuffer is small for programs with thousands of clients; larger frames are
	// read into a buffer of their own.
	readBuffer = 2 << 10
)

// Options say who connects and what they listen to.
type Options struct {
	// Token is the JWT to connect with. Without one Dial returns after
	// socket:hello, and Connected is zero.
	Token string
	// Header sends the token as "Authorization: Bearer" with the handshake rather
	// than in socket:connect.
	Header     bool
	Namespaces []schema.Namespace // none: all that the token's roles allow
	Resume     *schema.Resume     // where an earlier connection ended

	// OnPush gets every push, socket:hello included, in order and already while
	// Dial waits. It is called from the reading goroutine: while it runs nothing
	// else is read.
	OnPush func(schema.Frame)
	// OnFrame gets every text frame as it arrived, acks too, before OnPush and the
	// ack functions. The bytes are only valid during the call.
	OnFrame func(frame []byte)

	HTTPHeader http.Header // further headers of the handshake, such as Origin
	TLS        *tls.Config // for wss URLs; nil: the defaults
	// NetDial makes the connection itself; nil: net.Dialer's.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is one connection. Its methods may be called concurrently.
type Client struct {
	o      Options
	notify notify
	conn   net.Conn

	hello     schema.Hello
	helloed   chan struct{} // closed when hello is set
	connected schema.Connected

	in   reader
	done chan struct{} // closed when the reading goroutine ends

	writing sync.Mutex
	out     []byte // the frame being written; guarded by writing

	mu      sync.Mutex
	nextID  uint64                        // guarded by mu, like all that follows
	waiting map[uint64]func(schema.Frame) // by command id; nil after the end
	closing bool                          // Close was called
	err     error                         // why the connection ended, nil while open and after Close
}

// notify is what Session wants to hear of its connection, from the reading goroutine.
type notify struct {
	connected func(*Client)            // socket:connect was acked; before any push that follows
	push      func(schema.Frame) error // an error ends the connection; nil: pushes are not decoded
}

// Dial connects to a WebSocket URL ("ws://127.0.0.1:7777/ws") and returns when
// the server has greeted and, given a token, acked socket:connect. A handshake
// that is answered with another status than 101 gives a *RefusedError, a refused
// token a *schema.Error, an early close a *CloseError. ctx bounds Dial only.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	var n notify
	if o.OnPush != nil {
		n.push = func(f schema.Frame) error { o.OnPush(f); return nil }
	}
	return dial(ctx, url, o, n)
}

func dial(ctx context.Context, url string, o Options, n notify) (*Client, error) {
	conn, ahead, err := handshake(ctx, url, o)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", url, err)
	}
	c := &Client{
		o:       o,
		notify:  n,
		conn:    conn,
		helloed: make(chan struct{}),
		done:    make(chan struct{}),
		waiting: make(map[uint64]func(schema.Frame)),
	}
	c.in.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(ahead), listener{c}), readBuffer)
	go c.run()
	if err := c.greet(ctx); err != nil {
		conn.Close()
		<-c.done
		return nil, fmt.Errorf("connecting to %s: %w", url, err)
	}
	return c, nil
}

// handshake returns the connection, and what was read ahead of it.
func handshake(ctx context.Context, url string, o Options) (net.Conn, []byte, error) {
	header := o.HTTPHeader.Clone()
	if o.Header && o.Token != "" {
		if header == nil {
			header = make(http.Header)
		}
		header.Set("Authorization", "Bearer "+o.Token)
	}
	var refused *RefusedError
	d := ws.Dialer{
		Timeout:        dialTimeout,
		Protocols:      []string{schema.Subprotocol},
		Header:         ws.HandshakeHeaderHTTP(header),
		TLSConfig:      o.TLS,
		NetDial:        o.NetDial,
		ReadBufferSize: readBuffer,
		OnStatusError:  readRefusal(&refused),
	}
	conn, br, _, err := d.Dial(ctx, url)
	if refused != nil {
		err = refused
	}
	if err != nil || br == nil {
		return conn, nil, err
	}
	ahead := make([]byte, br.Buffered())
	_, err = io.ReadFull(br, ahead)
	ws.PutReader(br)
	return conn, ahead, err
}

// greet waits for socket:hello and sends socket:connect.
func (c *Client) greet(ctx context.Context) error {
	select {
	case <-c.helloed:
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("waiting for socket:hello: %w", ctx.Err())
	}
	select {
	case <-c.helloed: // even if the connection has ended since
	default:
		return c.ended()
	}
	if c.o.Token == "" {
		return nil
	}
	connect := schema.Connect{Namespaces: c.o.Namespaces, Resume: c.o.Resume}
	if !c.o.Header {
		connect.Token = c.o.Token
	}
	var unreadable error
	_, err := c.await(ctx, "socket:connect", connect, "", func(f schema.Frame) {
		unreadable = json.Unmarshal(f.Data, &c.connected)
		if unreadable == nil && c.notify.connected != nil {
			c.notify.connected(c)
		}
	})
	if err != nil {
		return err
	}
	if unreadable != nil {
		return fmt.Errorf("reading the ack of socket:connect: %w", unreadable)
	}
	return nil
}

// Hello returns what the server said first.
func (c *Client) Hello() schema.Hello { return c.hello }

// Connected returns the ack of socket:connect.
func (c *Client) Connected() schema.Connected { return c.connected }

// Do sends a command and waits for its ack. data is encoded as JSON; nil stands
// for {}. key is the idempotency key, "" for none. When the ack is an error, Do
// returns it as a *schema.Error along with the frame. When ctx or the connection
// ends first, the command may or may not have been carried out: with a key it
// can be sent again on another connection.
func (c *Client) Do(ctx context.Context, event string, data any, key string) (schema.Frame, error) {
	return c.await(ctx, event, data, key, func(schema.Frame) {})
}

// await is Do. A good ack is shown to good first, in the reading goroutine.
func (c *Client) await(ctx context.Context, event string, data any, key string, good func(schema.Frame)) (schema.Frame, error) {
	acked := make(chan schema.Frame, 1)
	id, err := c.send(event, data, key, func(f schema.Frame) {
		if f.Error == nil {
			good(f)
		}
		acked <- f
	})
	if err != nil {
		return schema.Frame{}, err
	}
	select {
	case f := <-acked:
		return f, AckError(f)
	case <-ctx.Done():
		c.forget(id)
		return schema.Frame{}, fmt.Errorf("waiting for the ack of %s: %w", event, ctx.Err())
	case <-c.done:
	}
	select {
	case f := <-acked: // it arrived before the end
		return f, AckError(f)
	default:
		return schema.Frame{}, fmt.Errorf("waiting for the ack of %s: %w", event, c.ended())
	}
}

// Send sends a command without waiting. ack, when not nil, is called from the
// reading goroutine; it is not called when the connection ends first. Commands
// of one goroutine reach the server in the order of the calls.
func (c *Client) Send(event string, data any, key string, ack func(schema.Frame)) error {
	_, err := c.send(event, data, key, ack)
	return err
}

func (c *Client) send(event string, data any, key string, ack func(schema.Frame)) (uint64, error) {
	c.mu.Lock()
	if c.waiting == nil || c.closing {
		c.mu.Unlock()
		return 0, c.ended()
	}
	c.nextID++
	id := c.nextID
	if ack != nil {
		c.waiting[id] = ack
	}
	c.mu.Unlock()

	frame, err := json.Marshal(command{ID: id, Event: event, Data: data, Key: key})
	if err == nil {
		err = c.write(ws.OpText, frame)
	}
	if err != nil {
		c.forget(id)
		return 0, fmt.Errorf("sending %s: %w", event, cmp.Or(c.Err(), err))
	}
	return id, nil
}

// command is a schema.Command as this client writes it.
type command struct {
	ID    uint64 `json:"id"`
	Event string `json:"event"`
	Data  any    `json:"data,omitempty"`
	Key   string `json:"key,omitempty"`
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

// Done is closed when the connection has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection is open and after Close, otherwise the
// *CloseError that ended it.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ended returns the error for calls that come after the end.
func (c *Client) ended() error {
	if err := c.Err(); err != nil {
		return err
	}
	return net.ErrClosed
}

// Close performs the closing handshake, or ends the connection without when the
// server takes too long, and waits for the reading goroutine. Commands that
// wait for their ack fail with net.ErrClosed. Calling it again is allowed.
func (c *Client) Close() error {
	c.mu.Lock()
	first := !c.closing && c.waiting != nil
	c.closing = true
	c.mu.Unlock()
	if first {
		c.conn.SetReadDeadline(time.Now().Add(closeTimeout)) // listenFor changes it no more
		if err := c.writeClose(ws.StatusNormalClosure, ""); err != nil {
			c.conn.Close()
		}
	}
	<-c.done
	return nil
}
