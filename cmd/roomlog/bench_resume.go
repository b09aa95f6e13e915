package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

type resumeCmd struct {
	Connections int           `default:"5000" placeholder:"N" help:"Connections that are cut at once (${default})."`
	Group       int           `default:"50" placeholder:"N" help:"Listeners in each conversation (${default})."`
	Rate        int           `default:"200" placeholder:"N" help:"Messages a second, over all conversations (${default})."`
	Away        time.Duration `default:"2s" placeholder:"D" help:"How long the connections are gone (${default})."`
	benchFlags
}

// Run cuts every listener's connection at once while messages go on, lets all come
// back at once, and holds what each heard against what was said.
func (c *resumeCmd) Run(a *app) (err error) {
	if c.Connections < 1 || c.Group < 1 || c.Group > 99 || c.Rate < 1 || c.Away < 0 {
		return usagef("--connections and --rate must be at least 1, --group from 1 to 99, --away not negative")
	}
	t, err := c.open(a, c.Connections+c.Connections/2+c.Connections/c.Group+1) // some of those that were cut may still be there
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	hall, err := c.gather(a.ctx, t)
	if err != nil {
		return err
	}
	defer hall.leave()
	r, err := c.cutAndReturn(a, hall)
	if err != nil {
		return err
	}
	if err := c.report(a, t, hall, r); err != nil {
		return err
	}
	if r.lost+r.doubled > 0 {
		return fmt.Errorf("%d pushes were lost and %d came twice", r.lost, r.doubled)
	}
	return nil
}

// returned is how it went.
type returned struct {
	cut           time.Duration // from the start of the measurement
	back, quiet   time.Duration // from when the first could come back: until all were told, and had heard everything
	lost, doubled int
}

func (c *resumeCmd) cutAndReturn(a *app, h *hall) (r returned, err error) {
	m := measure(a.err, "resume", "heard", 0, h.pushes, h.resumes)
	defer m.finish()
	talking, hush := context.WithCancel(a.ctx)
	var speech errgroup.Group
	defer func() { hush(); speech.Wait() }()
	speech.Go(func() error { return h.talk(a.ctx, talking.Done(), c.Rate) })
	if err := wait(a.ctx, time.Second); err != nil {
		return r, err
	}
	r.cut = time.Since(m.start)
	for _, l := range h.listeners {
		l.cut()
	}
	if err := wait(a.ctx, c.Away); err != nil {
		return r, err
	}
	start := time.Now()
	if err := h.comeBack(a.ctx); err != nil {
		return r, err
	}
	r.back = time.Since(start)
	hush()
	if err := speech.Wait(); err != nil {
		return r, err
	}
	r.lost, r.doubled = h.quiet(a.ctx)
	r.quiet = time.Since(start)
	return r, nil
}

func (c *resumeCmd) report(a *app, t *target, h *hall, r returned) error {
	missed := 0
	for _, l := range h.listeners {
		missed += l.missed
	}
	figures := []figure{{"mode", "resume"}, {"all_back_s", r.back.Seconds()}, {"quiet_s", r.quiet.Seconds()}}
	figures = append(figures, h.resumes.total().figures("resumed_")...)
	figures = append(figures, h.pushes.total().figures("push_")...)
	figures = append(figures, []figure{
		{"connections", c.Connections},
		{"missed_pushes", missed},
		{"messages", h.said()},
		{"lost", r.lost},
		{"doubled", r.doubled},
	}...)
	if err := c.show(a, figures); err != nil {
		return err
	}
	return t.plot.write(latencyChart("roomlog bench resume: from sending a message to each push heard",
		fmt.Sprintf("%d connections, cut at %.1f s, gone for %s", c.Connections, r.cut.Seconds(), c.Away), "heard", h.pushes))
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hall is all conversations of the measurement.
type hall struct {
	target    *target
	groups    []*group
	listeners []*listener

	start           time.Time  // from which messages say when they were sent
	pushes, resumes *operation // from sending to hearing; from dialling to the last missed push
}

// group is one conversation: a speaker, and those who listen. Its messages are their
// numbers from 1 on, each with when it was sent, in nanoseconds from the start.
type group struct {
	id      string
	speaker *client.Client
	sent    int
}

// listener is a user who was told the messages up to number heard, in order.
type listener struct {
	hall  *hall
	user  string
	group *group
	conn  *client.Client
	wire  net.Conn

	mu            sync.Mutex
	seq           uint64 // of the last push
	heard         int
	missed        int
	resumed       chan int // gets the count of socket:resumed
	moved         chan struct{}
	lost, doubled int
}

func (c *resumeCmd) gather(ctx context.Context, t *target) (*hall, error) {
	h := &hall{target: t, start: time.Now(), pushes: newOperation("message:send"), resumes: newOperation("resume")}
	for i := range c.Connections {
		l := &listener{hall: h, user: fmt.Sprintf("listener-%d", i), resumed: make(chan int, 1), moved: make(chan struct{}, 1)}
		if i%c.Group == 0 {
			h.groups = append(h.groups, &group{})
		}
		l.group = h.groups[len(h.groups)-1]
		h.listeners = append(h.listeners, l)
	}
	speakers, err := t.connect(ctx, len(h.groups), func(i int) string { return fmt.Sprintf("speaker-%d", i) },
		func(int) client.Options { return client.Options{} })
	if err != nil {
		return nil, err
	}
	opening, inTime := errgroup.WithContext(ctx)
	for i, g := range h.groups {
		g.speaker = speakers[i]
		create := schema.ConversationCreate{Type: schema.ConversationGroup, Name: fmt.Sprintf("Group %d", i)}
		for _, l := range h.listeners[i*c.Group : min((i+1)*c.Group, c.Connections)] {
			create.Participants = append(create.Participants, l.user)
		}
		opening.Go(func() error {
			frame, err := g.speaker.Do(inTime, "conversation:create", create, "")
			if err != nil {
				return err
			}
			var created schema.ConversationCreated
			err = decode(frame, &created)
			g.id = created.Conversation.ID
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return h, err
	}
	return h, h.each(ctx, func(ctx context.Context, l *listener) error {
		if err := l.connect(ctx, t, nil); err != nil {
			return err
		}
		_, err := l.conn.Do(ctx, "message:join", schema.ConversationRef{ConversationID: l.group.id}, "")
		return err
	})
}

// each lets the listeners act, as many at once as dial at once.
func (h *hall) each(ctx context.Context, act func(context.Context, *listener) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialers)
	for _, l := range h.listeners {
		group.Go(func() error { return act(ctx, l) })
	}
	return group.Wait()
}

func (l *listener) connect(ctx context.Context, t *target, from *schema.Resume) (err error) {
	l.conn, err = t.auth.dial(ctx, t.url, realtime.Identity{Actor: schema.Actor{ID: l.user}}, client.Options{
		Resume: from,
		OnPush: l.hear,
		NetDial: func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, address)
			l.wire = conn
			return conn, err
		},
	})
	if err == nil && from == nil {
		l.mu.Lock()
		l.seq = max(l.seq, l.conn.Connected().Seq)
		l.mu.Unlock()
	}
	return err
}

