package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/schema"
)

// mixedLoad is a day of a social network: users arrive, do one thing after another,
// idle and leave, as many at once as there are places for. Who comes, and what they
// do it to, follows Zipf's law (society). Seven of ten operations read, two are about
// messages, and one is anything else.
type mixedLoad struct {
	target *target
	places int
	stay   time.Duration // how long a user is there, on average
	rate   float64       // operations a second of all together; 0: each waits for nothing but their own acks
	// record is told of every operation; it is called concurrently.
	record func(outcome)

	over    chan struct{}  // closed when users are to leave; made by run's caller
	turns   chan time.Time // when an operation was due; nil without a rate
	behind  atomic.Int64   // by how much the last turn that was handed out was late, in ns
	door    chan struct{}  // has room for those who dial at once
	failing context.CancelCauseFunc

	mu       sync.Mutex // guards what follows, and is not held while anybody waits
	people   *society
	sockets  map[int]int // user → how many they have
	visitors []*visitor  // those that are there

	arrived, left, cuts, resumed, resynced, pushes, turnedAway atomic.Int64
}

// outcome is what became of an operation.
type outcome struct {
	event     string
	kind      schema.Kind
	user      string
	took      time.Duration // from when it was due to its ack
	seq       uint64        // of a fact that was acked
	duplicate bool          // the server knew it from an earlier connection
	code      schema.Code   // why it was refused; "" for a good one
}

// maxOwnSockets is how many sockets a user of the load has at most, such as a phone
// and a laptop. The server allows 10.
const maxOwnSockets = 2

func newMixedLoad(t *target, people *society, places int, stay time.Duration, rate float64, record func(outcome)) *mixedLoad {
	m := &mixedLoad{
		target: t, people: people, places: places, stay: stay, rate: rate, record: record,
		over: make(chan struct{}), door: make(chan struct{}, dialers), sockets: map[int]int{},
	}
	if rate > 0 {
		m.turns = make(chan time.Time)
	}
	return m
}

// run plays until over is closed and everybody has left. An error is what should not
// happen: a refusal that no race explains, or a lost connection that nobody cut.
func (m *mixedLoad) run(ctx context.Context) error {
	ctx, m.failing = context.WithCancelCause(ctx)
	defer m.failing(nil)
	var group errgroup.Group
	if m.turns != nil {
		group.Go(func() error { return m.keepPace(ctx) })
	}
	for range m.places {
		group.Go(func() error {
			err := m.occupy(ctx)
			if err != nil {
				m.failing(err)
			}
			return err
		})
	}
	err := group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause // the first of all that went wrong
	}
	return err
}

// keepPace says when operations are due, evenly at the rate. A turn that nobody was
// free to take waits, and counts from when it was due.
func (m *mixedLoad) keepPace(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for n := 0; ; n++ {
		due := start.Add(time.Duration(float64(n) / m.rate * float64(time.Second)))
		if early := time.Until(due); early > 0 {
			timer.Reset(early)
			select {
			case <-timer.C:
			case <-m.over:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case m.turns <- due:
			m.behind.Store(int64(time.Since(due)))
		case <-m.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// turn waits until a user may do something, until then at the latest, and returns
// when that was due.
func (m *mixedLoad) turn(ctx context.Context, until <-chan time.Time) (due time.Time, ok bool) {
	if m.turns == nil {
		select {
		case <-until:
		case <-m.over:
		case <-ctx.Done():
		default:
			return time.Now(), true
		}
		return due, false
	}
	select {
	case due = <-m.turns:
		return due, true
	case <-until:
	case <-m.over:
	case <-ctx.Done():
	}
	return due, false
}

// visits count who came and went.
type visits struct {
	arrived, left, cut, resumed, resynced, pushes, turnedAway int64
	behind                                                    time.Duration // how late turns were handed out at last
}

func (m *mixedLoad) visits() visits {
	return visits{
		m.arrived.Load(), m.left.Load(), m.cuts.Load(), m.resumed.Load(), m.resynced.Load(), m.pushes.Load(), m.turnedAway.Load(),
		time.Duration(m.behind.Load()),
	}
}

// since is what was added to an earlier count.
func (v visits) since(before visits) visits {
	return visits{
		v.arrived - before.arrived, v.left - before.left, v.cut - before.cut,
		v.resumed - before.resumed, v.resynced - before.resynced, v.pushes - before.pushes, v.turnedAway - before.turnedAway, v.behind,
	}
}

func (m *mixedLoad) isOver() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

// occupy lets one user after the other have a place.
func (m *mixedLoad) occupy(ctx context.Context) error {
	for !m.isOver() {
		v := m.newVisitor()
		err := v.visit(ctx)
		m.forget(v)
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *mixedLoad) newVisitor() *visitor {
	m.mu.Lock()
	defer m.mu.Unlock()
	user := m.people.someone()
	for m.sockets[user] >= maxOwnSockets {
		user = m.people.another(user)
	}
	m.sockets[user]++
	v := &visitor{load: m, user: user, unread: map[string]string{}}
	m.visitors = append(m.visitors, v)
	return v
}

func (m *mixedLoad) forget(v *visitor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sockets[v.user]--; m.sockets[v.user] == 0 {
		delete(m.sockets, v.user)
	}
	last := len(m.visitors) - 1
	for i, other := range m.visitors {
		if other == v {
			m.visitors[i], m.visitors[last] = m.visitors[last], nil
			m.visitors = m.visitors[:last]
			return
		}
	}
}

// anyWire returns the connection of somebody who is there, nil when there is none.
func (m *mixedLoad) anyWire() *wire {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.visitors) == 0 {
		return nil
	}
	return m.visitors[rand.IntN(len(m.visitors))].wire.Load()
}

// lawful are the refusals that come of races between users: what one looked at, the
// other has changed meanwhile.
var lawful = map[schema.Code]bool{
	schema.PostNotFound: true, schema.CommentNotFound: true, schema.UserNotFound: true,
	schema.ConversationNotFound: true, schema.MessageNotFound: true, schema.NotificationNotFound: true,
	schema.AlreadyLiked: true, schema.NotLiked: true, schema.AlreadyShared: true,
	schema.AlreadyFollowing: true, schema.NotFollowing: true,
	schema.AlreadyBlocked: true, schema.NotBlocked: true, schema.Blocked: true,
	schema.AlreadyFriends: true, schema.RequestExists: true, schema.RequestNotFound: true,
	schema.AlreadyParticipant: true, schema.AlreadyDelivered: true, schema.AlreadyRead: true,
	schema.AlreadyReported: true,
}

var refusal = []byte(`,"ok":false,`)

// look sees the frames as they arrive. A client sends again by itself what was refused
// for now, so nobody else would hear of it.
func (m *mixedLoad) look(frame []byte) {
	if len(frame) == 0 || !bytes.HasPrefix(frame, []byte(`{"id":`)) || !bytes.Contains(frame, refusal) {
		return
	}
	var f schema.Frame
	switch {
	case json.Unmarshal(frame, &f) != nil || f.Error == nil || !f.Error.Temporary:
	case f.Error.Code == schema.Overloaded: // it is told when to come again, and does
		m.turnedAway.Add(1)
	default:
		m.failing(errors.New("the server refuses for now with " + string(f.Error.Code) + ": " + f.Error.Message))
	}
}
