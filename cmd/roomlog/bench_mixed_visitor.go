package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// visitor is one user from their arrival until they leave.
type visitor struct {
	load    *mixedLoad
	user    int
	session *client.Session
	wire    atomic.Pointer[wire] // the present connection's; nil while it is dialled
	back    atomic.Int64         // Unix ns from which on the session tries to come back; 0: it is there

	reading, writing []request // what a look or a message takes besides
	post, room       string    // the post and the conversation that are on the screen
	next             string    // cursor of the feed's next page
	own              ownThings

	mu     sync.Mutex        // guards what pushes tell
	unread map[string]string // conversation → newest message of others
	asked  []string          // who sent a friend request
	notes  []string          // notifications, the last ones
}

// ownThings are what a visitor made last, and may change their mind about.
type ownThings struct {
	post            string
	comment, ofPost string
	message, inTalk string
	blocked         string // a user
}

// request is one operation.
type request struct {
	event string
	data  any
	then  func(schema.Frame) // gets the good ack; nil: nobody cares
}

// wire is a connection that can be cut, and held up.
type wire struct {
	net.Conn
	disturbed atomic.Bool  // what becomes of it is ours
	until     atomic.Int64 // Unix ns up to which nothing is read
	closed    chan struct{}
	closing   sync.Once
}

// cut ends the connection as a network does: without a word.
func (w *wire) cut() {
	w.disturbed.Store(true)
	w.Close()
}

// hold lets nothing be read for so long, as of a client that does not keep up.
func (w *wire) hold(d time.Duration) {
	w.disturbed.Store(true)
	w.until.Store(time.Now().Add(d).UnixNano())
}

// Read reads when nothing holds it up.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	for {
		left := time.Until(time.Unix(0, w.until.Load()))
		if left <= 0 {
			return n, err
		}
		select {
		case <-time.After(left):
		case <-w.closed:
			return n, err
		}
	}
}

// Close closes.
func (w *wire) Close() error {
	w.closing.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// visit is all of it. It returns when the user has left.
func (v *visitor) visit(ctx context.Context) error {
	if err := v.arrive(ctx, nil); err != nil {
		return err
	}
	v.load.arrived.Add(1)
	v.reading = []request{v.feed(""), v.talks(), {event: "notification:get-count"}} // as an app that is opened
	for {
		if err := v.remain(ctx, v.some(v.load.stay)); err != nil {
			v.session.Close()
			return err
		}
		switch how := rand.IntN(10); {
		case v.load.isOver() || how < 5:
			v.session.Close()
			v.load.left.Add(1)
			return nil
		case how < 7: // the network goes and comes, and the session with it
			v.cut()
		case how < 9: // the app is closed, and opened again
			v.session.Close()
			at := v.session.Position()
			if err := v.pause(ctx, v.some(v.load.stay/10)); err != nil {
				return err
			}
			if err := v.arrive(ctx, &at); err != nil {
				return err
			}
		default: // gone without a word
			v.cut()
			v.session.Close()
			v.load.left.Add(1)
			return nil
		}
	}
}

func (v *visitor) cut() {
	if w := v.wire.Load(); w != nil {
		w.cut()
		v.load.cuts.Add(1)
	}
}

// some draws a time with that mean, as of waits for what happens at random.
func (v *visitor) some(mean time.Duration) time.Duration {
	return time.Duration(rand.ExpFloat64() * float64(mean))
}

// pause waits, not beyond the end of the load.
func (v *visitor) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-v.load.over:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// remain lets the user do things for so long, with breaks.
func (v *visitor) remain(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end) && !v.load.isOver(); {
		if err := v.actFor(ctx, min(v.some(v.load.stay/3), time.Until(end))); err != nil {
			return err
		}
		if err := v.pause(ctx, min(v.some(v.load.stay/6), time.Until(end))); err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) actFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		due, ok := v.load.turn(ctx, timer.C)
		if !ok {
			return context.Cause(ctx)
		}
		if err := v.do(ctx, due, v.choose()); err != nil {
			return err
		}
	}
}

