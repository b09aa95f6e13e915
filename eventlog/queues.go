package eventlog

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// Queue says how much waits in one of the places where load gathers, for the metrics:
// every such place has a bound.
type Queue struct {
	Name          string
	Length, Bound int // in what the queue counts
}

// maxInbox is how many signals wait for one OnSignal; with more the server drops some
// for it, which are in the stream all the same.
const maxInbox = 4096

// Queues returns what waits in this process: records for the committer, in number and
// in bytes, and signals for who listens to them. What is committed waits in the log.
func (l *Log) Queues() []Queue {
	records, bytes := l.queue.waiting()
	return []Queue{
		{"log", records, maxQueued},
		{"log_bytes", bytes, maxQueuedBytes},
		{"signals", l.inboxes.longest(), maxInbox},
	}
}

// inboxes are the signals that wait, for each OnSignal its own.
type inboxes struct {
	mu   sync.Mutex
	open map[chan *nats.Msg]bool
}

func (i *inboxes) add() chan *nats.Msg {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.open == nil {
		i.open = make(map[chan *nats.Msg]bool)
	}
	inbox := make(chan *nats.Msg, maxInbox)
	i.open[inbox] = true
	return inbox
}

func (i *inboxes) remove(inbox chan *nats.Msg) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.open, inbox)
}

func (i *inboxes) longest() (length int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for inbox := range i.open {
		length = max(length, len(inbox))
	}
	return length
}
