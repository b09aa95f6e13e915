package realtime_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// Read models that are behind would say that the post is not there, and refuse a
// comment on it for good.
func TestNobodyIsServedFromReadModelsThatAreBehind(t *testing.T) {
	post := eventlog.NewID(time.Now())
	applying, goOn, rebuilt := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	g := openGateway(t, func(c *realtime.Config) {
		_, err := c.Log.AppendWait(t.Context(), eventlog.Record{
			ID: post, Time: schema.TimeOf(time.Now()), Event: "post:create", Entity: "post:" + post,
			Actor: schema.Actor{ID: "alice"}, Data: encode(t, schema.PostCreate{Content: "acked before the restart"}),
		})
		if err != nil {
			t.Fatal(err)
		}
		models := c.Models
		go func() { // a rebuild that is held up keeps Run waiting
			var first sync.Once
			_, err := models.Rebuild(t.Context(), func(projections.Progress) { first.Do(func() { close(applying) }); <-goOn })
			rebuilt <- err
		}()
		<-applying
	})
	_, err := g.dial(t, "bob", client.Options{Token: tokenFor(t, "bob")})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter <= 0 {
		t.Errorf("while the read models catch up: %v", err)
	}
	if _, resp := g.handshake(t, "GET /readyz HTTP/1.1\r\nHost: $HOST\r\n\r\n"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz while the read models catch up: %s", resp.Status)
	}
	close(goOn)
	if err := <-rebuilt; err != nil {
		t.Fatal(err)
	}
	g.connect(t, "bob").comment(post, "it is there")
}
