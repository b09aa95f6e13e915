package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

const (
	honestUsers = 50
	circleSize  = 10 // of those who share a conversation and gather around a post
	// honestPace is between two facts of a user: three in two seconds, as many as the
	// limits on a socket and a user let them go on with for ever.
	honestPace = time.Second * 2 / 3
	// swarmMarker is in all that the honest ones say in their conversations.
	swarmMarker = "between-you-and-me"
)

// circle is a conversation and a post, and the honest users there.
type circle struct {
	swarmTarget
	users []*honest
}

// honest is a user who says things at set times and listens.
type honest struct {
	t      *testing.T
	name   string
	circle *circle
	conn   *client.Client
	said   int // facts sent; the talking goroutine's

	mu     sync.Mutex
	acked  map[string]uint64 // content → place in the log
	heard  []uint64          // places of the messages and comments heard, in order
	waits  []wait4ack
	silent sync.WaitGroup // facts that wait for their acks
}

// wait4ack is how long after the time at which a fact was due its ack came.
type wait4ack struct {
	due  time.Time
	took time.Duration
}

// gather makes the honest users, at home each at an address of their own, and their
// circles, with some moles in each, who are let into the conversation.
func gather(t *testing.T, s *serverProcess) []*circle {
	t.Helper()
	var circles []*circle
	for i := range honestUsers {
		if i%circleSize == 0 {
			circles = append(circles, &circle{})
		}
		c := circles[len(circles)-1]
		h := &honest{t: t, name: fmt.Sprintf("honest-%d", i), circle: c, acked: make(map[string]uint64)}
		c.users = append(c.users, h)
		h.conn = s.dial(h.name, client.Options{
			HTTPHeader: http.Header{"X-Forwarded-For": {fmt.Sprintf("192.0.2.%d", i+1)}},
			OnPush:     h.hear,
		})
	}
	for i, c := range circles {
		c.open(i, len(circles))
	}
	return circles
}

// open makes the conversation and the post, and fills the former with what the
// stalling ones will ask for.
func (c *circle) open(number, circles int) {
	host := c.users[0]
	c.User = host.name
	create := schema.ConversationCreate{Type: schema.ConversationGroup, Name: "Friends"}
	for _, h := range c.users[1:] {
		create.Participants = append(create.Participants, h.name)
	}
	for mole := number; mole < moles; mole += circles {
		create.Participants = append(create.Participants, fmt.Sprintf("mole-%d", mole))
	}
	c.Conversation = as[schema.ConversationCreated](host, "conversation:create", create).Conversation.ID
	c.Post = as[schema.PostCreated](host, "post:create", schema.PostCreate{Content: "All welcome"}).Post.ID
	long := strings.Repeat(swarmMarker+" ", 3900/len(swarmMarker+" "))
	for _, h := range c.users {
		do(h.t, h.conn, "message:join", schema.ConversationRef{ConversationID: c.Conversation})
		do(h.t, h.conn, "post:join", schema.PostRef{PostID: c.Post})
	}
	for _, h := range c.users {
		for i := range 10 {
			h.message(fmt.Sprint(long, h.name, i), time.Now())
		}
		h.comment(h.name+" was here", time.Now())
	}
	for _, h := range c.users {
		h.silent.Wait()
	}
	c.Message = as[schema.Items[schema.Message]](host, "message:list", schema.MessageList{ConversationID: c.Conversation}).Items[0].ID
	c.Comment = as[schema.Items[schema.Comment]](host, "comment:list", schema.CommentList{PostID: c.Post}).Items[0].ID
	c.Notification = as[schema.Items[schema.Notification]](host, "notification:list", schema.NotificationList{}).Items[0].ID
}

// as asks for something and decodes the answer.
func as[T any](h *honest, event string, data any) (v T) {
	h.t.Helper()
	if err := json.Unmarshal(do(h.t, h.conn, event, data).Data, &v); err != nil {
		h.t.Fatal(err)
	}
	return v
}

// hear takes a push: each of the log in its order, each once.
func (h *honest) hear(f schema.Frame) {
	if f.Event != "message:send" && f.Event != "post:comment" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.heard); n > 0 && f.Seq <= h.heard[n-1] {
		h.t.Errorf("%s heard record %d after %d", h.name, f.Seq, h.heard[n-1])
	}
	h.heard = append(h.heard, f.Seq)
}

