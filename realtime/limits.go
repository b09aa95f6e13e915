package realtime

import (
	"math"
	"time"
)

// bucket is a token bucket: it holds one window's worth of events and fills
// evenly. The zero bucket is full.
type bucket struct {
	spent   float64 // events taken and not given back yet
	at      int64   // Unix ms of the last look; a clock that is set back gives nothing and takes nothing
	refused int     // events refused, less those allowed since
}

// take takes one event. wait is 0 when it is allowed, else the time until one will be.
func (b *bucket) take(now time.Time, events int, window time.Duration) (wait time.Duration) {
	if events == 0 {
		return 0
	}
	b.spent = b.spentAt(now, events, window)
	b.at = now.UnixMilli()
	// Fractions of an event that only rounding made are no reason to refuse.
	if over := b.spent + 1 - float64(events); over > 1e-9 {
		b.refused++
		// Up to whole milliseconds, as the wire says it: who waits that long must not
		// be refused again.
		return time.Duration(math.Ceil(over/perMs(events, window))) * time.Millisecond
	}
	b.spent++
	b.refused = max(0, b.refused-1)
	return 0
}

// spentAt is how many events are taken and not given back by now.
func (b *bucket) spentAt(now time.Time, events int, window time.Duration) float64 {
	return max(0, b.spent-float64(max(0, now.UnixMilli()-b.at))*perMs(events, window))
}

func perMs(events int, window time.Duration) float64 {
	return float64(events) / float64(window.Milliseconds())
}

// goesOn reports whether the client keeps sending although it was told to wait:
// it was refused as many events as it may send in a window.
func (b *bucket) goesOn(events int) bool { return b.refused >= events }
