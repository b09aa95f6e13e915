package realtime

import (
	"context"
	"errors"
	"sync"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// A moderator's socket may follow the log. Who reads slowly costs their place in it
// and one chunk of frames: the rest stays in the log until there is room in the
// socket's queue, half of which is left to its other frames.
const (
	tailChunk = 256       // records that are read at a time
	tailBytes = 128 << 10 // after so much matching data no further record is read
)

// tails are the sockets that follow the log. At most one of them reads it at a time:
// all together take one core, however much there is to follow, from those who send.
type tails struct {
	reading turns

	mu   sync.Mutex
	open map[*session]*tail
}

// tail is one socket that follows the log, from next on.
type tail struct {
	*session
	filter schema.TailFilter
	next   uint64
	end    context.CancelFunc
	ended  chan struct{} // closed when its goroutine is done
}

// followLog carries out admin:tail.
func followLog(s *session, c *call, p *schema.AdminTail) {
	server := s.server
	if p.Filter != nil {
		if refusal := p.Filter.Check(); refusal != nil {
			c.fail(refusal)
			return
		}
	}
	server.tails.stop(s)
	if p.Filter != nil && !server.tails.start(s, *p.Filter, c) {
		c.fail(schema.NewError(schema.TooManyTails, ""))
		return
	}
	s.record("admin:tail", schema.UserRoom(s.userID()), p)
	if p.Filter == nil {
		c.ok(nil)
	}
}

// start lets a socket follow the log from where the read models stand now, and acks
// that before the first record. It returns false when enough sockets do.
func (ts *tails) start(s *session, filter schema.TailFilter, c *call) bool {
	server := s.server
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.open) >= server.cfg.MaxTails {
		return false
	}
	ctx, end := context.WithCancel(server.ctx)
	t := &tail{session: s, filter: filter, next: server.cfg.Models.Applied() + 1, end: end, ended: make(chan struct{})}
	ts.open[s] = t
	c.ok(nil)
	server.sockets.Go(func() {
		defer close(t.ended)
		defer end()
		if err := t.follow(ctx); ctx.Err() == nil && !errors.Is(err, errGone) {
			server.log.Error("following the log for a moderator", "error", err)
			s.close(schema.CloseTooSlow) // a tail with a hole is none: it may come back
		}
	})
	return true
}

// stop ends the tail of a socket, if it has one, and returns when nothing more comes
// of it.
func (ts *tails) stop(s *session) {
	ts.mu.Lock()
	t := ts.open[s]
	ts.mu.Unlock()
	if t == nil {
		return
	}
	t.end()
	<-t.ended
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.open[s] == t {
		delete(ts.open, s)
	}
}

func (ts *tails) count() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.open)
}

// follow tells the socket of each record that matches, once it is applied.
func (t *tail) follow(ctx context.Context) error {
	for {
		if err := t.server.cfg.Models.WaitApplied(ctx, t.next); err != nil {
			return err
		}
		frames, err := t.read(ctx)
		if err != nil {
			return err
		}
		for i := range frames {
			if err := t.sendWithRoom(ctx, &frames[i]); err != nil {
				return err
			}
		}
	}
}

// read reads the next applied records and encodes those that match.
func (t *tail) read(ctx context.Context) ([]pushFrame, error) {
	server := t.server
	if !server.tails.reading.take(ctx) {
		return nil, errGone
	}
	defer server.tails.reading.end()
	to := min(server.cfg.Models.Applied(), t.next+tailChunk-1)
	var records []eventlog.Record
	size := 0
	for r, err := range server.cfg.Log.Read(ctx, t.next, to) {
		if err != nil {
			return nil, err
		}
		if r.Err != nil || !t.filter.Matches(r.Event, r.Actor.ID, r.Entity) {
			continue
		}
		records = append(records, r)
		if size += len(r.Data); size > tailBytes {
			to = r.Seq
			break
		}
	}
	t.next = to + 1
	if len(records) == 0 {
		return nil, nil
	}
	frames := make([]pushFrame, len(records))
	return frames, server.cfg.Models.View(func(v *projections.View) error {
		for i := range records {
			frames[i] = tailFrame(&records[i], v.Outcome(records[i].Seq))
		}
		return nil
	})
}

// tailFrame has no seq of its own: what a tail tells is no place to resume from.
func tailFrame(r *eventlog.Record, code schema.Code) pushFrame {
	data := mustJSON(schema.AdminRecord{
		Seq: r.Seq, Time: r.Time, Event: r.Event, Actor: r.Actor, Entity: r.Entity, Code: code, Data: r.Data,
	})
	return pushFrame{head: newPushHead("admin:record", "", 0), tail: newPushTail(r.Time, data)}
}
