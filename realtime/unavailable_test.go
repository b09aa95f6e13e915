package realtime_test

import (
	"testing"
	"time"

	"roomlog/eventlog"
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
