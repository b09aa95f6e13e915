package main

import (
	"errors"
	"fmt"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

type replayCmd struct {
	source
	Event     string `placeholder:"NAME" help:"Only this event, such as post:create, or all of a noun: post:*."`
	Actor     string `placeholder:"ID" help:"Only records by this user."`
	Entity    string `placeholder:"TYPE:ID" help:"Only records about this, such as post:01J… or user:alice."`
	Room      string `placeholder:"ROOM" help:"Only records of which this room was told, such as conversation:01J… or user:alice."`
	Of        string `placeholder:"ID" help:"The whole history of a user, post, comment, message, conversation, report or notification."`
	Namespace string `placeholder:"NAME" help:"Only this namespace: social, messaging, notifications or admin."`
	From      uint64 `placeholder:"SEQ" help:"First place in the log."`
	To        uint64 `placeholder:"SEQ" help:"Last place in the log."`
	Since     string `placeholder:"WHEN" help:"Only records since then: 90s, 2h, 3d, or 2026-11-23T18:00:00Z."`
	Until     string `placeholder:"WHEN" help:"Only records up to the first one that was accepted later than then."`
	Follow    bool   `help:"Go on with records as they are committed."`
	Explain   bool   `help:"Under each record the rows of the read models that it changed, before and after."`

	At    string `placeholder:"WHEN|SEQ" help:"With --show: as of then."`
	Show  string `placeholder:"WHAT" help:"In place of records: conversation:ID, post:ID, user:ID, feed:USER, notifications:USER, conversations:USER, presence:USER, reports or model:NAME."`
	As    string `placeholder:"ID" help:"With --show: as this user sees it."`
	Limit int    `default:"100" placeholder:"N" help:"With --show: so many items of a list (${default})."`
	Page  string `placeholder:"NEXT" help:"With --show: go on where a list ended, its next."`

	Format string `default:"" enum:",table,json,cloudevents" placeholder:"FORM" help:"table, json (one object a line) or cloudevents (CloudEvents 1.0 in JSON, one a line)."`
	JSON   bool   `name:"json" help:"Short for --format json."`
}

// Run shows the records that match, oldest first, or the read models as of some time.
func (c *replayCmd) Run(a *app) error {
	if c.JSON && c.Format == "" {
		c.Format = formatJSON
	}
	if c.Format == "" {
		c.Format = formatTable
	}
	filter, err := c.filter(time.Now())
	if err == nil {
		err = c.check(filter)
	}
	if err != nil {
		return usageError(err)
	}
	if c.Show != "" {
		err = c.show(a)
	} else {
		err = c.replay(a, filter)
	}
	if errors.Is(err, eventlog.ErrDamaged) {
		err = fmt.Errorf("%w; roomlog verify says what else is wrong with the log", err)
	}
	return err
}

func (c *replayCmd) filter(now time.Time) (replay.Filter, error) {
	since, err := replay.ParseSince(c.Since, now)
	if err != nil {
		return replay.Filter{}, err
	}
	until, err := replay.ParseSince(c.Until, now)
	if err != nil {
		return replay.Filter{}, err
	}
	f := replay.Filter{
		Event: c.Event, Actor: c.Actor, Entity: c.Entity, Namespace: schema.Namespace(c.Namespace),
		From: c.From, To: c.To, Since: since, Until: until, Room: c.Room, Of: c.Of,
		CloudEvents: c.Format == formatCloudEvents,
	}
	return f, f.Validate()
}

// check finds flags that do not go together.
func (c *replayCmd) check(f replay.Filter) error {
	switch {
	case c.JSON && c.Format != formatJSON:
		return fmt.Errorf("--json and --format %s are two forms: give one of them", c.Format)
	case c.Follow && (c.To != 0 || c.Until != ""):
		return errors.New("--follow has no end, and --to or --until is one: give one of them")
	case c.Explain && f.CloudEvents:
		return errors.New("a CloudEvent has no place for what --explain says: use --format json")
	case c.Show == "" && (c.At != "" || c.As != "" || c.Page != ""):
		return errors.New("--at, --as and --page go with --show, which says what is to be seen")
	case c.Show != "" && (c.Follow || c.Explain || f != (replay.Filter{CloudEvents: f.CloudEvents})):
		return errors.New("--show is of the read models, and the other flags choose records: give one of them")
	case c.Show != "" && f.CloudEvents:
		return errors.New("what --show shows is no event: use --format table or json")
	}
	return nil
}

// replay shows records, whoever has them.
func (c *replayCmd) replay(a *app, f replay.Filter) error {
	return printing(a, c.Follow, c.printer(a), func(emit func([]replay.Line) error) error {
		if server := c.server(); server != nil {
			return c.replayLive(a, server, f, emit)
		}
		if c.Follow && c.NATSURL == "" {
			return usagef("no server runs on %s, so there is nothing to follow: start it, or leave --follow out", c.Data)
		}
		r, err := c.openReading(a)
		if err != nil {
			return err
		}
		return errors.Join(c.replayRead(a, r, f, emit), r.close())
	})
}

// replayRead shows what a log has that nobody else reads out.
func (c *replayCmd) replayRead(a *app, r *reading, f replay.Filter, emit func([]replay.Line) error) error {
	if c.Explain && r.left == nil && !f.Decided() {
		return c.explained(a, r.Log, func(e *replay.Explainer) error { return e.Replay(a.ctx, f, c.Follow, emit) })
	}
	if err := r.upTo(a, f, c.Follow); err != nil {
		return err
	}
	read := func(emit func([]replay.Line) error) error { return records.reader(c.Follow)(r.Auditor, a.ctx, f, emit) }
	if !c.Explain {
		return read(emit)
	}
	return c.explained(a, r.Log, func(e *replay.Explainer) error { return read(explaining(a, e, emit)) })
}

// replayLive shows what a running server reads out. What records changed is found here,
// from the server's files: it has other things to do.
func (c *replayCmd) replayLive(a *app, server *remote, f replay.Filter, emit func([]replay.Line) error) error {
	if !c.Explain {
		return records.live(a.ctx, server, f, c.Follow, emit)
	}
	log, err := c.openFiles(a, 1)
	if err != nil {
		return err
	}
	err = c.explained(a, log, func(e *replay.Explainer) error {
		explain := explaining(a, e, emit)
		return records.live(a.ctx, server, f, c.Follow, func(lines []replay.Line) error {
			log.Extend(lines[len(lines)-1].Seq) // the server tells of nothing that is not durable
			return explain(lines)
		})
	})
	return errors.Join(err, log.Close())
}

// explained runs what says of records what they changed, with read models to find it by.
func (c *replayCmd) explained(a *app, log *eventlog.Log, run func(*replay.Explainer) error) error {
	past, err := projections.OpenPast(a.ctx, projections.PastConfig{Log: log, Progress: progressOf(a)})
	if err != nil {
		return err
	}
	e := &replay.Explainer{Log: log, Past: past}
	err = run(e)
	e.Close()
	return errors.Join(err, past.Close())
}

// explaining emits lines with what the records changed, one by one: a line's changes are
// not held for the next one's.
func explaining(a *app, e *replay.Explainer, emit func([]replay.Line) error) func([]replay.Line) error {
	return func(lines []replay.Line) error {
		for i := range lines {
			if err := e.Explain(a.ctx, lines[i:i+1]); err != nil {
				return err
			}
			if err := emit(lines[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
}
