package realtime

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// followedBy are read models of a log in which only one user follows the star.
func followedBy(t *testing.T, fan string) *projections.Models {
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	now := time.Now()
	seq, err := log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "user:follow", Version: 1,
		Actor: schema.Actor{ID: fan, Username: fan}, Entity: "user:star", Data: []byte(`{"followingId":"star","action":"follow"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(t.TempDir(), "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- models.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		models.Close()
	})
	if err := models.WaitApplied(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	return models
}

// When other read models take over, as after a rebuild, what was remembered of those
// before is asked anew: nobody was told what differs in them.
func TestCirclesAreOfTheReadModelsThatServe(t *testing.T) {
	h := newHub()
	for _, id := range []string{"alice", "bob"} {
		h.users[id] = new(user)
		h.arrived.add(id, len(h.users))
	}
	c := newCircles(&h)
	c.small = 0
	before, after := followedBy(t, "alice"), followedBy(t, "bob")
	for _, m := range []struct {
		*projections.Models
		fan string
	}{{before, "alice"}, {before, "alice"}, {after, "bob"}, {after, "bob"}} {
		err := m.View(func(v *projections.View) error {
			if got := c.of(v, follows, "star").ids; !slices.Equal(got, []string{m.fan}) {
				t.Errorf("the star is followed by %v, want %s", got, m.fan)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if c.circled != 1+emptyCircle {
		t.Errorf("the circles count for %d, want %d", c.circled, 1+emptyCircle)
	}
}
