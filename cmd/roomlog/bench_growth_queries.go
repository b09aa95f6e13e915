package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// asker is a user who asks.
type asker struct {
	user  string
	conn  *client.Client
	talks []string // conversations on the first page
	posts []string // with comments, on the first page of the feed
}

const (
	mostAskers = 200
	pageSize   = 20
)

// queries measures what users ask for, one query at a time. Who asks is drawn by Zipf's
// law, as is who does something in the log: mostly those about whom there is most.
func (m *measuring) queries() error {
	rng := rand.New(rand.NewPCG(1, 1))
	all, err := m.meet(rng)
	if err != nil {
		return err
	}
	defer all.leave()
	talkers, guests := all.having(func(r *asker) []string { return r.talks }), all.having(func(r *asker) []string { return r.posts })
	page := schema.Page{Limit: pageSize}
	pick := func(ids []string) string { return ids[rng.IntN(len(ids))] }
	answers := measure(m.app.err, "queries", "answered", 0)
	defer answers.finish()
	for _, q := range []struct {
		name, event string
		by          askers
		data        func(*asker) any
	}{
		{"feed", "feed:get", all, func(*asker) any { return page }},
		{"conversations", "conversation:list", all, func(*asker) any { return page }},
		{"messages", "message:list", talkers, func(r *asker) any { return schema.MessageList{ConversationID: pick(r.talks), Page: page} }},
		{"unread", "notification:get-count", all, func(*asker) any { return struct{}{} }},
		{"notifications", "notification:list", all, func(*asker) any { return schema.NotificationList{Page: page} }},
		{"comments", "comment:list", guests, func(r *asker) any { return schema.CommentList{PostID: pick(r.posts), Page: page} }},
		{"profile", "user:get", all, func(*asker) any { return schema.UserPage{UserID: all.pick(rng).user} }},
	} {
		if len(q.by) == 0 {
			return fmt.Errorf("nobody has anything to ask %s for: give larger --sizes", q.event)
		}
		op := answers.operation(q.name)
		for range m.Queries {
			r := q.by.pick(rng)
			data := q.data(r)
			start := time.Now()
			if _, err := r.conn.Do(m.app.ctx, q.event, data, ""); err != nil {
				return fmt.Errorf("%s of %s: %w", q.event, r.user, err)
			}
			op.took(time.Since(start))
		}
	}
	answers.finish()
	for _, op := range answers.operations() {
		times := op.total()
		m.figures[op.name+"_p50_ms"], m.figures[op.name+"_p99_ms"] = milliseconds(times.P50), milliseconds(times.P99)
	}
	return nil
}

// askers are as often among them as they were drawn.
type askers []*asker

func (r askers) pick(rng *rand.Rand) *asker { return r[rng.IntN(len(r))] }

func (r askers) having(what func(*asker) []string) (some askers) {
	for _, one := range r {
		if len(what(one)) > 0 {
			some = append(some, one)
		}
	}
	return some
}

// meet draws askers of whom the log knows, connects each once and looks at what they see.
func (m *measuring) meet(rng *rand.Rand) (drawn askers, err error) {
	ctx := m.app.ctx
	people := newSociety(1, usersOf(m.records), m.records, time.Now())
	met := map[string]*asker{} // nil: the log does not know them
	defer func() {
		if err != nil {
			drawn.leave()
		}
	}()
	conns, err := m.connect(ctx, []string{"visitor"})
	if err != nil {
		return nil, err
	}
	defer hangUp(conns)
	for tries := 0; len(drawn) < mostAskers && tries < 100*mostAskers; tries++ {
		user := userName(people.someone())
		r, known := met[user]
		if !known {
			_, err := conns[0].Do(ctx, "user:get", schema.UserPage{UserID: user}, "")
			if err != nil && !hasCode(err, schema.UserNotFound) {
				return drawn, err
			}
			if err == nil {
				if r, err = m.seat(ctx, user); err != nil {
					return drawn, err
				}
			}
			met[user] = r
		}
		if r != nil {
			drawn = append(drawn, r)
		}
	}
	if len(drawn) == 0 {
		return nil, errors.New("the log knows nobody of the society that fill makes")
	}
	return drawn, nil
}

