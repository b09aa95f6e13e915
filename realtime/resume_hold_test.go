package realtime

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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
	h.begin(seq)
	h.deliver(seq, []delivery{{event: "post:like", seq: seq, rooms: []string{"user:alice"}, data: json.RawMessage(`{}`)}}, nil)
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
	s.hub.deliver(0, nil, nil) // signals have no place, and change nothing about it
	if live, _ := c.nowLive(&missed{upTo: 5}, 0); live {
		t.Fatal("live, though 6 was delivered and not told")
	}
	c.resuming.holding = true
	s.hub.tellAlice(7)
	s.hub.tellAlice(8)
	s.hub.deliver(0, []delivery{{event: "user:typing", rooms: []string{"user:alice"}, data: json.RawMessage(`{}`)}}, nil)
	if got := c.queuedPushes(); !strings.HasPrefix(got, "user:typing") || strings.Contains(got, "post:like") {
		t.Errorf("told %s meanwhile, want the signal alone", got)
	}
	if live, slow := c.nowLive(&missed{upTo: 7}, 2); !live || slow {
		t.Fatal("not live, though 8 is held")
	}
	s.hub.tellAlice(9)
	if got, want := c.queuedPushes(), "socket:resumed 7, post:like 8, post:like 9"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// Whom a post is told, of those who are connected, has been looked up when someone comes
// who heard everything up to the post: they are not live before they have read of it.
func TestWhoComesBetweenLookingUpAndTellingReadsOn(t *testing.T) {
	s := &Server{hub: newHub()}
	s.hub.begin(6)
	c := comingBack(&s.hub)
	c.session.server = s
	if live, _ := c.nowLive(&missed{upTo: 5}, 0); live {
		t.Fatal("live, though 6 is told to those only who were here when it was looked up who follows")
	}
	c.resuming.holding = true
	s.hub.deliver(6, nil, nil) // to followers, but not to alice
	if live, slow := c.nowLive(&missed{upTo: 6}, 1); !live || slow {
		t.Fatal("not live, though 6 was read")
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
			if live, _ := c.nowLive(&missed{upTo: 5}, 0); live || len(c.resuming.held) != 0 {
				t.Errorf("live %v, %d held", live, len(c.resuming.held))
			}
			if live, _ := c.nowLive(&missed{upTo: 20}, 15); !live {
				t.Error("not live, though all was read")
			}
			if got := fmt.Sprint(c.queuedPushes()); !strings.HasPrefix(got, "socket:resumed") || strings.Contains(got, "post:like") {
				t.Errorf("told %s", got)
			}
		})
	}
}

// Not all that waits may fit: then the socket hears what comes first, and nothing that
// comes after what is missing, however soon its queue has room again.
func TestNothingFollowsAPushThatDidNotFit(t *testing.T) {
	waiting := []string{"user:typing ", "notification:count ", "socket:resumed 5", "post:like 6", "post:like 7"}
	for _, all := range [][]string{waiting, waiting[:3]} {
		seen := map[int]bool{}
		for bytes := 0; bytes < 1500; bytes += 10 {
			s := &Server{hub: newHub()}
			c := comingBack(&s.hub)
			c.session.server, c.chosen = s, bitOf(schema.Notifications)
			c.resuming.holding = true
			s.hub.deliver(0, []delivery{{event: "user:typing", rooms: []string{"user:alice"}, data: json.RawMessage(`{}`)}}, nil)
			for seq := range len(all) - 3 {
				s.hub.tellAlice(6 + uint64(seq))
			}
			c.out.limits.MaxQueuedBytes = bytes
			live, slow := c.nowLive(&missed{upTo: 5}, 0)
			told := c.queuedPushes()
			fits := 1 // whatever its size
			for fits < len(all) && told != strings.Join(all[:fits], ", ") {
				fits++
			}
			if told != strings.Join(all[:fits], ", ") || !live || slow != (fits < len(all)) {
				t.Fatalf("%d bytes: told %s, live %v, slow %v", bytes, told, live, slow)
			}
			seen[fits] = true
			if s.hub.tellAlice(8); slow && c.queuedPushes() != "" {
				t.Errorf("%d bytes: told more behind a gap", bytes)
			}
		}
		if len(seen) != len(all) {
			t.Errorf("of the pushes fit %v", slices.Sorted(maps.Keys(seen)))
		}
	}
}

// A user is told so much again in a minute, whichever of their sockets asks: then no
// more until it is over. Of one who has not been here there is nothing to count.
func TestAUserHasABudgetOfWhatIsToldAgain(t *testing.T) {
	h := newHub()
	const budget = 100
	begin := time.Now()
	if may, greedy := h.mayResume("alice", 10*budget, budget, begin); !may || greedy {
		t.Errorf("of a user who was away: may %v, greedy %v", may, greedy)
	}
	h.users["alice"] = new(user)
	for _, step := range []struct {
		after       time.Duration
		pushes      int
		may, greedy bool
	}{
		{0, lightResume, true, false},
		{time.Second, 1, true, false},
		{30 * time.Second, budget - lightResume - 1, true, true},
		{time.Minute, 1, false, true},
		{time.Minute + time.Second, budget, true, false},
		{2 * time.Minute, 1, false, true},
		{3 * time.Minute, 1, true, false},
	} {
		if may, greedy := h.mayResume("alice", step.pushes, budget, begin.Add(step.after)); may != step.may || greedy != step.greedy {
			t.Errorf("after %v: may %v, greedy %v; want %v, %v", step.after, may, greedy, step.may, step.greedy)
		}
	}
}
