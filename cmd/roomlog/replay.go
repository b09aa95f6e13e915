package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"roomlog/replay"
	"roomlog/schema"
)

type replayCmd struct {
	source
	Event     string `placeholder:"NAME" help:"Only this event, such as post:create, or all of a noun: post:*."`
	Actor     string `placeholder:"ID" help:"Only records by this user."`
	Entity    string `placeholder:"TYPE:ID" help:"Only records about this, such as post:01J… or user:alice."`
	Namespace string `placeholder:"NAME" help:"Only this namespace: social, messaging, notifications or admin."`
	From      uint64 `placeholder:"SEQ" help:"First place in the log."`
	To        uint64 `placeholder:"SEQ" help:"Last place in the log."`
	Since     string `placeholder:"WHEN" help:"Only records since then: 90s, 2h, 3d, or 2026-11-23T18:00:00Z."`
	Follow    bool   `help:"Go on with records as they are committed."`
	JSON      bool   `name:"json" help:"One JSON object a line."`
}

// Run shows the records that match, oldest first.
func (c *replayCmd) Run(a *app) error {
	filter, err := c.filter(time.Now())
	if err != nil {
		return usageError(err)
	}
	out := bufio.NewWriterSize(a.out, 64<<10)
	show := func(lines []replay.Line) error {
		for i := range lines {
			if err := c.print(out, &lines[i]); err != nil {
				return err
			}
		}
		if !c.Follow {
			return nil
		}
		return out.Flush()
	}
	if server := dialControl(c.Data); server != nil {
		err = c.live(a.ctx, server, filter, show)
	} else {
		err = c.stopped(a, filter, show)
	}
	if c.Follow && a.ctx.Err() != nil {
		return nil // that is how a follow ends
	}
	return errors.Join(err, out.Flush())
}

func (c *replayCmd) filter(now time.Time) (replay.Filter, error) {
	since, err := replay.ParseSince(c.Since, now)
	if err != nil {
		return replay.Filter{}, err
	}
	if c.Follow && c.To != 0 {
		return replay.Filter{}, errors.New("--follow has no end and --to is one: give one of them")
	}
	f := replay.Filter{
		Event: c.Event, Actor: c.Actor, Entity: c.Entity, Namespace: schema.Namespace(c.Namespace),
		From: c.From, To: c.To, Since: since,
	}
	return f, f.Validate()
}

// live asks the running server.
func (c *replayCmd) live(ctx context.Context, server *remote, f replay.Filter, show func([]replay.Line) error) error {
	filter, err := json.Marshal(f)
	if err != nil {
		return err
	}
	query := url.Values{"filter": {string(filter)}, "follow": {strconv.FormatBool(c.Follow)}}
	return server.lines(ctx, "GET", "/replay", query, func(text json.RawMessage) error {
		var line replay.Line
		if err := json.Unmarshal(text, &line); err != nil {
			return fmt.Errorf("the running server sent no record: %w", err)
		}
		return show([]replay.Line{line})
	})
}

// stopped reads what a stopped server left, or a log in NATS.
func (c *replayCmd) stopped(a *app, f replay.Filter, show func([]replay.Line) error) error {
	if c.Follow && c.NATSURL == "" {
		return usagef("no server runs on %s, so there is nothing to follow: start it, or leave --follow out", c.Data)
	}
	o, err := c.openOffline(a.ctx, a.warnings())
	if err != nil {
		return err
	}
	if err = o.catchUp(a.ctx); err == nil {
		if c.Follow {
			err = o.auditor().Follow(a.ctx, f, show)
		} else {
			err = o.auditor().Replay(a.ctx, f, show)
		}
	}
	return errors.Join(err, o.close())
}

func (c *replayCmd) print(out *bufio.Writer, l *replay.Line) error {
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(l)
	}
	_, err := fmt.Fprintf(out, "%8d  %s  %-20s %-14s %-32s %-12s %s\n", l.Seq, l.Time, l.Event, l.Actor.ID, l.Entity, l.Outcome, compact(l.Data))
	return err
}