// seat connects a asker and looks at their first pages.
func (m *measuring) seat(ctx context.Context, user string) (*asker, error) {
	conns, err := m.connect(ctx, []string{user})
	if err != nil {
		return nil, err
	}
	r := &asker{user: user, conn: conns[0]}
	talks, err := query[schema.Items[schema.Conversation]](ctx, r.conn, "conversation:list", schema.Page{Limit: pageSize})
	if err != nil {
		return nil, errors.Join(err, r.conn.Close())
	}
	feed, err := query[schema.Items[schema.FeedItem]](ctx, r.conn, "feed:get", schema.Page{Limit: pageSize})
	if err != nil {
		return nil, errors.Join(err, r.conn.Close())
	}
	for _, c := range talks.Items {
		r.talks = append(r.talks, c.ID)
	}
	for _, item := range feed.Items {
		if n := item.Post.CommentsCount; n != nil && *n > 0 {
			r.posts = append(r.posts, item.Post.ID)
		}
	}
	return r, nil
}

func query[T any](ctx context.Context, c *client.Client, event string, data any) (answer T, err error) {
	frame, err := c.Do(ctx, event, data, "")
	if err == nil {
		err = decode(frame, &answer)
	}
	return answer, err
}

func (r askers) leave() {
	conns := make([]*client.Client, len(r))
	for i := range r {
		conns[i] = r[i].conn
	}
	hangUp(conns)
}

// comebacks is how many clients come back, one after the other.
const comebacks = 20

// resume measures how long a client takes to come back to so many missed messages: from
// dialling until it was told all of them.
func (m *measuring) resume() error {
	ctx := m.app.ctx
	users := []string{"speaker"}
	for i := range comebacks {
		users = append(users, fmt.Sprintf("listener-%d", i))
	}
	conns, err := m.connect(ctx, users)
	if err != nil {
		return err
	}
	defer hangUp(conns)
	created, err := query[schema.ConversationCreated](ctx, conns[0], "conversation:create",
		schema.ConversationCreate{Type: schema.ConversationGroup, Name: "Missed", Participants: users[1:]})
	if err != nil {
		return err
	}
	conversation := created.Conversation.ID
	before, err := conns[0].Do(ctx, "message:send", schema.MessageSend{ConversationID: conversation, Content: "All hear this.", MessageType: schema.MessageText}, "")
	if err != nil {
		return err
	}
	hangUp(conns[1:])
	if err := m.speakTo(ctx, conns[0], conversation); err != nil {
		return err
	}
	from := &schema.Resume{Epoch: conns[0].Hello().Log.Epoch, Seq: before.Seq, Rooms: []string{schema.ConversationRoom(conversation)}}
	took := newHistogram()
	for _, user := range users[1:] {
		d, err := m.comeBack(ctx, user, from)
		if err != nil {
			return err
		}
		took.RecordValue(d.Microseconds())
	}
	m.figures["resume_ms"] = milliseconds(duration(took, 50))
	return nil
}

// speakTo sends the messages that are missed.
func (m *measuring) speakTo(ctx context.Context, speaker *client.Client, conversation string) error {
	const atOnce = 50 // fewer than a server takes from one socket
	failed := make(chan error, m.Missed)
	slots := make(chan struct{}, atOnce)
	var acks sync.WaitGroup
	for i := range m.Missed {
		slots <- struct{}{}
		acks.Add(1)
		send := schema.MessageSend{ConversationID: conversation, Content: fmt.Sprintf("message %d", i), MessageType: schema.MessageText}
		err := speaker.Send("message:send", send, "", func(f schema.Frame) {
			if err := client.AckError(f); err != nil {
				failed <- err
			}
			<-slots
			acks.Done()
		})
		if err != nil {
			return err
		}
	}
	acks.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

func (m *measuring) comeBack(ctx context.Context, user string, from *schema.Resume) (time.Duration, error) {
	told := 0
	back := make(chan string, 1)
	start := time.Now()
	conn, err := m.target.auth.dial(ctx, m.target.url, realtime.Identity{Actor: schema.Actor{ID: user}}, client.Options{
		Resume: from,
		OnPush: func(f schema.Frame) {
			switch f.Event {
			case "message:send":
				told++
			case "socket:resumed", "socket:resync":
				back <- f.Event
			}
		},
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	select {
	case how := <-back:
		took := time.Since(start)
		if how != "socket:resumed" || told != m.Missed {
			return 0, fmt.Errorf("%s was told %d of %d missed messages, and then %s", user, told, m.Missed, how)
		}
		return took, nil
	case <-conn.Done():
		return 0, fmt.Errorf("%s did not come back: %w", user, cmp.Or(conn.Err(), net.ErrClosed))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
