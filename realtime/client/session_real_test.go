package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// chatter is a user of the real server who writes down the messages of the other.
type chatter struct {
	*client.Session
	mu    sync.Mutex
	heard []string
	grown chan struct{} // has room for one
}

func chat(t *testing.T, url, user, other string) *chatter {
	t.Helper()
	c := &chatter{grown: make(chan struct{}, 1)}
	o := sessionOptions()
	o.Token = func(context.Context) (string, error) { return tokenFor(user), nil }
	o.OnResync = func(r schema.Resync) { t.Errorf("%s was told to read again: %+v", user, r) }
	o.OnPush = func(f schema.Frame) {
		var said schema.MessageSent
		if f.Event != "message:send" || json.Unmarshal(f.Data, &said) != nil || said.Message.Sender.ID != other {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = append(c.heard, said.Message.Content)
		select {
		case c.grown <- struct{}{}:
		default:
		}
	}
	var err error
	if c.Session, err = client.Open(t.Context(), url, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hears waits until the chatter has heard so many messages, and compares.
func (c *chatter) hears(t *testing.T, want []string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		got := slices.Clone(c.heard)
		c.mu.Unlock()
		if len(got) >= len(want) {
			if !slices.Equal(got, want) {
				t.Errorf("heard %q", got)
			}
			return
		}
		select {
		case <-c.grown:
		case <-deadline:
			t.Fatalf("heard only %q", got)
		}
	}
}

// Two who write to each other; what is between one of them and the server breaks
// after every few kilobytes.
func TestSessionsOverABadLine(t *testing.T) {
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	line := serveRaw(t, func(conn net.Conn) { relayUpTo(conn, s.URL, 6<<10) })
	alice, bob := chat(t, line.URL, "alice", "bob"), chat(t, s.URL, "bob", "alice")
	ack, err := alice.Do(t.Context(), "conversation:create", schema.ConversationCreate{Type: schema.ConversationDirect, Participants: []string{"bob"}})
	if err != nil {
		t.Fatal(err)
	}
	var created schema.ConversationCreated
	if err := json.Unmarshal(ack.Data, &created); err != nil {
		t.Fatal(err)
	}
	const messages = 40
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint("message ", i))
	}
	var wg sync.WaitGroup
	for _, c := range []*chatter{alice, bob} {
		wg.Go(func() {
			for _, content := range want {
				_, err := c.Do(t.Context(), "message:send", schema.MessageSend{
					ConversationID: created.Conversation.ID, Content: content, MessageType: schema.MessageText,
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	alice.hears(t, want)
	bob.hears(t, want)
}
