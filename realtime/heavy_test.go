package realtime

import (
	"testing"

	"github.com/gobwas/ws"
)

// What waits for slow sockets is bounded for all of them together: the more there are,
// the less each may have, and who has little is left alone.
func TestSlowSocketsShareTheMemory(t *testing.T) {
	const all = 64 * lightQueue
	cfg := Defaults()
	cfg.MaxQueuedBytes, cfg.MaxQueuedBytesInAll, cfg.MaxQueuedFrames = all/4, all, 1<<20
	together := new(heavy)
	queue := func() *sendQueue { return &sendQueue{limits: &cfg, heavy: together, writing: true} }
	slow := make([]*sendQueue, 15)
	for i := range slow {
		slow[i] = queue()
	}
	frame := make([]byte, 1000)
	fill := func(queues []*sendQueue) {
		for more := true; more; {
			more = false
			for _, q := range queues {
				more = q.send(ws.OpText, frame) || more
			}
		}
	}
	fill(slow[:1])
	if got := slow[0].waiting.bytes; got < all/4-2*len(frame) || got > all/4 {
		t.Errorf("one slow socket has %d bytes, want its own limit of %d", got, all/4)
	}
	fill(slow)
	if got := together.bytes.Load(); got > all {
		t.Errorf("all together have %d bytes, of at most %d", got, all)
	}
	if got := slow[14].waiting.bytes; got < lightQueue-2*len(frame) || got > all/10 {
		t.Errorf("one of many slow sockets has %d bytes", got)
	}
	light := queue()
	for light.waiting.bytes+2*len(frame) < lightQueue {
		if !light.send(ws.OpText, frame) {
			t.Fatalf("a socket with %d bytes is too slow", light.waiting.bytes)
		}
	}
	for _, q := range slow {
		q.seal(nil, nil, true)
	}
	if got := together.bytes.Load(); got != 0 {
		t.Errorf("when all is dropped %d bytes are left", got)
	}
}
