package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime/client"
	"roomlog/schema"
)

type fanoutCmd struct {
	Members  int           `default:"1000" placeholder:"N" help:"Sockets in the room (${default})."`
	Rate     int           `placeholder:"N" help:"Comment so many times a second rather than as fast as the room takes it; times then count from when a comment was due."`
	Duration time.Duration `default:"10s" placeholder:"D" help:"How long to measure (${default})."`
	benchFlags
}

// outstanding is how many pushes may be on their way to each socket: fewer than
// a server queues for one.
const outstanding = 256

// Run lets one user comment on a post, as fast as the room of the post takes it or at
// a fixed rate.
func (c *fanoutCmd) Run(a *app) (err error) {
	if c.Members < 1 || c.Duration <= 0 || c.Rate < 0 {
		return usagef("--members and --duration must be more than nothing, --rate not negative")
	}
	t, err := c.open(a, c.Members+1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	room := &audience{moved: make(chan struct{}, 1), pushes: newOperation("post:comment"), start: time.Now()}
	conns, err := t.connect(a.ctx, c.Members+1, func(i int) string { return fmt.Sprintf("member-%d", i) },
		func(i int) client.Options {
			if i == 0 {
				return client.Options{} // the speaker, who gets acks only
			}
			return client.Options{OnFrame: room.ear()}
		})
	if err != nil {
		return err
	}
	defer hangUp(conns)
	post, err := newPost(a.ctx, conns[0])
	if err != nil {
		return err
	}
	if err := joinAll(a.ctx, conns, post); err != nil {
		return err
	}
	m := measure(a.err, "fanout", "delivered", c.Duration, room.pushes)
	defer m.finish()
	p := pace{m.start, c.Duration, c.Rate}
	sent, err := p.speak(a.ctx, conns, room, post)
	if err != nil {
		return err
	}
	seconds := time.Since(m.start).Seconds()
	m.finish()
	return c.report(a, t, room, p, sent, seconds)
}

func (c *fanoutCmd) report(a *app, t *target, room *audience, p pace, sent int, seconds float64) error {
	figures := []figure{{"mode", "fanout"}, {"deliveries_per_s", float64(room.heard.Load()) / seconds}}
	figures = append(figures, room.pushes.total().figures("")...)
	figures = append(figures, []figure{
		{"members", c.Members},
		{"events", sent},
		{"deliveries", room.heard.Load()},
		{"seconds", seconds},
	}...)
	speed := "as fast as they take it"
	if c.Rate > 0 {
		unsent := 0
		for p.has(sent + unsent) {
			unsent++
		}
		figures = append(figures, figure{"rate", c.Rate}, figure{"unsent", unsent})
		speed = fmt.Sprintf("%d comments a second", c.Rate)
		if unsent > 0 {
			fmt.Fprintf(a.err, "roomlog: %d comments were due and not sent %s after the end; they are not in the times: give a lower --rate\n", unsent, answerWithin)
		}
	}
	if err := c.show(a, figures); err != nil {
		return err
	}
	return t.plot.write(latencyChart("roomlog bench fanout: from sending a comment to each push heard",
		fmt.Sprintf("%d members, %s", c.Members, speed), "delivered", room.pushes))
}

// audience is what all members hear.
type audience struct {
	heard  atomic.Int64
	moved  chan struct{} // gets a value now and then while heard grows
	pushes *operation

	// sent has when each comment was sent or due, counted from start, at its number:
	// every member hears all of them in order, so that counting tells which one it is
	// and nothing is parsed. A member is never as far behind as the ring is long: the
	// server closes a socket with 1 MiB queued, and TCP holds less than that many
	// frames.
	start time.Time
	sent  [1 << 17]atomic.Int64
}

var commentPush = []byte(`{"event":"post:comment"`)

// ear returns what one member hears with.
func (r *audience) ear() func(frame []byte) {
	number := 0 // of the comment that comes next
	return func(frame []byte) {
		if !bytes.HasPrefix(frame, commentPush) {
			return
		}
		r.pushes.took(time.Since(r.start) - time.Duration(r.sent[number%len(r.sent)].Load()))
		number++
		r.heard.Add(1)
		select {
		case r.moved <- struct{}{}:
		default:
		}
	}
}

func joinAll(ctx context.Context, conns []*client.Client, post string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range conns {
		group.Go(func() error {
			_, err := conn.Do(ctx, "post:join", schema.PostRef{PostID: post}, "")
			return err
		})
	}
	return group.Wait()
}

const speechLine = "Speak the speech, I pray you, as I pronounced it to you."

// speak comments until the time is over and everyone has heard everything, and
// returns how often. Without a rate it is as fast as the room takes it.
func (p pace) speak(ctx context.Context, conns []*client.Client, room *audience, post string) (sent int, err error) {
	failed := make(chan error, 1)
	slots := make(chan struct{}, 32) // comments that wait for their ack
	acked := func(f schema.Frame) {
		if err := client.AckError(f); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
		<-slots
	}
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	members := len(conns) - 1
	for {
		over := time.Now().After(p.end())
		if p.rate > 0 {
			over = !p.has(sent) || time.Now().After(p.end().Add(answerWithin))
		}
		behind := sent*members - int(room.heard.Load())
		if over && behind == 0 {
			return sent, nil
		}
		free, pause := slots, (<-chan time.Time)(nil)
		switch {
		case over || behind >= outstanding*members:
			free = nil // wait for the room
		case p.rate > 0 && time.Until(p.due(sent)) > 0:
			alarm.Reset(time.Until(p.due(sent)))
			free, pause = nil, alarm.C
		}
		select {
		case <-pause:
		case free <- struct{}{}:
			at := time.Now()
			if p.rate > 0 {
				at = p.due(sent)
			}
			room.sent[sent%len(room.sent)].Store(int64(at.Sub(room.start)))
			if err := conns[0].Send("post:comment", schema.PostComment{PostID: post, Content: speechLine}, "", acked); err != nil {
				return sent, err
			}
			sent++
		case <-room.moved:
		case err := <-failed:
			return sent, err
		case <-time.After(10 * time.Second):
			return sent, fmt.Errorf("%d pushes did not arrive within 10 s: %w", behind, firstLost(conns))
		case <-ctx.Done():
			return sent, ctx.Err()
		}
	}
}

func firstLost(conns []*client.Client) error {
	for _, conn := range conns {
		if err := conn.Err(); err != nil {
			return err
		}
	}
	return errors.New("every connection is still open")
}
