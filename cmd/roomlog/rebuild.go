package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"roomlog/projections"
)

type rebuildCmd struct {
	source
	JSON bool `name:"json" help:"One JSON object."`
}

// rebuildReport is what a rebuild found.
type rebuildReport struct {
	Seq         uint64   `json:"seq"`    // where both digests were taken
	Before      string   `json:"before"` // digest of the read models that served
	After       string   `json:"after"`  // digest of the new ones
	Same        bool     `json:"same"`
	Differences []string `json:"differences,omitempty"` // the read models that differ
	Records     uint64   `json:"records"`
	Seconds     float64  `json:"seconds"`
	PerSecond   float64  `json:"records_per_s"`
}

func reportOf(r projections.RebuildReport) *rebuildReport {
	seconds := r.Took.Seconds()
	return &rebuildReport{
		Seq:         r.Rebuilt.Seq,
		Before:      r.Live.Total,
		After:       r.Rebuilt.Total,
		Same:        r.Equal(),
		Differences: r.Differences,
		Records:     r.Records,
		Seconds:     seconds,
		PerSecond:   float64(r.Records) / seconds,
	}
}

// Run builds the read models anew and says whether the old ones were equal.
func (c *rebuildCmd) Run(a *app) error {
	bar := newProgress(a.err, "rebuild", "records")
	step := func(done, total uint64) { bar.set(int64(done), int64(total)) }
	report, err := c.rebuild(a, step)
	bar.finish()
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(a.out).Encode(report)
	} else {
		_, err = fmt.Fprintf(a.out, "rebuilt from %d records in %.1f s (%.0f/s)\nbefore  %s\nafter   %s\n",
			report.Records, report.Seconds, report.PerSecond, report.Before, report.After)
	}
	if err == nil && !report.Same {
		return &exitError{exitDiffers, fmt.Errorf("the old read models differed from the log at seq %d in %s; the new ones are in use", report.Seq, strings.Join(report.Differences, ", "))}
	}
	return err
}

func (c *rebuildCmd) rebuild(a *app, step func(done, total uint64)) (*rebuildReport, error) {
	if server := dialControl(c.Data); server != nil {
		return server.rebuild(a.ctx, step)
	}
	o, err := c.openOffline(a.ctx, a.warnings())
	if err != nil {
		return nil, err
	}
	report, err := o.models.Rebuild(a.ctx, func(p projections.Progress) { step(p.Records, p.Of) })
	if err = errors.Join(err, o.close()); err != nil {
		return nil, fmt.Errorf("cannot rebuild: %w", err)
	}
	return reportOf(report), nil
}

// rebuild lets the running server rebuild, while it goes on serving.
func (r *remote) rebuild(ctx context.Context, step func(done, total uint64)) (*rebuildReport, error) {
	var report *rebuildReport
	err := r.lines(ctx, "POST", "/rebuild", nil, func(text json.RawMessage) error {
		var line rebuildStep
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		if line.Report == nil {
			step(line.Done, line.Total)
		}
		report = line.Report
		return nil
	})
	if err == nil && report == nil {
		err = errors.New("the running server ended the rebuild without a report")
	}
	return report, err
}
