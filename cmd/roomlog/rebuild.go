package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"roomlog/projections"
)

type rebuildCmd struct {
	source
	Accept   bool `xor:"do" help:"Use the new read models even when they differ from those in use."`
	Diff     bool `xor:"do" help:"Only compare, row by row; the read models in use stay."`
	Commit   bool `xor:"do" help:"Remove the replaced read models, which are kept for a day otherwise."`
	Rollback bool `xor:"do" help:"Put the replaced read models back, brought up to date; the others are then the replaced ones."`
	Keys     int  `default:"20" placeholder:"N" help:"Rows that are shown of each read model that differs (${default})."`
	JSON     bool `name:"json" help:"One JSON object."`
}

// maxKeys bounds what a server gathers for one answer.
const maxKeys = 10_000

// rebuildReport is what a rebuild found.
type rebuildReport struct {
	Seq           uint64                   `json:"seq"`    // where both digests were taken
	Before        string                   `json:"before"` // digest of the read models that served
	After         string                   `json:"after"`  // digest of the new ones
	Same          bool                     `json:"same"`
	Differences   []string                 `json:"differences,omitempty"` // the read models that differ
	Diff          []projections.Difference `json:"diff,omitempty"`        // the rows that differ
	OtherVersions bool                     `json:"other_versions,omitempty"`
	TookOver      bool                     `json:"took_over"` // the new ones are in use
	Records       uint64                   `json:"records"`
	Seconds       float64                  `json:"seconds"`
	PerSecond     float64                  `json:"records_per_s"`
}

func reportOf(r projections.RebuildReport) *rebuildReport {
	seconds := r.Took.Seconds()
	return &rebuildReport{
		Seq:           r.Rebuilt.Seq,
		Before:        r.Live.Total,
		After:         r.Rebuilt.Total,
		Same:          r.Equal(),
		Differences:   r.Differences,
		Diff:          r.Diff,
		OtherVersions: r.OtherVersions,
		TookOver:      r.TookOver,
		Records:       r.Records,
		Seconds:       seconds,
		PerSecond:     float64(r.Records-r.From) / seconds,
	}
}

// Run builds the read models anew, or does what is to be done with the old ones.
func (c *rebuildCmd) Run(a *app) error {
	if c.Keys < 0 || c.Keys > maxKeys {
		return usagef("--keys must be from 0 to %d", maxKeys)
	}
	view := newRebuildView(a.err)
	report, err := c.do(a, view.set)
	view.finish()
	if err != nil {
		return err
	}
	if err := c.show(a.out, report); err != nil {
		return err
	}
	return c.verdict(report)
}

// verdict is an error with its exit code when what is in use does not agree with the
// log, or did not and nobody had said that it may.
func (c *rebuildCmd) verdict(r *rebuildReport) error {
	names := strings.Join(r.Differences, ", ")
	switch {
	case r.Same || r.OtherVersions && r.TookOver:
		return nil
	case r.TookOver:
		return &exitError{exitDiffers, fmt.Errorf("the old read models differed from the log at seq %d in %s; the new ones are in use, see --rollback and --commit", r.Seq, names)}
	case c.Diff:
		return &exitError{exitDiffers, fmt.Errorf("the read models in use differ from the log at seq %d in %s", r.Seq, names)}
	}
	return &exitError{exitDiffers, fmt.Errorf("the read models in use differ from the log at seq %d in %s, and stay in use until rebuild --accept", r.Seq, names)}
}

// show prints a report.
func (c *rebuildCmd) show(out io.Writer, r *rebuildReport) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	if c.Commit {
		_, err := fmt.Fprintln(out, "the replaced read models are removed")
		return err
	}
	if c.Rollback {
		_, err := fmt.Fprintf(out, "the replaced read models are in use again, at seq %d\n", r.Seq)
		return err
	}
	fmt.Fprintf(out, "rebuilt from %d records in %.1f s (%.0f/s)\nbefore  %s\nafter   %s\n", r.Records, r.Seconds, r.PerSecond, r.Before, r.After)
	if r.OtherVersions {
		fmt.Fprintln(out, "projectors of other versions had made the old read models")
	}
	for _, d := range r.Diff {
		fmt.Fprintf(out, "%s: %d rows differ\n", d.Projection, d.Rows)
		for _, row := range d.Shown {
			fmt.Fprintf(out, "  %s %s\n    in use   %s\n    rebuilt  %s\n", row.Table, row.Key, rowText(row.Live), rowText(row.Rebuilt))
		}
		if more := d.Rows - len(d.Shown); more > 0 {
			fmt.Fprintf(out, "  and %d more\n", more)
		}
	}
	return nil
}