// cut ends the connection as a network does: without a word.
func (l *listener) cut() { l.wire.Close() }

func (l *listener) hear(f schema.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq = max(l.seq, f.Seq)
	switch f.Event {
	case "socket:resumed":
		var resumed schema.Resumed
		json.Unmarshal(f.Data, &resumed)
		l.resumed <- resumed.Count
	case "message:send":
		var sent schema.MessageSent
		json.Unmarshal(f.Data, &sent)
		word, at, _ := strings.Cut(sent.Message.Content, " ")
		number, _ := strconv.Atoi(word)
		sentAt, _ := strconv.ParseInt(at, 10, 64)
		l.hall.pushes.took(time.Since(l.hall.start) - time.Duration(sentAt))
		switch {
		case number <= l.heard:
			l.doubled++
		default:
			l.lost += number - l.heard - 1
			l.heard = number
		}
		select {
		case l.moved <- struct{}{}:
		default:
		}
	}
}

// talk sends messages at a rate, to one conversation after the other, until hush is
// closed and every ack has come.
func (h *hall) talk(ctx context.Context, hush <-chan struct{}, rate int) error {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	failed := make(chan error, 1)
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-hush:
			return h.acked(ctx, failed)
		}
		g := h.groups[i%len(h.groups)]
		g.sent++
		numbered := fmt.Sprintf("%d %d", g.sent, time.Since(h.start))
		send := schema.MessageSend{ConversationID: g.id, Content: numbered, MessageType: schema.MessageText}
		err := g.speaker.Send("message:send", send, "", func(f schema.Frame) {
			if err := client.AckError(f); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		if err != nil {
			return err
		}
	}
}

// acked waits until everything that was said is acked: a query is answered after
// the socket's own facts.
func (h *hall) acked(ctx context.Context, failed <-chan error) error {
	for _, g := range h.groups {
		if _, err := g.speaker.Do(ctx, "conversation:get", schema.ConversationRef{ConversationID: g.id}, ""); err != nil {
			return err
		}
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// comeBack lets everyone come back and returns when all were told what they missed.
func (h *hall) comeBack(ctx context.Context) error {
	epoch := h.groups[0].speaker.Hello().Log.Epoch
	return h.each(ctx, func(ctx context.Context, l *listener) error {
		l.conn.Close() // its reader is done with what had arrived before the cut
		start := time.Now()
		from := &schema.Resume{Epoch: epoch, Seq: l.seq, Rooms: []string{schema.ConversationRoom(l.group.id)}}
		if err := l.connect(ctx, h.target, from); err != nil {
			return err
		}
		if !l.conn.Connected().Resumed {
			return fmt.Errorf("%s was not resumed", l.user)
		}
		select {
		case l.missed = <-l.resumed:
		case <-l.conn.Done():
			return cmp.Or(l.conn.Err(), net.ErrClosed)
		case <-ctx.Done():
			return ctx.Err()
		}
		h.resumes.took(time.Since(start))
		return nil
	})
}

// quiet waits until everyone has heard everything, at most 10 s for a push, and
// returns what did not come, and what came twice.
func (h *hall) quiet(ctx context.Context) (lost, doubled int) {
	for _, l := range h.listeners {
		for waiting := true; waiting; {
			l.mu.Lock()
			waiting = l.heard < l.group.sent
			l.mu.Unlock()
			if !waiting {
				break
			}
			select {
			case <-l.moved:
			case <-time.After(10 * time.Second):
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
		l.mu.Lock()
		lost += l.lost + l.group.sent - l.heard
		doubled += l.doubled
		l.mu.Unlock()
	}
	return lost, doubled
}

func (h *hall) said() (n int) {
	for _, g := range h.groups {
		n += g.sent
	}
	return n
}

func (h *hall) leave() {
	var conns []*client.Client
	for _, g := range h.groups {
		conns = append(conns, g.speaker)
	}
	for _, l := range h.listeners {
		conns = append(conns, l.conn)
	}
	hangUp(conns)
}
