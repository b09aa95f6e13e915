package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"roomlog/replay"
	"roomlog/schema"
)

type inspectCmd struct {
	source
	Kind   string `placeholder:"KIND" help:"Only this kind: ${auditKinds}."`
	Actor  string `placeholder:"ID" help:"Only what this user did or met with."`
	Since  string `placeholder:"WHEN" help:"Only entries since then: 90s, 2h, 3d, or 2026-11-23T18:00:00Z."`
	Follow bool   `help:"Go on with entries as they come."`
	JSON   bool   `name:"json" help:"One JSON object a line."`
}

// Run shows the ADMIN stream, oldest first: what moderators did, and what the server
// noted.
func (c *inspectCmd) Run(a *app) error {
	since, err := replay.ParseSince(c.Since, time.Now())
	filter := replay.AdminFilter{Kind: c.Kind, Actor: c.Actor, Since: since}
	if err = errors.Join(err, filter.Validate()); err != nil {
		return usageError(err)
	}
	if !c.JSON {
		fmt.Fprintf(a.out, inspectRow, "SEQ", "TIME", "KIND", "EVENT", "WHO", "WHAT")
	}
	return entries.show(a, c.source, filter, c.Follow, c.print)
}

const inspectRow = "%8s  %-24s  %-10s %-20s %-14s %s\n"

func (c *inspectCmd) print(out io.Writer, e *schema.AuditEntry) error {
	if c.JSON {
		return printJSON(out, e)
	}
	event, what := describe(e)
	_, err := fmt.Fprintf(out, inspectRow, strconv.FormatUint(e.Seq, 10), e.Time, e.Kind, dash(event), dash(replay.ActorOf(e)), what)
	return err
}

// describe says what an entry is about in the words of a table.
func describe(e *schema.AuditEntry) (event, what string) {
	switch e.Kind {
	case schema.AuditRefused, schema.AuditSlow, schema.AuditSuspended:
		var note schema.AuditNote
		if json.Unmarshal(e.Data, &note) != nil {
			break
		}
		words := []string{note.Code}
		if note.Detail != "" {
			words = append(words, note.Detail)
		}
		if note.Count > 1 {
			words = append(words, fmt.Sprintf("%d times since %s", note.Count, note.Since))
		}
		if note.Others {
			words = append(words, "(of several)")
		}
		return note.Event, strings.Join(words, " ")
	case schema.AuditRebuild:
		var step schema.AuditRebuildStep
		if json.Unmarshal(e.Data, &step) != nil {
			break
		}
		what = fmt.Sprintf("%s at seq %d", step.State, step.Seq)
		switch {
		case step.Error != "":
			what += ": " + step.Error
		case len(step.Differences) > 0:
			what += "; the read models differed in " + strings.Join(step.Differences, ", ")
		case step.Same != nil:
			what += "; nothing differed"
		}
		return "", what
	case schema.AuditRestored:
		var from schema.AuditRestoredLog
		if json.Unmarshal(e.Data, &from) != nil {
			break
		}
		epoch := "the same epoch"
		if from.NewEpoch {
			epoch = "a new epoch"
		}
		return "", fmt.Sprintf("up to seq %d, from a backup made %s, under %s: %s", from.Seq, from.Made, epoch, from.Why)
	case schema.AuditCheckpoint:
		var signed schema.AuditSigned
		if json.Unmarshal(e.Data, &signed) != nil {
			break
		}
		what = fmt.Sprintf("up to seq %d, root %s", signed.Size, signed.Root)
		if signed.NextKey != "" {
			what += "; hands over to the key " + signed.NextKey
		}
		return "", what
	}
	if e.Code != "" {
		what = "void:" + string(e.Code) + " "
	}
	return e.Event, what + string(compact(e.Data))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
