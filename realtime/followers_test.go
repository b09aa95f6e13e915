package realtime_test

import (
	"fmt"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Of someone with more followers than are connected, those hear who are connected and
// follow: with few connected each of them is asked, and a stranger is not told.
func TestManyFollowersAndAStranger(t *testing.T) {
	g := openGateway(t, nil)
	for n := range 20 { // who never came here
		now := time.Now()
		user := fmt.Sprint("away", n)
		if _, err := g.log.AppendWait(t.Context(), eventlog.Record{
			ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "user:follow", Version: 1,
			Actor: schema.Actor{ID: user, Username: user}, Entity: "user:alice", Data: []byte(`{"followingId":"alice","action":"follow"}`),
		}); err != nil {
			t.Fatal(err)
		}
	}
	alice, bob, eve := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "eve")
	bob.follow("alice")
	alice.hears("user:follow", "user:alice")
	alice.post("for those who follow me")
	bob.hears("post:create", "user:bob")
	eve.heardNothing()
}