// say sends a fact that was due at a time, and does not wait for its ack.
func (h *honest) say(event, content string, data any, due time.Time) {
	h.silent.Add(1)
	err := h.conn.Send(event, data, "", func(f schema.Frame) {
		defer h.silent.Done()
		took := time.Since(due)
		if f.Error != nil {
			h.t.Errorf("%s: %s: %s", h.name, event, f.Error.Code)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.acked[content] = f.Seq
		h.waits = append(h.waits, wait4ack{due, took})
	})
	if err != nil {
		h.silent.Done()
		h.t.Errorf("%s: %s: %v", h.name, event, err)
	}
}

// keepTalking lets everybody say something every honestPace, one after the other, for that
// long. Who is late does not make up for it by waiting less: it counts as a wait.
func keepTalking(circles []*circle, d time.Duration) (from, to time.Time) {
	from = time.Now()
	to = from.Add(d)
	var talking sync.WaitGroup
	number := 0
	for _, c := range circles {
		for _, h := range c.users {
			due := from.Add(honestPace * time.Duration(number) / honestUsers)
			number++
			talking.Go(func() {
				for ; due.Before(to); due = due.Add(honestPace) {
					time.Sleep(time.Until(due))
					h.sayNext(due)
				}
			})
		}
	}
	talking.Wait()
	return from, to
}

func (h *honest) sayNext(due time.Time) {
	h.said++
	if h.said%5 == 0 { // fewer than the posts and comments of a minute
		h.comment(fmt.Sprintf("%s comments %d", h.name, h.said), due)
		return
	}
	h.message(fmt.Sprintf("%s, %s says %d", swarmMarker, h.name, h.said), due)
}

func (h *honest) message(content string, due time.Time) {
	h.say("message:send", content, schema.MessageSend{ConversationID: h.circle.Conversation, Content: content, MessageType: schema.MessageText}, due)
}

func (h *honest) comment(content string, due time.Time) {
	h.say("post:comment", content, schema.PostComment{PostID: h.circle.Post, Content: content}, due)
}

// waited returns the waits of what was due in a span of time, in order of length.
func waited(circles []*circle, from, to time.Time) (all []time.Duration) {
	for _, c := range circles {
		for _, h := range c.users {
			h.mu.Lock()
			for _, w := range h.waits {
				if !w.due.Before(from) && w.due.Before(to) {
					all = append(all, w.took)
				}
			}
			h.mu.Unlock()
		}
	}
	slices.Sort(all)
	return all
}

// allAcked waits until nobody waits for an ack, or is cut off.
func allAcked(t *testing.T, circles []*circle) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, c := range circles {
			for _, h := range c.users {
				h.silent.Wait()
			}
		}
	}()
	for _, c := range circles {
		for _, h := range c.users {
			select {
			case <-done:
			case <-h.conn.Done():
				t.Fatalf("%s was cut off: %v", h.name, h.conn.Err())
			case <-time.After(patience):
				t.Fatalf("%s waits for acks", h.name)
			}
		}
	}
}

// checkHonest holds what the honest ones were told against the log.
func checkHonest(t *testing.T, dir string, circles []*circle) {
	t.Helper()
	stored := map[string]uint64{} // content → where it was applied
	due := map[string][]uint64{}  // user → the messages and comments of others
	for _, l := range replayed(t, dir) {
		if l.Outcome != "applied" || l.Event != "message:send" && l.Event != "post:comment" {
			continue
		}
		var d struct{ ConversationID, PostID, Content string }
		if err := json.Unmarshal(l.Data, &d); err != nil {
			t.Fatal(err)
		}
		stored[d.Content] = l.Seq
		for _, c := range circles {
			if d.ConversationID != c.Conversation && d.PostID != c.Post {
				continue
			}
			for _, h := range c.users {
				if h.name != l.Actor.ID {
					due[h.name] = append(due[h.name], l.Seq)
				}
			}
		}
	}
	facts, pushes := 0, 0
	for _, c := range circles {
		for _, h := range c.users {
			for content, seq := range h.acked {
				if stored[content] != seq {
					t.Errorf("%s: %.60q was acked at seq %d; the log has it at %d (0: not at all)", h.name, content, seq, stored[content])
				}
			}
			eventually(t, func() (bool, string) {
				h.mu.Lock()
				defer h.mu.Unlock()
				return len(h.heard) >= len(due[h.name]), fmt.Sprintf("%s to hear %d of %d pushes more", h.name, len(due[h.name])-len(h.heard), len(due[h.name]))
			})
			do(t, h.conn, "socket:ping", schema.Empty{}) // nothing is on its way behind it
			h.mu.Lock()
			if !slices.Equal(h.heard, due[h.name]) {
				t.Errorf("%s heard other pushes than were due to them: %v, want %v", h.name, h.heard, due[h.name])
			}
			facts, pushes = facts+len(h.acked), pushes+len(h.heard)
			h.mu.Unlock()
		}
	}
	t.Logf("%d facts acked and %d pushes heard by %d honest users: all of them, once, in order", facts, pushes, honestUsers)
}
