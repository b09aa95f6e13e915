package realtime

import (
	"context"
	"sync/atomic"
)

// turns bound what is done for all clients at one time.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int32 // sockets, of which each waits for one turn at a time
}

// take waits for a turn. It returns false when ctx ends first.
func (t *turns) take(ctx context.Context) bool {
	select {
	case t.slots <- struct{}{}:
		return true
	default:
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	select {
	case t.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *turns) end() { <-t.slots }
