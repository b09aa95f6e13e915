package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"roomlog/projections"
)

// rebuildStatus is how far a rebuild is, in status and in a rebuild's own stream.
type rebuildStatus struct {
	Stage       string               `json:"stage"` // building, comparing or catching up
	From        uint64               `json:"from"`  // where it began
	Records     uint64               `json:"records"`
	Target      uint64               `json:"target"`
	PerSecond   float64              `json:"perSecond"`
	SecondsLeft float64              `json:"secondsLeft"`
	Models      []projections.Volume `json:"models"` // what was written of each read model
}

func rebuildStatusOf(p projections.Progress) *rebuildStatus {
	return &rebuildStatus{p.Stage, p.From, p.Records, p.Of, p.Rate, p.ETA.Seconds(), p.Models}
}

// rebuildOf returns the rebuild that goes on, nil when none does.
func rebuildOf(models *projections.Models) *rebuildStatus {
	if p, running := models.Rebuilding(); running {
		return rebuildStatusOf(p)
	}
	return nil
}

func (s *rebuildStatus) String() string {
	if s.PerSecond == 0 {
		return fmt.Sprintf("%s: %d of %d records", s.Stage, s.Records, s.Target)
	}
	left := time.Duration(s.SecondsLeft * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%s: %d of %d records, %.0f/s, %s left", s.Stage, s.Records, s.Target, s.PerSecond, left)
}

// rebuildView shows a rebuild: on a terminal a bar of records, and below it one for
// each read model, of its part in all that was written: they are all at the same
// record, but not of the same size. Elsewhere it is a line every few seconds.
type rebuildView struct {
	out      io.Writer
	lastLine time.Time
	bars     *mpb.Progress                 // nil: lines
	records  *mpb.Bar                      // nil before the first step
	models   []*mpb.Bar                    // in the order of the status
	now      atomic.Pointer[rebuildStatus] // what the bars' own goroutine shows
}

func newRebuildView(out io.Writer) *rebuildView {
	v := &rebuildView{out: out, lastLine: time.Now()}
	if isTerminal(out) {
		v.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(60))
	}
	return v
}

// set shows how far it is now.
func (v *rebuildView) set(s *rebuildStatus) {
	if v.bars == nil {
		if time.Since(v.lastLine) >= progressEvery {
			v.lastLine = time.Now()
			fmt.Fprintln(v.out, "rebuild:", s)
		}
		return
	}
	v.now.Store(s)
	if v.records == nil {
		v.open(s)
	}
	v.records.SetTotal(int64(s.Target), false)
	v.records.SetCurrent(int64(s.Records))
	var all uint64
	for _, m := range s.Models {
		all += m.Bytes
	}
	for i, m := range s.Models {
		v.models[i].SetTotal(int64(all), false)
		v.models[i].SetCurrent(int64(m.Bytes))
	}
}

func (v *rebuildView) open(s *rebuildStatus) {
	bar := func(name string, words func(*rebuildStatus) string) *mpb.Bar {
		return v.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 14, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return words(v.now.Load()) })))
	}
	v.records = bar("records", (*rebuildStatus).String)
	for i, m := range s.Models {
		v.models = append(v.models, bar("  "+m.Name, func(s *rebuildStatus) string {
			return fmt.Sprintf("%d rows, %.1f MB", s.Models[i].Rows, float64(s.Models[i].Bytes)/1e6)
		}))
	}
}

// finish ends the bars as they stand and leaves the terminal to what comes next.
func (v *rebuildView) finish() {
	if v.bars == nil {
		return
	}
	for _, bar := range append(v.models, v.records) {
		if bar != nil {
			bar.Abort(false)
		}
	}
	v.bars.Wait()
}
