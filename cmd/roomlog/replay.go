package main

import (
	"errors"
	"fmt"
	"io"
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
	return records.show(a, c.source, filter, c.Follow, c.print)
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

func (c *replayCmd) print(out io.Writer, l *replay.Line) error {
	if c.JSON {
		return printJSON(out, l)
	}
	_, err := fmt.Fprintf(out, "%8d  %s  %-20s %-14s %-32s %-12s %s\n", l.Seq, l.Time, l.Event, l.Actor.ID, l.Entity, l.Outcome, compact(l.Data))
	return err
}
