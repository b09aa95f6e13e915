package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// watchEvery is how often a terminal or a program is shown the status anew; others get
// a line as often as of any long work.
const watchEvery = time.Second

// watch shows the status again and again until it is interrupted, which is a good end.
// A server that stops, or cannot be asked, is no end: it may come back.
func (c *statusCmd) watch(a *app) error {
	show, every := c.watcher(a.out)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		s, err := c.read(a, false)
		if a.ctx.Err() != nil {
			return nil
		}
		if err := show(s, err); err != nil {
			return err
		}
		select {
		case <-ticks.C:
		case <-a.ctx.Done():
			return nil
		}
	}
}

// watcher returns what shows a status, or why there is none, and how often it is to.
func (c *statusCmd) watcher(out io.Writer) (show func(status, error) error, every time.Duration) {
	switch {
	case c.JSON:
		return func(s status, failed error) error {
			if failed != nil {
				s.Problems = append(s.Problems, oneLine(failed))
			}
			return json.NewEncoder(out).Encode(s)
		}, watchEvery
	case isTerminal(out):
		return (&screen{out: out}).show, watchEvery
	}
	return func(s status, failed error) error {
		text := s.oneLine()
		if failed != nil {
			text = oneLine(failed)
		}
		_, err := fmt.Fprintln(out, stamp(), text)
		return err
	}, progressEvery
}

// screen is a terminal on which each status takes the place of the one before.
type screen struct {
	out   io.Writer
	lines int // that the last one took
}

func (v *screen) show(s status, failed error) error {
	var b strings.Builder
	err := failed
	if err == nil {
		err = s.print(&b)
	}
	if err != nil {
		fmt.Fprintln(&b, oneLine(err))
	}
	if s.Rebuild != nil {
		b.WriteString("\n" + s.Rebuild.bars())
	}
	text := b.String()
	// Up to where the last one began, and clear from there; what is longer than a line
	// of the terminal is cut, so that lines can be counted.
	var frame strings.Builder
	if v.lines > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA\r\x1b[J", v.lines)
	}
	frame.WriteString("\x1b[?7l" + text + "\x1b[?7h")
	v.lines = strings.Count(text, "\n")
	_, err = io.WriteString(v.out, frame.String())
	return err
}
