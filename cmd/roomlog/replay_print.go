package main

import (
	"fmt"
	"io"

	"roomlog/projections"
	"roomlog/replay"
)

// The forms of what replay shows.
const (
	formatTable       = "table"
	formatJSON        = "json"
	formatCloudEvents = "cloudevents"
)

// printer returns what writes one line in the form that was asked for.
func (c *replayCmd) printer(a *app) func(io.Writer, *replay.Line) error {
	switch c.Format {
	case formatJSON:
		return func(out io.Writer, l *replay.Line) error { return printJSON(out, l) }
	case formatCloudEvents:
		return func(out io.Writer, l *replay.Line) error {
			if l.CloudEvent == nil {
				_, err := fmt.Fprintf(a.err, "roomlog: what stands at %d is no event and is left out: %v\n", l.Seq, l.Reasons())
				return err
			}
			_, err := fmt.Fprintf(out, "%s\n", l.CloudEvent)
			return err
		}
	}
	return printRow
}

// printRow writes a line of the table, why the record is void or parked, and what it
// changed.
func printRow(out io.Writer, l *replay.Line) error {
	_, err := fmt.Fprintf(out, "%8d  %s  %-20s %-14s %-32s %-12s %s\n", l.Seq, l.Time, plain(l.Event), plain(l.Actor.ID), plain(l.Entity), l.Outcome, compact(l.Data))
	for _, why := range l.Reasons() {
		if err == nil {
			_, err = fmt.Fprintf(out, "%8s  %s\n", "", plain(why))
		}
	}
	if err == nil && l.Changes != nil && len(l.Changes) == 0 {
		_, err = fmt.Fprintf(out, "%8s  changed nothing\n", "")
	}
	for i := range l.Changes {
		if err == nil {
			err = printChange(out, &l.Changes[i])
		}
	}
	return err
}

func printChange(out io.Writer, c *projections.Change) error {
	name := c.Model + "/" + c.Table
	if len(c.Key) > 0 {
		name += " " + c.Key.String()
	}
	_, err := fmt.Fprintf(out, "%8s  %s: %s\n", "", plain(name), plain(c.Before.Changed(c.After)))
	return err
}
