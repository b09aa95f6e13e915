package realtime

import (
	"runtime"
	"runtime/debug"
	"time"
)

// What a wave of connections leaves behind (handshakes, tokens, stacks that grew
// for them) stays resident until the heap has doubled, which on a quiet server is
// a long time: measured, 17 KiB a socket in place of 7. So when a wave has passed
// the server gives it back at once.
const (
	waveSockets = 1000             // a change of this many sockets is a wave; fewer leave little
	waveCalm    = 2 * time.Second  // so long after the last change it has passed
	waveRest    = 30 * time.Second // between two times: a full collection costs about 10 ms a 10,000 sockets
)

// tide watches the number of sockets for sweep.
type tide struct {
	sockets int       // at the last look
	changed time.Time // when that number was last another one
	trimmed int       // sockets when memory was last given back
	rested  time.Time // when that was
}

// passed reports whether a wave has just passed.
func (t *tide) passed(sockets int, now time.Time) bool {
	if sockets != t.sockets {
		t.sockets, t.changed = sockets, now
		return false
	}
	wave := sockets - t.trimmed
	if wave < waveSockets && wave > -waveSockets || now.Sub(t.changed) < waveCalm || now.Sub(t.rested) < waveRest {
		return false
	}
	t.trimmed, t.rested = sockets, now
	return true
}

// trim gives back what is not in use.
func trim() {
	runtime.GC() // a collection halves a stack that is mostly unused: twice is from 8 KiB to 2
	debug.FreeOSMemory()
}
