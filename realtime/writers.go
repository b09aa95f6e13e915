package realtime

import (
	"context"
	"slices"
	"sync"
)

// manyWriters is how many writers are started at once, a millisecond's work. Ten thousand
// that are started at once are all before whatever is to be done next: every ack, and
// every other push, would wait for them.
const manyWriters = 256

// writers starts the writers of send queues, some at a time: the next ones when those
// have begun. What is sent to one socket alone in the meantime starts its writer at
// once.
type writers struct {
	mu   sync.Mutex
	due  []*starts     // a queue is in one of them, so that they are no more than sockets
	wake chan struct{} // has room for one: due is not empty
}

// starts are queues whose writers somebody is to start. They are used again and again,
// for a delivery may list thousands.
type starts struct{ queues []*sendQueue }

var lists = sync.Pool{New: func() any { return new(starts) }}

func (l *starts) add(q *sendQueue) { l.queues = append(l.queues, q) }

func (l *starts) free() {
	clear(l.queues)
	l.queues = l.queues[:0]
	lists.Put(l)
}

// start has the queues written that a delivery has listed, and frees the list.
func (w *writers) start(l *starts) {
	if len(l.queues) <= manyWriters {
		for _, q := range l.queues {
			q.start(nil)
		}
		l.free()
		return
	}
	w.mu.Lock()
	w.due = append(w.due, l)
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
			for _, l := range due {
				l.startInTurn()
				l.free()
			}
		}
	}
}

func (w *writers) take() []*starts {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.due
	w.due = nil
	return due
}

func (w *writers) count() (queues int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.due {
		queues += len(l.queues)
	}
	return queues
}

// startInTurn starts the writers of queues, and returns when all have begun.
func (l *starts) startInTurn() {
	for some := range slices.Chunk(l.queues, manyWriters) {
		var begun sync.WaitGroup
		begun.Add(len(some))
		for _, q := range some {
			q.start(&begun)
		}
		begun.Wait()
	}
}
