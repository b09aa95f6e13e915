package realtime_test

import (
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

const celebrity = "celebrity"

func fan(n int) string { return fmt.Sprintf("fan%07d", n) }

// openFamous starts a server on whose log so many fans follow the celebrity.
func openFamous(t testing.TB, fans int, change func(*realtime.Config)) *gateway {
	t.Helper()
	dir := t.TempDir()
	prefill(t, dir, func(log *eventlog.Log) { fanFacts(t, log, fans, "user:follow", following(celebrity)) })
	g := openGatewayIn(t, dir, change)
	g.awaitReady()
	return g
}

// prefill writes facts to a log that no server has open yet.
func prefill(t testing.TB, dir string, write func(*eventlog.Log)) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	write(log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// awaitReady returns when the server has read models of all that its log held: of a
// million records that takes longer than what must happen at once.
func (g *gateway) awaitReady() {
	for g.server.Unready() != "" {
		<-time.After(time.Millisecond)
	}
}

// deed is what a fact is about, and its data.
type deed struct{ entity, data string }

func following(user string) deed {
	return deed{"user:" + user, fmt.Sprintf(`{"followingId":%q,"action":"follow"}`, user)}
}

// fanFacts is facts, one of each of so many fans.
func fanFacts(t testing.TB, log *eventlog.Log, fans int, event string, a deed) {
	t.Helper()
	facts(t, log, event, func(yield func(string, deed) bool) {
		for n := range fans {
			if !yield(fan(n), a) {
				return
			}
		}
	})
}

// facts appends a fact for each user and deed, as another node would, and returns when
// all are durable.
func facts(t testing.TB, log *eventlog.Log, event string, all iter.Seq2[string, deed]) {
	t.Helper()
	var durable sync.WaitGroup
	for user, a := range all {
		now := time.Now()
		durable.Add(1)
		err := log.Append(t.Context(), eventlog.Record{
			ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: event, Version: 1,
			Actor: schema.Actor{ID: user, Username: user}, Entity: a.entity, Data: []byte(a.data),
		}, func(_ uint64, err error) {
			if err != nil {
				t.Error(err)
			}
			durable.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	durable.Wait()
}

// Of someone with many more followers than are connected, whoever is connected and
// follows is told, whatever came in between; and nobody else.
func TestFollowersOfACelebrity(t *testing.T) {
	const fans = 50_000
	g := openFamous(t, fans, func(c *realtime.Config) { c.PresenceGrace = time.Minute })
	star := g.connect(t, celebrity)
	hear := func(what string, told, not []*peer) {
		t.Helper()
		id := star.post(what)
		for _, p := range told {
			if got := as[schema.PostCreated](t, p.hears("post:create", "user:"+p.user)).Post.ID; got != id {
				t.Errorf("%s: %s heard of another post", what, p.user)
			}
		}
		for _, p := range not {
			p.heardNothing()
		}
	}
	first, last, eve := g.connect(t, fan(0)), g.connect(t, fan(fans-1)), g.connect(t, "eve")
	hear("to two fans", []*peer{first, last}, []*peer{eve})
	hear("again", []*peer{first, last}, []*peer{eve})

	middle := g.connect(t, fan(fans/2))
	hear("to one who came", []*peer{first, last, middle}, []*peer{eve})

	phone := g.connect(t, fan(0))
	hear("to another device", []*peer{first, phone, last, middle}, []*peer{eve})
	phone.Close()

	eve.follow(celebrity)
	star.hears("user:follow", "user:"+celebrity)
	hear("to one who followed", []*peer{first, last, middle, eve}, nil)

	last.do("user:follow", schema.UserFollow{FollowingID: celebrity, Action: "unfollow"})
	star.hears("user:follow", "user:"+celebrity)
	hear("but for one who unfollowed", []*peer{first, middle, eve}, []*peer{last})

	last.follow(celebrity)
	star.hears("user:follow", "user:"+celebrity)
	hear("to one who followed again", []*peer{first, last, middle, eve}, nil)

	middle.do("user:block", schema.TargetAction{TargetID: celebrity, Action: "block"})
	hear("but for one who blocks", []*peer{first, last, eve}, []*peer{middle})

	star.do("user:block", schema.TargetAction{TargetID: "eve", Action: "block"})
	hear("but for one who is blocked", []*peer{first, last}, []*peer{middle, eve})

	first.Close()
	eventually(t, "the first fan is gone", func() bool { return g.server.Stats().Sockets == 4 })
	hear("while one is away", []*peer{last}, []*peer{middle, eve})
	first = g.connect(t, fan(0))
	hear("to one who is back", []*peer{first, last}, []*peer{middle, eve})
}

// fame is a room of connected users, half of whom are fans.
type fame struct {
	g             *gateway
	star, someone *client.Client
	heard         atomic.Int64 // frames of all others
}

func newFame(b *testing.B, fans, connected int) *fame {
	f := &fame{g: openFamous(b, fans, bench)}
	dial := func(user string) *client.Client {
		c, err := client.Dial(b.Context(), "ws://"+f.g.addr+"/ws", client.Options{Token: tokenFor(b, user)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	var reading sync.WaitGroup
	var conns []net.Conn
	b.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
		reading.Wait()
	})
	for i := range connected {
		user := fan(i / 2 * (2 * fans / connected)) // from all over
		if i%2 == 1 {
			user = fmt.Sprint("stranger", i)
		}
		s := f.g.user(b, user)
		s.ask("socket:connect", "{}")
		s.conn.SetDeadline(time.Time{})
		conns = append(conns, s.conn)
		reading.Go(func() { countFrames(s.conn, &f.heard) })
	}
	f.star, f.someone = dial(celebrity), dial("someone")
	return f
}

// acks has someone post, one post after the other, while something else goes on, and
// reports how long their acks took.
func (f *fame) acks(b *testing.B, while string, other func(n int) error) {
	const each, during = 100 * time.Millisecond, 3 * time.Second
	done := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		tick := time.NewTicker(each)
		defer tick.Stop()
		for n := 0; ; n++ {
			if err := other(n); err != nil {
				b.Error(err)
				return
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	var took []time.Duration
	for end := time.Now().Add(during); time.Now().Before(end); {
		began := time.Now()
		if _, err := f.someone.Do(b.Context(), "post:create", schema.PostCreate{Content: "Who is there?"}, ""); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	close(done)
	busy.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, while+"-p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, while+"-p99-ms")
}

// BenchmarkCelebrity says what someone's posts wait, each for its ack, with so many
// others connected, while nothing goes on; while somebody whom half of these follow
// posts every 100 ms, and how long that takes; and while a post of theirs gets 10,000
// likes as fast as the log takes them. What it costs must not depend on how many follow.
func BenchmarkCelebrity(b *testing.B) {
	for _, c := range []struct{ fans, connected int }{{10_000, 1000}, {1_000_000, 1000}, {1_000_000, 8000}} {
		b.Run(fmt.Sprintf("followers=%d/connected=%d", c.fans, c.connected), func(b *testing.B) {
			f := newFame(b, c.fans, c.connected)
			for b.Loop() {
				var took []time.Duration
				var post string
				star := func(int) error {
					began := time.Now()
					ack, err := f.star.Do(b.Context(), "post:create", schema.PostCreate{Content: "Friends, Romans, countrymen!"}, "")
					if err != nil {
						return err
					}
					took = append(took, time.Since(began))
					post = as[schema.PostCreated](b, ack).Post.ID
					return nil
				}
				f.acks(b, "alone", func(int) error { return nil })
				f.acks(b, "posting", star)
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "post-p50-ms")
				const likes = 10_000
				f.acks(b, "liking", func(n int) error {
					if n == 0 {
						began := time.Now()
						fanFacts(b, f.g.log, likes, "post:like", deed{"post:" + post, fmt.Sprintf(`{"postId":%q,"action":"like"}`, post)})
						b.ReportMetric(likes/time.Since(began).Seconds(), "likes/s")
					}
					return nil
				})
				b.ReportMetric(f.queries(b, post), "queries-ms")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// queries returns how many milliseconds what clients ask of a celebrity takes together.
func (f *fame) queries(b *testing.B, post string) float64 {
	began := time.Now()
	for event, data := range map[string]any{
		"user:get":       schema.UserPage{UserID: celebrity},
		"user:posts":     schema.UserPage{UserID: celebrity},
		"user:followers": schema.UserPage{UserID: celebrity},
		"presence:get":   schema.PresenceGet{UserIDs: []string{celebrity}},
		"post:get":       schema.PostRef{PostID: post},
	} {
		if _, err := f.someone.Do(b.Context(), event, data, ""); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(began).Microseconds()) / 1000
}
