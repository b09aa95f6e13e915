package realtime

import (
	"testing"
	"time"
)

// A bucket gives what a window allows, and then one event each time a place is
// free. A clock that is set back costs nobody anything and gives nobody anything.
func TestBucket(t *testing.T) {
	const events, window = 10, time.Minute
	start := time.UnixMilli(1_700_000_000_000)
	for _, back := range []time.Duration{0, time.Millisecond, time.Hour, 24 * 365 * time.Hour} {
		var b bucket
		for i := range events {
			if wait := b.take(start, events, window); wait != 0 {
				t.Fatalf("event %d of %d has to wait %v", i, events, wait)
			}
		}
		now := start.Add(-back)
		if wait := b.take(now, events, window); wait != window/events {
			t.Errorf("set back by %v it has to wait %v, want %v", back, wait, window/events)
		}
		now = now.Add(window / events)
		if wait := b.take(now, events, window); wait != 0 {
			t.Errorf("set back by %v: after the wait it has to wait %v more", back, wait)
		}
		if b.take(now, events, window) == 0 {
			t.Errorf("set back by %v it gave one event too many", back)
		}
	}
	var off bucket
	if off.take(start, 0, window) != 0 || off != (bucket{}) {
		t.Errorf("without a limit the bucket is %+v", off)
	}
}

// An event that is allowed makes up for one refusal and not for all: who sends without
// end at three times the rate is seen through.
func TestBucketSeesWhoGoesOn(t *testing.T) {
	const events, window = 10, time.Minute
	for name, c := range map[string]struct {
		every  time.Duration // an event
		goesOn bool
	}{
		"as fast as allowed":          {window / events, false},
		"now and then a bit faster":   {window / events * 3 / 4, false},
		"three times as fast":         {window / events / 3, true},
		"without looking at anything": {0, true},
	} {
		var b bucket
		now := time.UnixMilli(1_700_000_000_000)
		for range 10 * events {
			b.take(now, events, window)
			now = now.Add(c.every)
		}
		if b.goesOn(events) != c.goesOn {
			t.Errorf("%s: %d of %d events are held against the client", name, b.refused, events)
		}
	}
}