// arrive connects, or goes on where an earlier session stood.
func (v *visitor) arrive(ctx context.Context, from *schema.Resume) error {
	select {
	case v.load.door <- struct{}{}:
		defer func() { <-v.load.door }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	start := time.Now()
	if from != nil {
		v.back.Store(start.UnixNano())
	}
	for {
		var err error
		v.session, err = open(ctx, v.load.target.url, client.SessionOptions{
			Token:   func(context.Context) (string, error) { return v.load.target.auth.token(v.identity(), tokenLife) },
			Resume:  from,
			OnPush:  v.hear,
			OnState: v.changed,
			OnFrame: v.load.look,
			NetDial: v.dial,
		})
		switch {
		case ctx.Err() != nil:
			if err == nil {
				v.session.Close()
			}
			return context.Cause(ctx)
		case err != nil && v.disturbed():
			continue // a session comes back by itself only when it was there
		case err == nil && from == nil:
			v.load.record(outcome{event: "socket:connect", kind: schema.Signal, user: userName(v.user), took: time.Since(start)})
		}
		return err
	}
}

// disturbed reports whether what became of the present connection is ours.
func (v *visitor) disturbed() bool {
	w := v.wire.Load()
	return w != nil && w.disturbed.Load()
}

func (v *visitor) identity() realtime.Identity {
	return realtime.Identity{Actor: schema.Actor{ID: userName(v.user), Username: userName(v.user)}}
}

func (v *visitor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	v.wire.Store(nil)
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, closed: make(chan struct{})}
	v.wire.Store(w)
	return w, nil
}

// changed follows the session: a connection that nobody cut is not to be lost.
func (v *visitor) changed(st client.State) {
	switch st.Status {
	case client.Lost:
		if !v.disturbed() {
			v.load.failing(fmt.Errorf("%s lost the connection: %w", userName(v.user), st.Err))
		}
		v.back.Store(time.Now().Add(st.Wait).UnixNano())
	case client.CaughtUp, client.Resynced:
		since := time.Unix(0, v.back.Swap(0))
		v.load.record(outcome{event: "resume", kind: schema.Signal, user: userName(v.user), took: time.Since(since)})
		v.load.resumed.Add(1)
		if st.Status == client.Resynced {
			v.load.resynced.Add(1)
		}
	}
}

// do carries out an operation that was due then.
func (v *visitor) do(ctx context.Context, due time.Time, r request) error {
	event, ok := schema.Lookup(r.event)
	if !ok {
		return fmt.Errorf("%s is not in the catalogue", r.event)
	}
	f, err := v.session.Do(ctx, r.event, r.data)
	o := outcome{event: r.event, kind: event.Kind, user: userName(v.user), took: time.Since(due), seq: f.Seq, duplicate: f.Duplicate}
	var refused *schema.Error
	switch {
	case err == nil:
		if r.then != nil {
			r.then(f)
		}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &refused) && lawful[refused.Code]:
		o.code = refused.Code
		v.gone(refused.Code, r.data)
	default:
		return fmt.Errorf("%s of %s: %w", r.event, userName(v.user), err)
	}
	v.load.record(o)
	return nil
}

// hear takes a push.
func (v *visitor) hear(f schema.Frame) {
	v.load.pushes.Add(1)
	switch f.Event {
	case "message:send":
		var sent schema.MessageSent
		if json.Unmarshal(f.Data, &sent) == nil && sent.Message.Sender.ID != userName(v.user) {
			v.mu.Lock()
			v.unread[sent.ConversationID] = sent.Message.ID
			v.mu.Unlock()
		}
	case "user:friend-request":
		var asked schema.FriendRequested
		if json.Unmarshal(f.Data, &asked) == nil && asked.TargetID == userName(v.user) && asked.Action == schema.ActionSend {
			v.mu.Lock()
			v.asked = append(v.asked[max(0, len(v.asked)-9):], asked.RequesterID)
			v.mu.Unlock()
		}
	case "notification:new":
		var n schema.NotificationNew
		if json.Unmarshal(f.Data, &n) == nil {
			v.mu.Lock()
			v.notes = append(v.notes[max(0, len(v.notes)-9):], n.Notification.ID)
			v.mu.Unlock()
		}
	}
}
