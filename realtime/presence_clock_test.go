package realtime

import (
	"testing"
	"time"

	"roomlog/schema"
)

// Whose grace period is over is gone, also when the clock is set back before others are
// told: there is nobody who would look again.
func TestAClockSetBackKeepsNobodyOnline(t *testing.T) {
	s := &Server{hub: newHub(), presence: newPresence(), cfg: Defaults()}
	now := time.Now()
	s.arrive(schema.Actor{ID: "alice"}, &room{name: "user:alice"})
	if told := s.presenceNews(now); len(told) != 1 || told[0].event != userOnline {
		t.Fatalf("told: %+v", told)
	}
	s.depart("alice", schema.TimeOf(now))
	s.endGrace(schema.TimeOf(now.Add(s.cfg.PresenceGrace)))
	if told := s.presenceNews(now.Add(-time.Hour)); len(told) != 1 || told[0].event != userOffline {
		t.Errorf("told: %+v", told)
	}
	if s.hub.hasUser("alice") {
		t.Error("alice is online for ever")
	}
}
