package eventlog

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// Limits of what waits for the committer, and of one group commit. Measured: a
// group of 1000 already costs little more a record than one of 8000, and its
// senders wait an eighth of the time.
const (
	maxQueued      = 8192
	maxQueuedBytes = 16 << 20
	maxGroup       = 1024
	maxGroupBytes  = 4 << 20
)

// entry is a record on its way into the log.
type entry struct {
	record Record
	msg    *nats.Msg
	size   int
	done   func(seq uint64, err error)

	acked     bool // the server has stored it; seq is set
	duplicate bool // under an earlier publish
	err       error
}

// queue is the bounded pool between Append and the committer.
type queue struct {
	mu      sync.Mutex
	entries []*entry
	bytes   int
	closed  bool

	filled chan struct{} // has room for one: there may be something to take
	drawn  chan struct{} // closed and made anew when entries were taken
}

func newQueue() *queue {
	return &queue{filled: make(chan struct{}, 1), drawn: make(chan struct{})}
}

// put adds an entry. It blocks while the queue is full.
func (q *queue) put(ctx context.Context, e *entry) error {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return unavailable(ErrClosed)
		}
		if len(q.entries) < maxQueued && q.bytes+e.size <= maxQueuedBytes {
			q.entries = append(q.entries, e)
			q.bytes += e.size
			q.mu.Unlock()
			q.wake()
			return nil
		}
		drawn := q.drawn
		q.mu.Unlock()
		select {
		case <-drawn:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take removes the oldest entries, at least one. It returns nil when the queue is
// closed and empty.
func (q *queue) take() []*entry {
	for {
		q.mu.Lock()
		if n, bytes := q.group(); n > 0 {
			group := q.entries[:n:n]
			q.entries = q.entries[n:]
			q.bytes -= bytes
			close(q.drawn)
			q.drawn = make(chan struct{})
			more := len(q.entries) > 0 || q.closed
			q.mu.Unlock()
			if more {
				q.wake()
			}
			return group
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil
		}
		<-q.filled
	}
}

// group says how many entries the next group commit takes, and their bytes.
func (q *queue) group() (n, bytes int) {
	for n < len(q.entries) && n < maxGroup && (n == 0 || bytes+q.entries[n].size <= maxGroupBytes) {
		bytes += q.entries[n].size
		n++
	}
	return n, bytes
}

// waiting returns how many entries wait, and their bytes.
func (q *queue) waiting() (entries, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries), q.bytes
}

// close lets no more in; what is in can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	close(q.drawn)
	q.drawn = make(chan struct{})
	q.mu.Unlock()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}