// rowText is a row's value in a report for people.
func rowText(f projections.Fields) string {
	switch {
	case f == nil:
		return "no such row"
	case len(f) == 0:
		return "there"
	}
	return f.String()
}

func (c *rebuildCmd) do(a *app, step func(*rebuildStatus)) (*rebuildReport, error) {
	if server := dialControl(c.Data); server != nil {
		return server.rebuild(a.ctx, c.request(), step)
	}
	o, err := c.openOffline(a.ctx, a.warnings())
	if err != nil {
		return nil, err
	}
	report, err := rebuildAs(a.ctx, o.models, c.request(), step)
	if err = errors.Join(err, o.close()); err != nil {
		return nil, fmt.Errorf("cannot rebuild: %w", err)
	}
	return report, nil
}

// What a rebuild can be asked to do, as the control socket names it.
const (
	doRebuild  = ""
	doAccept   = "accept"
	doCompare  = "compare"
	doCommit   = "commit"
	doRollback = "rollback"
)

// rebuildRequest is what to do, and how many rows to show.
type rebuildRequest struct {
	do   string
	keys int
}

func (c *rebuildCmd) request() rebuildRequest {
	r := rebuildRequest{keys: c.Keys}
	switch {
	case c.Accept:
		r.do = doAccept
	case c.Diff:
		r.do = doCompare
	case c.Commit:
		r.do = doCommit
	case c.Rollback:
		r.do = doRollback
	}
	return r
}

func (r rebuildRequest) query() url.Values {
	return url.Values{"do": {r.do}, "keys": {strconv.Itoa(r.keys)}}
}

func rebuildRequestOf(q url.Values) (rebuildRequest, error) {
	r := rebuildRequest{do: q.Get("do")}
	switch r.do {
	case doRebuild, doAccept, doCompare, doCommit, doRollback:
	default:
		return r, fmt.Errorf("a rebuild cannot %q", r.do)
	}
	var err error
	if text := q.Get("keys"); text != "" {
		if r.keys, err = strconv.Atoi(text); err != nil || r.keys < 0 || r.keys > maxKeys {
			return r, fmt.Errorf("keys is %q, not a number from 0 to %d", text, maxKeys)
		}
	}
	return r, nil
}

// rebuildAs does what was asked for. step is told how far it is.
func rebuildAs(ctx context.Context, models *projections.Models, r rebuildRequest, step func(*rebuildStatus)) (*rebuildReport, error) {
	progress := func(p projections.Progress) { step(rebuildStatusOf(p)) }
	switch r.do {
	case doCommit:
		return &rebuildReport{Seq: models.Applied(), Same: true}, models.Commit()
	case doRollback:
		err := models.Rollback(ctx, progress)
		return &rebuildReport{Seq: models.Applied(), Same: true}, err
	}
	report, err := models.RebuildWith(ctx, projections.RebuildOptions{
		Accept:      r.do == doAccept,
		CompareOnly: r.do == doCompare,
		Keys:        r.keys,
		Progress:    progress,
	})
	return reportOf(report), err
}

// rebuild lets the running server rebuild, while it goes on serving.
func (r *remote) rebuild(ctx context.Context, what rebuildRequest, step func(*rebuildStatus)) (*rebuildReport, error) {
	var report *rebuildReport
	err := r.lines(ctx, "POST", "/rebuild", what.query(), func(text json.RawMessage) error {
		var line rebuildStep
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		if line.Report == nil && line.Progress != nil {
			step(line.Progress)
		}
		report = line.Report
		return nil
	})
	if err == nil && report == nil {
		err = errors.New("the running server ended the rebuild without a report")
	}
	return report, err
}
