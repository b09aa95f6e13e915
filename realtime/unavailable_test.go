package realtime_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/schema"
)

// What the log does not take is answered, and takes up no place on the socket; what
// needs no log goes on.
func TestWhatTheLogDoesNotTakeIsAnswered(t *testing.T) {
	ends := must(eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir()}))
	g := openGateway(t, func(c *realtime.Config) { c.Log, c.MaxFactsInFlight = ends, 2 })
	alice := g.connect(t, "alice")
	now := time.Now()
	post := eventlog.NewID(now)
	seq := must(g.log.AppendWait(t.Context(), eventlog.Record{
		ID: post, Time: schema.TimeOf(now), Event: "post:create", Entity: "post:" + post,
		Actor: schema.Actor{ID: "alice"}, Data: encode(t, schema.PostCreate{Content: "while there is a log"}),
	}))
	if err := g.models.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	alice.do("post:join", schema.PostRef{PostID: post})
	if err := ends.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		alice.refused(schema.ShuttingDown, "post:create", schema.PostCreate{Content: "into the void"})
	}
	// Whom it would be told knows of it by the log alone.
	alice.refused(schema.LogUnavailable, "user:typing", schema.PostAction{PostID: post, Action: "start"})
	alice.do("post:leave", schema.PostRef{PostID: post})
	alice.do("feed:get", schema.Page{})
	alice.do("socket:ping", nil)
}

// While the read models cannot be asked who is kept from whom by a block, what a block
// may forbid is told to nobody; the rest is.
func TestWhatABlockMayForbidIsNotToldInDoubt(t *testing.T) {
	var doubtful *projections.Models
	g := openGateway(t, func(c *realtime.Config) {
		doubtful = must(projections.Open(t.Context(), projections.Config{Path: filepath.Join(t.TempDir(), "models.db"), Log: c.Log}))
		c.Models = doubtful
	})
	running, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- doubtful.Run(running) }()
	alice := g.connect(t, "alice")
	now := time.Now()
	fact := func(event, entity string, data any) string {
		t.Helper()
		id := eventlog.NewID(now)
		seq := must(g.log.AppendWait(t.Context(), eventlog.Record{
			ID: id, Time: schema.TimeOf(now), Event: event, Entity: entity, Actor: schema.Actor{ID: "bob", Username: "bob"}, Data: encode(t, data),
		}))
		if err := g.models.WaitApplied(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
		return id
	}
	post := fact("post:create", "", schema.PostCreate{Content: "hello"})
	talk := fact("conversation:create", "", schema.ConversationCreate{Type: "direct", Participants: []string{"alice"}})
	alice.hears("conversation:create", "user:alice")
	if err := doubtful.WaitApplied(t.Context(), g.log.Durable()); err != nil {
		t.Fatal(err)
	}
	alice.do("post:join", schema.PostRef{PostID: post})
	alice.do("message:join", schema.ConversationRef{ConversationID: talk})
	alice.hears("message:joined", "")
	end()
	if err := errors.Join(<-ended, doubtful.Close()); err != nil {
		t.Fatal(err)
	}
	fact("post:comment", "post:"+post, schema.PostComment{PostID: post, Content: "to the room"})
	g.server.Deliver([]projections.Applied{{Record: eventlog.Record{Seq: g.log.Durable() + 1}, Outcome: projections.Outcome{Pushes: []projections.Push{
		{Event: "post:comment", Rooms: []string{schema.PostRoom(post)}, Apart: "bob", Data: []byte("{}")},
		{Event: "post:delete", Rooms: []string{schema.PostRoom(post)}, Data: []byte(`{"postId":"` + post + `","authorId":"bob"}`)},
	}}}})
	alice.hears("post:delete", "post:"+post)
	fact("message:send", "conversation:"+talk, schema.MessageSend{ConversationID: talk, Content: "to you", MessageType: "text"})
	alice.hears("message:send", "conversation:"+talk)
	for _, s := range []struct {
		event, entity string
		data          any
	}{
		{"user:typing", "post:" + post, schema.PostAction{PostID: post, Action: "start"}},
		{"message:typing", "conversation:" + talk, schema.ConversationAction{ConversationID: talk, Action: "start"}},
	} {
		err := g.log.Signal(eventlog.Record{
			ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: s.event, Entity: s.entity, Actor: schema.Actor{ID: "bob", Username: "bob"}, Data: encode(t, s.data),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	alice.hears("message:typing", "conversation:"+talk)
}
