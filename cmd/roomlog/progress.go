package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows long work: a bar with rate and time left on a terminal, one line
// every few seconds elsewhere. It is for one goroutine.
type progress struct {
	name  string
	unit  string // what is counted, plural
	out   io.Writer
	start time.Time

	bars *mpb.Progress // nil: lines
	bar  *mpb.Bar

	done, total int64
	lastLine    time.Time
}

const progressEvery = 3 * time.Second

func newProgress(out io.Writer, name, unit string) *progress {
	p := &progress{name: name, unit: unit, out: out, start: time.Now(), lastLine: time.Now()}
	if isTerminal(out) {
		p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(64))
		p.bar = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(name+" "), decor.CountersNoUnit("%d / %d")),
			mpb.AppendDecorators(
				decor.AverageSpeed(0, "%.0f "+unit+"/s "),
				decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), ""),
			),
		)
	}
	return p
}

// set says that done of total is done.
func (p *progress) set(done, total int64) {
	p.done, p.total = done, total
	switch {
	case p.bar != nil:
		p.bar.SetTotal(total, false)
		p.bar.SetCurrent(done)
	case time.Since(p.lastLine) >= progressEvery:
		p.lastLine = time.Now()
		rate := float64(done) / time.Since(p.start).Seconds()
		left := time.Duration(0)
		if rate > 0 {
			left = time.Duration(float64(total-done) / rate * float64(time.Second))
		}
		fmt.Fprintf(p.out, "%s: %d of %d %s, %.0f/s, %s left\n", p.name, done, total, p.unit, rate, left.Round(time.Second))
	}
}

// finish ends the bar as it stands and leaves the terminal to what comes next.
func (p *progress) finish() {
	if p.bar == nil {
		return
	}
	if p.done == p.total {
		p.bar.SetTotal(p.total, true)
	} else {
		p.bar.Abort(false)
	}
	p.bars.Wait()
}
