package realtime

import (
	"context"
	"runtime"
	"slices"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// retell sends what the records tell the client, and returns how many pushes that
// were. It waits for the client to read, but holds nothing meanwhile that others
// wait for.
func (c *recovery) retell(m *missed) (told int, err error) {
	seqs := m.Seqs
	light := !c.greedy && len(seqs) <= lightResume || c.server.cfg.RateEvents == 0
	for len(seqs) > 0 {
		var frames []pushFrame
		read := func() { frames, seqs, err = c.retold(seqs, m.Notified) }
		switch {
		case light:
			read()
		case !c.server.inTurn(read, func() {}):
			err = errGone
		}
		if err != nil {
			return told, err
		}
		if err := c.sendAll(frames); err != nil {
			return told, err
		}
		told += len(frames)
	}
	return told, nil
}

// sendAll sends a chunk, which is counted until it is queued.
func (c *recovery) sendAll(frames []pushFrame) error {
	size := 0
	for i := range frames {
		size += len(frames[i].head) + len(frames[i].tail)
	}
	c.server.retold.Add(int64(size))
	defer c.server.retold.Add(-int64(size))
	for i := range frames {
		if err := c.sendWithRoom(c.server.ctx, &frames[i]); err != nil {
			return err
		}
	}
	return nil
}

// sendWithRoom queues a push when there is room for it. It returns errGone when the
// socket closes first, or ctx ends.
func (s *session) sendWithRoom(ctx context.Context, f *pushFrame) error {
	for again := s.out.offer(f); again != nil; again = s.out.offer(f) {
		select {
		case <-again:
		case <-ctx.Done():
			return errGone
		}
	}
	if s.out.isSealed() {
		return errGone
	}
	return nil
}

// retold reads the first of some records from the log and encodes what they tell
// the client. It returns which are left.
func (c *recovery) retold(seqs []uint64, notified map[uint64]bool) (_ []pushFrame, left []uint64, err error) {
	server := c.server
	if !server.retelling.take(server.ctx) {
		return nil, nil, errGone
	}
	defer server.retelling.end()
	chunk, left := seqs[:min(resumeChunk, len(seqs))], seqs[min(resumeChunk, len(seqs)):]
	records := make([]eventlog.Record, 0, len(chunk))
	size, most := 0, min(resumeBytes, max(leastChunkBytes, maxRetoldBytes-int(server.retold.Load())))
	for r, err := range server.cfg.Log.Pick(server.ctx, chunk) {
		if err != nil {
			return nil, nil, err
		}
		records = append(records, r)
		if size += len(r.Data); size > most {
			next, _ := slices.BinarySearch(seqs, r.Seq+1)
			left = seqs[next:]
			break
		}
	}
	frames := make([]pushFrame, 0, len(records))
	err = server.cfg.Models.View(func(v *projections.View) error {
		for i := range records {
			r := &records[i]
			main, ok := pushFrame{}, false
			if !notified[r.Seq] {
				main, ok = c.again(v, r)
			}
			frames = c.notesAgain(v, frames, r, !ok)
			if ok {
				frames = append(frames, main)
			}
			runtime.Gosched() // a chunk takes milliseconds, which live commands do not have
		}
		return nil
	})
	return frames, left, err
}

// again is the push of a record, if the client is still to be told it.
func (c *recovery) again(v *projections.View, r *eventlog.Record) (f pushFrame, ok bool) {
	p, ok := v.Retell(*r)
	room := c.roomOf(&p)
	if !ok || !c.chosen.hear(p.Event, room) {
		return f, false
	}
	if room != schema.RoomAdmin && (slices.Contains(p.Except, c.user) || v.Blocked(c.user, p.Apart)) {
		return f, false
	}
	data := p.Data
	if p.Own != nil && (r.Actor.ID == c.user || room == schema.RoomAdmin) {
		data = p.Own
	}
	return pushFrame{head: newPushHead(p.Event, room, r.Seq), tail: newPushTail(r.Time, data)}, true
}

// notesAgain adds the notifications that a record made for the user, as far as they
// are there. The last one carries the place when nothing of the record follows.
func (c *recovery) notesAgain(v *projections.View, frames []pushFrame, r *eventlog.Record, last bool) []pushFrame {
	room := schema.UserRoom(c.user)
	if !c.chosen.hear(newNote, room) {
		return frames
	}
	notes := v.NotesOf(c.user, *r)
	for i := range notes {
		seq := uint64(0)
		if last && i == len(notes)-1 {
			seq = r.Seq
		}
		frames = append(frames, *noteFrame(newNote, room, seq, r.Time, schema.NotificationNew{Notification: notes[i]}))
	}
	return frames
}

// roomOf returns the first of a push's rooms (see inOrder) that the client was in: if
// none, it was told in its user's.
func (c *recovery) roomOf(p *projections.Push) string {
	own := ownRooms(c.user, c.chosen)
	for _, room := range inOrder(p.Rooms) {
		if slices.Contains(own, room) || slices.Contains(c.asked, room) {
			return room
		}
	}
	return own[0]
}
