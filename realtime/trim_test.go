package realtime

import (
	"testing"
	"time"
)

// Memory is given back once after a wave of sockets, coming or going, and not
// while it lasts, nor for a few, nor all the time.
func TestTide(t *testing.T) {
	var tide tide
	now := time.Now()
	for i, step := range []struct {
		after   time.Duration
		sockets int
		passed  bool
	}{
		{0, 10, false},
		{time.Minute, 10, false}, // too few
		{time.Second, 900, false},
		{time.Second, 1800, false},
		{time.Second, 1800, false}, // not calm for long enough
		{time.Second, 1800, true},
		{time.Minute, 1800, false}, // done already
		{time.Second, 2500, false},
		{time.Minute, 2500, false}, // too few since
		{time.Second, 100, false},
		{2 * time.Second, 100, true}, // they went
		{time.Second, 1200, false},
		{5 * time.Second, 1200, false}, // too soon after the last time
		{30 * time.Second, 1200, true},
	} {
		now = now.Add(step.after)
		if passed := tide.passed(step.sockets, now); passed != step.passed {
			t.Errorf("step %d, %d sockets: %v", i, step.sockets, passed)
		}
	}
}
