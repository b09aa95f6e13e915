package realtime_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// However users come, go, come back, follow, block and post at the same time: when it is
// quiet, each of their sockets hears exactly the posts of those whom its user follows and
// no block keeps apart, once and in order.
func TestWhoHearsAfterComingsAndGoings(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = time.Millisecond })
	g.server.CircleAll()
	anchor := g.connect(t, "anchor")
	history := 0
	rapid.Check(t, func(rt *rapid.T) {
		history++
		v := &village{t: t, rt: rt, gateway: g, anchor: anchor}
		for u := range 4 {
			v.villagers = append(v.villagers, &villager{user: fmt.Sprintf("v%d.%d", history, u)})
		}
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			v.live()
			v.post()
		}
		for _, u := range v.villagers {
			for _, p := range u.sockets {
				p.Close()
			}
		}
	})
}

type village struct {
	t         *testing.T
	rt        *rapid.T
	gateway   *gateway
	anchor    *peer
	villagers []*villager
}

// villager is a user with up to two sockets.
type villager struct {
	user    string
	sockets []*peer
	seq     uint64 // what the last socket that closed has heard up to
}

// live has all of them do a few things at the same time.
func (v *village) live() {
	var busy sync.WaitGroup
	for i, u := range v.villagers {
		type step struct{ what, whom string }
		steps := make([]step, rapid.IntRange(0, 6).Draw(v.rt, "steps"))
		for n := range steps {
			steps[n].what = rapid.SampledFrom([]string{"come", "come", "resume", "go", "follow", "follow", "unfollow", "block", "unblock", "post"}).Draw(v.rt, "step")
			steps[n].whom = v.villagers[(i+rapid.IntRange(1, 3).Draw(v.rt, "whom"))%4].user
		}
		busy.Go(func() {
			for _, s := range steps {
				v.step(u, s.what, s.whom)
			}
		})
	}
	busy.Wait()
	v.settle()
}

func (v *village) step(u *villager, what, whom string) {
	switch what {
	case "come", "resume":
		if len(u.sockets) == 2 {
			return
		}
		o := client.Options{Token: tokenFor(v.t, u.user)}
		if what == "resume" {
			o.Resume = &schema.Resume{Epoch: v.gateway.log.Epoch(), Seq: u.seq}
		}
		p, err := v.gateway.dial(v.t, u.user, o)
		if err != nil {
			v.t.Errorf("%s: %v", u.user, err)
			return
		}
		u.sockets = append(u.sockets, p)
	case "go":
		if len(u.sockets) > 0 {
			u.seq = v.gateway.models.Applied()
			u.sockets[0].Close()
			u.sockets = u.sockets[1:]
		}
	case "follow", "unfollow":
		v.does(u, "user:follow", schema.UserFollow{FollowingID: whom, Action: what}, deed{"user:" + whom, fmt.Sprintf(`{"followingId":%q,"action":%q}`, whom, what)})
	case "block", "unblock":
		v.does(u, "user:block", schema.TargetAction{TargetID: whom, Action: what}, deed{"user:" + whom, fmt.Sprintf(`{"targetId":%q,"action":%q}`, whom, what)})
	case "post":
		if len(u.sockets) > 0 {
			u.sockets[0].post("while all are busy")
		}
	}
}

// does has a user do something here, or on another node when they are not here. It may
// be refused.
func (v *village) does(u *villager, event string, data any, elsewhere deed) {
	if len(u.sockets) > 0 {
		_, _ = u.sockets[0].Do(context.Background(), event, data, "")
		return
	}
	facts(v.t, v.gateway.log, event, func(yield func(string, deed) bool) { yield(u.user, elsewhere) })
}

// settle forgets what was heard, when all of it was.
func (v *village) settle() {
	v.anchor.bar()
	for _, u := range v.villagers {
		for _, p := range u.sockets {
			v.heard(p)
		}
	}
}

// heard returns the posts that a socket has heard of, the place of each.
func (v *village) heard(p *peer) (seqs []uint64) {
	p.do("socket:ping", nil)
	for {
		select {
		case f := <-p.pushes:
			if f.Event == "post:create" {
				if slices.Contains(seqs, f.Seq) {
					v.rt.Fatalf("%s heard of %d twice", p.user, f.Seq)
				}
				if author := as[schema.PostCreated](v.t, f).Post.Author.ID; author != p.user {
					seqs = append(seqs, f.Seq)
				}
			}
		default:
			return seqs
		}
	}
}

// post has each who is here post, and holds what the others hear against the read models.
func (v *village) post() {
	places := make(map[string]uint64)
	for _, u := range v.villagers {
		if len(u.sockets) > 0 {
			places[u.user] = u.sockets[0].do("post:create", schema.PostCreate{Content: "when it is quiet"}).Seq
		}
	}
	v.anchor.bar()
	for _, u := range v.villagers {
		var want []uint64
		err := v.gateway.models.View(func(view *projections.View) error {
			for _, author := range v.villagers {
				_, follows := view.Follows(u.user, author.user)
				if place := places[author.user]; place != 0 && follows && !view.Blocked(u.user, author.user) {
					want = append(want, place)
				}
			}
			return nil
		})
		if err != nil {
			v.t.Fatal(err)
		}
		for _, p := range u.sockets {
			if got := v.heard(p); !slices.Equal(got, want) {
				v.rt.Fatalf("%s heard the posts %v, want %v", u.user, got, want)
			}
		}
	}
}
