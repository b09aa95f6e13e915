package realtime

import (
	"context"
	"sync"
)

// manyWriters is how many writers are started at once, some 200 µs' work. Ten thousand
// that are started at once are all before whatever is to be done next: every ack, and
// every other push, would wait for them.
const manyWriters = 64

// writers starts the writers of send queues, a few at a time: the next ones when those
// have begun. What is sent to one socket alone in the meantime starts its writer at
// once.
type writers struct {
	mu   sync.Mutex
	due  []*sendQueue  // each once, so that they are no more than sockets
	wake chan struct{} // has room for one: due is not empty
}

// start has the queues written that a delivery has listed.
func (w *writers) start(listed []*sendQueue) {
	if len(listed) <= manyWriters {
		for _, q := range listed {
			q.start(nil)
		}
		return
	}
	w.mu.Lock()
	w.due = append(w.due, listed...)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run starts writers until ctx ends.
func (w *writers) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for due := w.take(); len(due) > 0; due = w.take() {
			startInTurn(due)
		}
	}
}

func (w *writers) take() []*sendQueue {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.due
	w.due = nil
	return due
}

// startInTurn starts the writers of queues, and returns when all have begun.
func startInTurn(queues []*sendQueue) {
	for len(queues) > 0 {
		some := queues[:min(manyWriters, len(queues))]
		queues = queues[len(some):]
		var begun sync.WaitGroup
		for _, q := range some {
			q.start(&begun)
		}
		begun.Wait()
	}
}
