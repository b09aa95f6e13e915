package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// Back-off of a player who lost the server.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// player is a user of the demo at a socket of their own. When the connection is
// lost it comes back, takes its room again, and repeats what was not acked under
// the same key, so that nothing happens twice. It is for one goroutine at a time.
type player struct {
	role    *role
	dial    func(context.Context, realtime.Identity, client.Options) (*client.Client, error)
	timeout time.Duration // for one command, all its retries together
	heard   *atomic.Int64 // pushes to all players
	lost    *atomic.Int64 // connections lost by all players
	known   *atomic.Int64 // commands that an earlier run had carried out already

	conn *client.Client // nil: not connected
	post string         // whose room the player is in; "" for none
}

// do carries out one command, however often the connection is lost. A command
// whose effect is there already is done.
func (p *player) do(ctx context.Context, event string, data any, key string) (schema.Frame, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout,
		fmt.Errorf("%s could not %s for %s: the server stayed away", p.role.name, event, p.timeout))
	defer cancel()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		frame, err := p.try(ctx, event, data, key)
		if err == nil {
			if frame.Duplicate {
				p.known.Add(1)
			}
			return frame, nil
		}
		pause, again := p.retry(err, wait)
		if !again {
			return frame, fmt.Errorf("%s, %s: %w", p.role.name, event, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return frame, fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}

// try carries out one command on the connection, or on a new one.
func (p *player) try(ctx context.Context, event string, data any, key string) (schema.Frame, error) {
	if err := p.connect(ctx); err != nil {
		return schema.Frame{}, err
	}
	return p.conn.Do(ctx, event, data, key)
}

func (p *player) connect(ctx context.Context) error {
	if p.conn != nil {
		return nil
	}
	conn, err := p.dial(ctx, realtime.Identity{Actor: schema.Actor{ID: p.role.id, Username: p.role.name}},
		client.Options{OnPush: func(schema.Frame) { p.heard.Add(1) }})
	if err != nil {
		return err
	}
	p.conn = conn
	if p.post == "" {
		return nil
	}
	_, err = conn.Do(ctx, "post:join", schema.PostRef{PostID: p.post}, "")
	return err
}

// retry says whether and when to try again after err, and drops the connection
// if it is what failed.
func (p *player) retry(err error, wait time.Duration) (time.Duration, bool) {
	var answer *schema.Error
	if errors.As(err, &answer) {
		return max(wait, answer.RetryAfter), answer.Temporary
	}
	if p.conn != nil {
		p.lost.Add(1)
		p.leave()
	}
	var closed *client.CloseError
	if errors.As(err, &closed) {
		return max(wait, closed.RetryAfter()), closed.Reconnect()
	}
	var refused *client.RefusedError
	if errors.As(err, &refused) {
		return max(wait, refused.RetryAfter), refused.Status >= 500
	}
	return wait, true
}

// join takes a place in a post's room, where the player is told of comments.
func (p *player) join(ctx context.Context, post string) error {
	p.post = "" // not to be joined twice when the connection is new
	_, err := p.do(ctx, "post:join", schema.PostRef{PostID: post}, "")
	p.post = post
	return err
}

// typing says that the player writes. It is told or it is not: nobody waits for it.
func (p *player) typing() {
	if p.conn != nil {
		p.conn.Send("user:typing", schema.PostAction{PostID: p.post, Action: schema.ActionStart}, "", nil)
	}
}

// ask fills answer with what a query says.
func (p *player) ask(ctx context.Context, event string, data, answer any) error {
	frame, err := p.do(ctx, event, data, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(frame.Data, answer)
}

// leave closes the connection, if there is one.
func (p *player) leave() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}
