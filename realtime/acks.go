package realtime

import (
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// acks are the facts of this server's sockets that the log has taken or is about
// to take and that Deliver has not brought back yet, by record id. A socket has
// at most Config.MaxFactsInFlight of them, and all together what the gate lets in.
type acks struct {
	gate
	waiting map[string]waitingAck // guarded by the gate's mu, and so is
	none    chan struct{}         // closed when waiting becomes empty; nil while nobody asks
}

type waitingAck struct {
	session *session
	id      json.RawMessage // of the frame; nil: no ack is wanted
	event   string
	began   time.Time
	bytes   int // of the record's data
}

// add lets a fact in. It returns for how long its sender is to wait if that is too
// much, 0 if it is in, and how many wait now.
func (a *acks) add(record string, w waitingAck) (waiting int, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait = a.enter(&w.session.sender.facts, w.bytes, w.began); wait == 0 {
		a.waiting[record] = w
	}
	return len(a.waiting), wait
}

func (a *acks) take(record string) (waitingAck, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ok := a.waiting[record]
	if ok {
		delete(a.waiting, record)
		a.leave(&w.session.sender.facts, w.bytes)
	}
	if len(a.waiting) == 0 && a.none != nil {
		close(a.none)
		a.none = nil
	}
	return w, ok
}

func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting)
}

// answered tells the gate how many facts Deliver brought back.
func (a *acks) answered(n int) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.did(n, now)
}

// whenNone returns a channel that is closed when no fact waits.
func (a *acks) whenNone() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none == nil {
		a.none = make(chan struct{})
	}
	none := a.none
	if len(a.waiting) == 0 {
		close(a.none)
		a.none = nil
	}
	return none
}

// Deliver acks and pushes what the projections made of a batch of records, in
// order. It is projections.Config.Deliver; it never waits for a socket. It may
// be called before Serve and after it.
func (s *Server) Deliver(batch []projections.Applied) {
	s.circles.mu.Lock()
	defer s.circles.mu.Unlock()
	if len(batch) > 0 {
		s.hub.begin(batch[len(batch)-1].Record.Seq)
	}
	audience := s.audienceOf(batch)
	var pushes []delivery
	ours := 0
	for i := range batch {
		r, o := &batch[i].Record, &batch[i].Outcome
		if w, ok := s.acks.take(r.ID); ok {
			ours++
			w.settle(r, o)
		}
		pushes = pushes[:0]
		for j := range o.Pushes {
			p := &o.Pushes[j]
			rooms, users, except := audience.of(p, r.Seq)
			pushes = append(pushes, delivery{
				event:   p.Event,
				seq:     r.Seq,
				at:      r.Time,
				data:    p.Data,
				rooms:   rooms,
				users:   users,
				origin:  r.Socket,
				own:     p.Own,
				actor:   r.Actor.ID,
				except:  setOf(except),
				evicted: p.Evicted,
				closed:  p.Closed,

				suspended: p.Suspended,
			})
			pushes[j].lookedFor(len(o.Notes))
		}
		s.deliver(r.Seq, pushes, notesOf(r, o.Notes))
	}
	s.acks.answered(ours)
}

// deliver pushes what a record at seq, or a signal (0), tells.
func (s *Server) deliver(seq uint64, pushes []delivery, notes []note) {
	out := s.hub.deliver(seq, pushes, notes)
	s.writers.start(out.starts)
	s.metrics.pushes.Add(float64(out.count))
	for _, session := range out.slow {
		session.tooSlow()
	}
	for _, session := range out.suspended {
		session.close(schema.CloseSuspended)
		s.audit.note(schema.AuditSuspended, auditEntry{User: session.userID(), Socket: session.id, Code: string(schema.Suspended)})
	}
}

// settle answers a fact whose place in the log is decided.
func (w *waitingAck) settle(r *eventlog.Record, o *projections.Outcome) {
	c := call{session: w.session, id: w.id, event: w.event, began: w.began}
	w.session.unacked.Add(-1) // before the client can know of it and send the next
	c.outcome(r.Seq, o)
	w.session.server.metrics.acked(time.Since(w.began))
	w.session.landed()
}

// failed answers a fact that the log did not take, with what the log says of it to
// clients.
func (w *waitingAck) failed(err error) {
	c := call{session: w.session, id: w.id, event: w.event, began: w.began}
	level := slog.LevelError
	if known := new(schema.Error); errors.As(err, &known) && known.Temporary {
		level = slog.LevelDebug // the log has said why, once and not for every client
	}
	w.session.server.log.Log(w.session.server.ctx, level, "append", "event", w.event, "error", err)
	var known *schema.Error
	if !errors.As(err, &known) {
		known = schema.NewError(schema.LogUnavailable, "")
	}
	w.session.unacked.Add(-1)
	c.fail(known)
	w.session.landed()
}

// landed notes that one fact less is in flight. The last one of a draining socket
// closes it.
func (s *session) landed() {
	if s.inFlight.Add(-1) > 0 {
		return
	}
	if waiting := s.waiting.Swap(nil); waiting != nil {
		close(*waiting)
	}
	if s.draining.Load() {
		s.closeAfter(schema.CloseShuttingDown, comeBackAfter())
	}
}

// waitForFacts returns when none of the socket's facts is in flight, or the
// server ends. Only the goroutine that carries out the socket's commands calls
// it, so that none is added meanwhile.
func (s *session) waitForFacts() {
	if s.inFlight.Load() == 0 {
		return
	}
	waiting := make(chan struct{})
	s.waiting.Store(&waiting)
	if s.inFlight.Load() == 0 { // it landed before it could see waiting
		s.waiting.Store(nil)
		return
	}
	select {
	case <-waiting:
	case <-s.server.ctx.Done():
	}
}
