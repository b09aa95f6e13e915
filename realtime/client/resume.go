package client

import (
	"encoding/json"
	"fmt"
	"slices"

	"roomlog/schema"
)

// The functions of this file are called from the reading goroutine of the present
// connection, in the order of its frames.

// connected takes the ack of socket:connect.
func (s *Session) connected(c *Client) {
	a := &c.connected
	s.mu.Lock()
	asked := s.cursor.Epoch != ""
	s.user, s.maxFrame = a.User, c.hello.MaxFrameBytes
	if asked && a.Resumed {
		// The cursor stays: pushes and socket:resumed move it on.
		s.rooms = slices.DeleteFunc(s.rooms, func(room string) bool { return !slices.Contains(a.Rooms, room) })
		s.missedAt = s.cursor.Seq
		s.mu.Unlock()
		s.tell(State{Status: CatchingUp, From: s.missedAt, Seq: a.Seq})
		return
	}
	s.cursor = schema.LogPosition{Epoch: c.hello.Log.Epoch, Seq: a.Seq}
	s.owed, s.live = asked, true
	s.rejoin(a.Rooms)
	s.mu.Unlock()
	if !asked {
		s.tell(State{Status: Connected, Seq: a.Seq})
	}
}

// pushed takes a push. An error ends the connection, not the session.
func (s *Session) pushed(f schema.Frame) error {
	switch f.Event {
	case "socket:hello", "socket:disconnect":
		return nil
	case "socket:resumed":
		return s.resumed(f)
	case "socket:resync":
		var r schema.Resync
		if err := json.Unmarshal(f.Data, &r); err != nil {
			return fmt.Errorf("reading socket:resync: %w", err)
		}
		s.resynced(r)
		return nil
	}
	if f.Seq != 0 {
		if err := s.advance(f.Seq, true); err != nil {
			return err
		}
	}
	if s.o.OnPush != nil {
		s.o.OnPush(f)
	}
	return nil
}

// advance moves the cursor. Every push of a record is after all that was heard
// before: if not, the server sends something twice or has sent something too
// late, and another connection can tell what was missed.
func (s *Session) advance(seq uint64, push bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq < s.cursor.Seq || push && seq == s.cursor.Seq {
		return fmt.Errorf("the server sent a push of record %d after record %d", seq, s.cursor.Seq)
	}
	s.cursor.Seq = seq
	return nil
}

func (s *Session) resumed(f schema.Frame) error {
	var r schema.Resumed
	if err := json.Unmarshal(f.Data, &r); err != nil {
		return fmt.Errorf("reading socket:resumed: %w", err)
	}
	if err := s.advance(r.Seq, false); err != nil {
		return err
	}
	s.mu.Lock()
	s.live = true
	s.mu.Unlock()
	s.rouse()
	s.tell(State{Status: CaughtUp, From: s.missedAt, Seq: r.Seq, Count: r.Count})
	return nil
}

// resynced lets the app know that it has to read again. Pushes of records after
// r.Seq may have come already. When socket:resync was lost with its connection,
// the session goroutine calls it instead.
func (s *Session) resynced(r schema.Resync) {
	s.mu.Lock()
	s.owed = false
	s.cursor.Seq = max(s.cursor.Seq, r.Seq)
	s.mu.Unlock()
	s.tell(State{Status: Resynced, Seq: r.Seq})
	if s.o.OnResync != nil {
		s.o.OnResync(r)
	}
}

func (s *Session) tell(st State) {
	if s.o.OnState != nil {
		s.o.OnState(st)
	}
}
