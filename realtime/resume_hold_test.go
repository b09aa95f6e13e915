package realtime

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"roomlog/schema"
)

// queuedPush finds the event and the place that a push is about: its own seq, or
// the one that socket:resumed names.
var queuedPush = regexp.MustCompile(`"event":"([a-z:]+)"(?:[^{}]*"seq":|[^{}]*"data":\{"seq":|)(\d*)`)

// comingBack is a quiet socket of alice that is told what it missed.
func comingBack(h *hub) *recovery {
	s := quietSession("alice's phone")
	s.server = &Server{}
	s.identity.Store(&Identity{Actor: schema.Actor{ID: "alice"}})
	h.sockets[s.id] = s
	h.join(s, "user:alice", 0, 1)
	s.since, s.resuming = 5, &resume{limits: s.out.limits}
	return &recovery{session: s, user: "alice"}
}

func (h *hub) tellAlice(seq uint64) {
	h.deliver(seq, []delivery{{event: "post:like", seq: seq, rooms: []string{"user:alice"}, data: json.RawMessage(`{}`)}})
}

// queued returns the events and places of the pushes that wait to be written.
func (s *session) queuedPushes() string {
	if s.out.queued == nil {
		return ""
	}
	var all []string
	for _, push := range queuedPush.FindAllSubmatch(s.out.queued.bytes, -1) {
		all = append(all, fmt.Sprintf("%s %s", push[1], push[2]))
	}
	s.out.forget()
	return strings.Join(all, ", ")
}

// What is delivered while the last of the log is read waits for it.
func TestPushesAreHeldForASocketThatComesBack(t *testing.T) {
	s := &Server{hub: newHub()}
	c := comingBack(&s.hub)
	c.session.server = s
	s.hub.tellAlice(6)
	if live, _ := c.nowLive(5, 0); live {
		t.Fatal("live, though 6 was delivered and not told")
	}
	c.resuming.holding = true
	s.hub.tellAlice(7)
	s.hub.tellAlice(8)
	s.hub.deliver(0, []delivery{{event: "user:typing", rooms: []string{"user:alice"}, data: json.RawMessage(`{}`)}})
	if got := c.queuedPushes(); !strings.HasPrefix(got, "user:typing") || strings.Contains(got, "post:like") {
		t.Errorf("told %s meanwhile, want the signal alone", got)
	}
	if live, slow := c.nowLive(7, 2); !live || slow {
		t.Fatal("not live, though 8 is held")
	}
	s.hub.tellAlice(9)
	if got, want := c.queuedPushes(), "socket:resumed 7, post:like 8, post:like 9"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// Too much for the queue is not held: it is read from the log, in another round.
func TestTooMuchToHoldIsReadAgain(t *testing.T) {
	for name, limit := range map[string]func(*Config){
		"frames": func(c *Config) { c.MaxQueuedFrames = 8 },
		"bytes":  func(c *Config) { c.MaxQueuedBytes = 500 },
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{hub: newHub()}
			c := comingBack(&s.hub)
			c.session.server = s
			limit(c.out.limits)
			c.resuming.holding = true
			for seq := uint64(6); seq <= 20; seq++ {
				s.hub.tellAlice(seq)
			}
			if live, _ := c.nowLive(5, 0); live || len(c.resuming.held) != 0 {
				t.Errorf("live %v, %d held", live, len(c.resuming.held))
			}
			if live, _ := c.nowLive(20, 15); !live {
				t.Error("not live, though all was read")
			}
			if got := fmt.Sprint(c.queuedPushes()); !strings.HasPrefix(got, "socket:resumed") || strings.Contains(got, "post:like") {
				t.Errorf("told %s", got)
			}
		})
	}
}

// What was held may not fit any more: then the socket hears nothing that comes
// after what is missing, however soon its queue has room again.
func TestNothingFollowsAHeldPushThatDidNotFit(t *testing.T) {
	s := &Server{hub: newHub()}
	c := comingBack(&s.hub)
	c.session.server = s
	c.resuming.holding = true
	s.hub.tellAlice(6)
	s.hub.tellAlice(7)
	c.out.limits.MaxQueuedFrames = 2
	if live, slow := c.nowLive(5, 0); !live || !slow {
		t.Fatalf("live %v, slow %v, want both: 7 does not fit behind socket:resumed and 6", live, slow)
	}
	if got, want := c.queuedPushes(), "socket:resumed 5, post:like 6"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	s.hub.tellAlice(8)
	if got := c.queuedPushes(); got != "" {
		t.Errorf("told %s behind a gap", got)
	}
}
