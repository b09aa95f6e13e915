package realtime

import (
	"sync"
	"sync/atomic"
)

// maxIdleWorkers is how many workers wait for the next command; more exist only
// while more commands are being carried out.
const maxIdleWorkers = 64

// workers carry out commands on goroutines of their own. Parsing and reading the
// models needs a deep stack, and a goroutine's stack, once grown, shrinks only
// slowly: this way the thousands of goroutines that wait for sockets never grow
// theirs, and the few deep stacks are used again and again.
type workers struct {
	tasks   chan *task
	all     atomic.Int32
	idle    atomic.Int32
	running sync.WaitGroup
}

type task struct {
	session *session
	message *buffer
	done    chan struct{}
}

var tasks = sync.Pool{New: func() any { return &task{done: make(chan struct{}, 1)} }}

// do carries out one message of a session and returns when it is done.
func (w *workers) do(s *session, message *buffer) {
	t := tasks.Get().(*task)
	t.session, t.message = s, message
	select {
	case w.tasks <- t:
	default:
		w.running.Go(func() { w.work(t) })
	}
	<-t.done
	t.session, t.message = nil, nil
	tasks.Put(t)
}

func (w *workers) work(t *task) {
	w.all.Add(1)
	defer w.all.Add(-1)
	for {
		t.session.handle(t.message)
		t.message.free()
		t.done <- struct{}{}
		if w.idle.Add(1) > maxIdleWorkers {
			w.idle.Add(-1)
			return
		}
		next, more := <-w.tasks
		w.idle.Add(-1)
		if !more {
			return
		}
		t = next
	}
}

// busy returns how many commands are being carried out.
func (w *workers) busy() int { return max(0, int(w.all.Load()-w.idle.Load())) }

// stop ends the idle workers and waits for all; do must not be called any more.
func (w *workers) stop() {
	close(w.tasks)
	w.running.Wait()
}
