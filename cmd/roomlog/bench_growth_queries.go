package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// asker is a user who asks.
type asker struct {
	user    string
	conn    *client.Client
	follows int
	has     int      // conversations
	talks   []string // those of them on the first page
	posts   []string // with comments, on the first page of the feed
}

const (
	mostAskers = 200
)

// usual is a user about whom there is as much in a log of any size. Whom Zipf's law draws
// are those about whom there is the more the larger the log is.
func (a *asker) usual() bool {
	some := func(n int) bool { return n >= 4 && n <= 12 }
	return some(a.follows) && some(a.has)
}

// queries measures what users ask for, one query at a time. Who asks is drawn by Zipf's
// law, as is who does something in the log: mostly those about whom there is most.
func (m *measuring) queries() error {
	rng := rand.New(rand.NewPCG(1, 1))
	people := newSociety(1, usersOf(m.records), m.records, time.Now())
	met := map[string]*asker{} // nil: the log does not know them
	defer func() { hangUp(connections(maps.Values(met))) }()
	busy, err := m.meet(met, people.someone)
	if err != nil {
		return err
	}
	anybody, err := m.meet(met, func() int { return rng.IntN(usersOf(m.records)) })
	if err != nil {
		return err
	}
	if len(busy) == 0 {
		return errors.New("the log knows nobody of the society that fill makes")
	}
	m.describe(busy)
	usual := anybody.that((*asker).usual)
	talkers := busy.that(func(a *asker) bool { return len(a.talks) > 0 })
	guests := busy.that(func(a *asker) bool { return len(a.posts) > 0 })
	page := schema.Page{Limit: pageSize}
	pick := func(ids []string) string { return ids[rng.IntN(len(ids))] }
	paged := func(*asker) any { return page }
	notified := func(*asker) any { return schema.NotificationList{Page: page} }
	answers := measure(m.app.err, "queries", "answered", 0)
	defer answers.finish()
	for _, q := range []struct {
		name, event string
		by          askers
		data        func(*asker) any
	}{
		{"feed", "feed:get", busy, paged},
		{"conversations", "conversation:list", busy, paged},
		{"messages", "message:list", talkers, func(a *asker) any { return schema.MessageList{ConversationID: pick(a.talks), Page: page} }},
		{"unread", "notification:get-count", busy, func(*asker) any { return struct{}{} }},
		{"notifications", "notification:list", busy, notified},
		{"comments", "comment:list", guests, func(a *asker) any { return schema.CommentList{PostID: pick(a.posts), Page: page} }},
		{"profile", "user:get", busy, func(*asker) any { return schema.UserPage{UserID: busy[rng.IntN(len(busy))].user} }},
		{"usual_feed", "feed:get", usual, paged},
		{"usual_conversations", "conversation:list", usual, paged},
		{"usual_notifications", "notification:list", usual, notified},
	} {
		if len(q.by) == 0 {
			continue
		}
		op := answers.operation(q.name)
		for i := range len(q.by) + m.Queries {
			a := q.by[i%len(q.by)]
			data := q.data(a)
			start := time.Now()
			if _, err := a.conn.Do(m.app.ctx, q.event, data, ""); err != nil {
				return fmt.Errorf("%s of %s: %w", q.event, a.user, err)
			}
			if i >= len(q.by) { // before, it may have come from the disk
				op.took(time.Since(start))
			}
		}
	}
	answers.finish()
	for _, op := range answers.operations() {
		times := op.total()
		m.figures[op.name+"_p50_ms"] = milliseconds(times.P50)
		if !strings.HasPrefix(op.name, "usual_") {
			m.figures[op.name+"_p99_ms"] = milliseconds(times.P99)
		}
	}
	return nil
}

// describe says how much there is about those who ask.
func (m *measuring) describe(all askers) {
	follows, has := 0, 0
	for _, a := range all {
		follows, has = follows+a.follows, has+a.has
	}
	m.figures["asker_follows"] = float64(follows) / float64(len(all))
	m.figures["asker_conversations"] = float64(has) / float64(len(all))
}

// askers are as often among them as they were drawn.
type askers []*asker

func (all askers) that(are func(*asker) bool) (some askers) {
	for _, a := range all {
		if are(a) {
			some = append(some, a)
		}
	}
	return some
}

// meet draws askers of whom the log knows, and looks at each once. Of a small society it
// finds fewer.
func (m *measuring) meet(met map[string]*asker, someone func() int) (drawn askers, err error) {
	conns, err := m.connect(m.app.ctx, []string{"visitor"})
	if err != nil {
		return nil, err
	}
	defer hangUp(conns)
	for tries := 0; len(drawn) < mostAskers && tries < 10*mostAskers; tries++ {
		user := userName(someone())
		a, known := met[user]
		if !known {
			if a, err = m.seat(conns[0], user); err != nil {
				return nil, err
			}
			met[user] = a
		}
		if a != nil {
			drawn = append(drawn, a)
		}
	}
	return drawn, nil
}

// seat connects an asker and looks at what they see; nil for one whom the log does not
// know.
func (m *measuring) seat(visitor *client.Client, user string) (*asker, error) {
	ctx := m.app.ctx
	profile, err := query[schema.Profile](ctx, visitor, "user:get", schema.UserPage{UserID: user})
	if hasCode(err, schema.UserNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	conns, err := m.connect(ctx, []string{user})
	if err != nil {
		return nil, err
	}
	a := &asker{user: user, conn: conns[0], follows: profile.FollowingCount}
	if err := a.look(ctx); err != nil {
		return nil, errors.Join(err, a.conn.Close())
	}
	return a, nil
}

func (a *asker) look(ctx context.Context) error {
	const most = 100 // on a page
	page := schema.Page{Limit: most}
	for more := true; more; more = page.Before != "" {
		talks, err := query[schema.Items[schema.Conversation]](ctx, a.conn, "conversation:list", page)
		if err != nil {
			return err
		}
		for _, c := range talks.Items {
			if a.has++; len(a.talks) < pageSize {
				a.talks = append(a.talks, c.ID)
			}
		}
		page.Before = talks.Next
	}
	feed, err := query[schema.Items[schema.FeedItem]](ctx, a.conn, "feed:get", schema.Page{Limit: pageSize})
	for _, item := range feed.Items {
		if n := item.Post.CommentsCount; n != nil && *n > 0 {
			a.posts = append(a.posts, item.Post.ID)
		}
	}
	return err
}

func query[T any](ctx context.Context, c *client.Client, event string, data any) (answer T, err error) {
	frame, err := c.Do(ctx, event, data, "")
	if err == nil {
		err = decode(frame, &answer)
	}
	return answer, err
}

func connections(all iter.Seq[*asker]) (conns []*client.Client) {
	for a := range all {
		if a != nil {
			conns = append(conns, a.conn)
		}
	}
	return conns
}
