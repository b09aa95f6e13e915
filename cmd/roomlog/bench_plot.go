package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// plotFile is the file of --plot. The zero value is none.
type plotFile struct{ file *os.File }

// openPlot opens the file before there is anything to write, so that nobody waits
// for a measurement whose picture has no place. What is in the file stays there until
// write is called.
func openPlot(path string) (plotFile, error) {
	if path == "" {
		return plotFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return plotFile{}, usagef("cannot write the --plot: %w", err)
	}
	return plotFile{f}, nil
}

func (p plotFile) write(c chart) error {
	if p.file == nil {
		return nil
	}
	err := p.file.Truncate(0)
	if err == nil {
		err = c.svg(p.file)
	}
	if err != nil {
		return fmt.Errorf("cannot write the plot: %w", err)
	}
	return nil
}

// close removes a file that nothing was written to.
func (p plotFile) close() error {
	if p.file == nil {
		return nil
	}
	info, err := p.file.Stat()
	if err == nil && info.Size() == 0 {
		err = os.Remove(p.file.Name())
	}
	return errors.Join(err, p.file.Close())
}

// shortSecond is how long the last second of a run must have been to be shown: the
// rate of a moment says nothing.
const shortSecond = 250 * time.Millisecond

// timed is an operation, or all of a measurement together.
type timed interface {
	bySecond() []second
	total() latencies
}

// latencyChart shows the seconds of an operation: p50, p99 and the longest above,
// what ended well and what failed below. unit says what the operation did, such as
// "acked".
func latencyChart(title, note, unit string, op timed) chart {
	var p50, p99, most, rate, failed []point
	last, failures := time.Duration(0), int64(0)
	seconds := op.bySecond()
	for i, s := range seconds {
		length := s.At - last
		last = s.At
		if length < shortSecond && i > 0 {
			continue
		}
		at := s.At.Seconds()
		p50 = append(p50, point{at, milliseconds(s.P50)})
		p99 = append(p99, point{at, milliseconds(s.P99)})
		most = append(most, point{at, milliseconds(s.Most)})
		rate = append(rate, point{at, s.PerSecond})
		failed = append(failed, point{at, float64(s.Failed) / length.Seconds()})
		failures += s.Failed
	}
	sum := op.total()
	note = fmt.Sprintf("%s. In all p50 %.1f ms, p99 %.1f ms, %.0f %s/s", note,
		milliseconds(sum.P50), milliseconds(sum.P99), float64(sum.Count)/max(last.Seconds(), 1e-3), unit)
	rates := []series{{unit, rate}}
	if failures > 0 {
		rates = append(rates, series{"refused", failed})
	}
	return chart{
		Title: title, Note: note,
		X: axis{Label: "seconds since the start", Tight: true},
		Panels: []panel{
			{Y: axis{Label: "milliseconds", Log: true}, Series: []series{{"max", most}, {"p99", p99}, {"p50", p50}}},
			{Y: axis{Label: "a second", Zero: true}, Series: rates, Height: 120},
		},
	}
}
