package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// liveLine shows how a measurement goes: on a terminal a bar of its time that is
// rewritten in place, elsewhere a line every few seconds. It is for one goroutine.
type liveLine struct {
	name, unit string
	planned    time.Duration // 0: nobody knows
	out        io.Writer
	lastLine   time.Time

	bars  *mpb.Progress // nil: lines
	bar   *mpb.Bar
	words atomic.Pointer[string] // what the bar's own goroutine shows
}

func newLiveLine(out io.Writer, name, unit string, planned time.Duration) *liveLine {
	l := &liveLine{name: name, unit: unit, planned: planned, out: out, lastLine: time.Now()}
	if !isTerminal(out) {
		return l
	}
	words := ""
	l.words.Store(&words)
	var style mpb.BarFillerBuilder = mpb.BarStyle()
	if planned == 0 {
		style = mpb.NopStyle()
	}
	l.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	l.bar = l.bars.New(max(planned.Milliseconds(), 1), style,
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *l.words.Load() })))
	return l
}

// set shows the rate of the last second, the p99 so far and what failed so far.
func (l *liveLine) set(elapsed time.Duration, perSecond float64, p99 time.Duration, failed int64) {
	words := fmt.Sprintf("%s, %.0f %s/s, p99 %.1f ms, %d failed",
		elapsed.Round(time.Second), perSecond, l.unit, milliseconds(p99), failed)
	switch {
	case l.bar != nil:
		l.words.Store(&words)
		if l.planned > 0 {
			l.bar.SetCurrent(min(elapsed, l.planned).Milliseconds())
		}
	case time.Since(l.lastLine) >= progressEvery:
		l.lastLine = time.Now()
		fmt.Fprintf(l.out, "%s: %s\n", l.name, words)
	}
}

// finish leaves the line as it stands and the terminal to what comes next.
func (l *liveLine) finish() {
	if l.bar == nil {
		return
	}
	l.bar.Abort(false)
	l.bars.Wait()
}
