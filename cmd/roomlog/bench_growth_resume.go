package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// comebacks is how many clients come back, one after the other.
const comebacks = 20

// resume measures how long a client takes to come back to so many missed messages: from
// dialling until it was told all of them.
func (m *measuring) resume() error {
	ctx := m.app.ctx
	users := []string{"speaker"}
	for i := range comebacks {
		users = append(users, fmt.Sprintf("listener-%d", i))
	}
	conns, err := m.connect(ctx, users)
	if err != nil {
		return err
	}
	defer hangUp(conns)
	created, err := query[schema.ConversationCreated](ctx, conns[0], "conversation:create",
		schema.ConversationCreate{Type: schema.ConversationGroup, Name: "Missed", Participants: users[1:]})
	if err != nil {
		return err
	}
	conversation := created.Conversation.ID
	before, err := conns[0].Do(ctx, "message:send", schema.MessageSend{ConversationID: conversation, Content: "All hear this.", MessageType: schema.MessageText}, "")
	if err != nil {
		return err
	}
	hangUp(conns[1:])
	if err := m.speakTo(ctx, conns[0], conversation); err != nil {
		return err
	}
	from := &schema.Resume{Epoch: conns[0].Hello().Log.Epoch, Seq: before.Seq, Rooms: []string{schema.ConversationRoom(conversation)}}
	took := newHistogram()
	for _, user := range users[1:] {
		d, err := m.comeBack(ctx, user, from)
		if err != nil {
			return err
		}
		took.RecordValue(d.Microseconds())
	}
	m.figures["resume_ms"] = milliseconds(duration(took, 50))
	return nil
}

// speakTo sends the messages that are missed.
func (m *measuring) speakTo(ctx context.Context, speaker *client.Client, conversation string) error {
	const atOnce = 50 // fewer than a server takes from one socket
	failed := make(chan error, m.Missed)
	slots := make(chan struct{}, atOnce)
	var acks sync.WaitGroup
	for i := range m.Missed {
		slots <- struct{}{}
		acks.Add(1)
		send := schema.MessageSend{ConversationID: conversation, Content: fmt.Sprintf("message %d", i), MessageType: schema.MessageText}
		err := speaker.Send("message:send", send, "", func(f schema.Frame) {
			if err := client.AckError(f); err != nil {
				failed <- err
			}
			<-slots
			acks.Done()
		})
		if err != nil {
			return err
		}
	}
	acks.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

func (m *measuring) comeBack(ctx context.Context, user string, from *schema.Resume) (time.Duration, error) {
	told := 0
	back := make(chan string, 1)
	start := time.Now()
	conn, err := m.target.auth.dial(ctx, m.target.url, realtime.Identity{Actor: schema.Actor{ID: user}}, client.Options{
		Resume: from,
		OnPush: func(f schema.Frame) {
			switch f.Event {
			case "message:send":
				told++
			case "socket:resumed", "socket:resync":
				back <- f.Event
			}
		},
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	select {
	case how := <-back:
		took := time.Since(start)
		if how != "socket:resumed" || told != m.Missed {
			return 0, fmt.Errorf("%s was told %d of %d missed messages, and then %s", user, told, m.Missed, how)
		}
		return took, nil
	case <-conn.Done():
		return 0, fmt.Errorf("%s did not come back: %w", user, cmp.Or(conn.Err(), net.ErrClosed))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
