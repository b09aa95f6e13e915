package realtime_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

func guest(n int) string { return fmt.Sprint("guest", n) }

// Of a crowd in which everybody follows everybody, and which arrives at once, nobody is
// closed for what they are told of the others, nor misses a fact, however short their
// queue is.
func TestACrowdArrives(t *testing.T) {
	const guests, posts = 120, 20
	dir := t.TempDir()
	prefill(t, dir, func(log *eventlog.Log) {
		facts(t, log, "user:follow", func(yield func(string, deed) bool) {
			for a := range guests {
				for b := range guests {
					if a != b && !yield(guest(a), following(guest(b))) {
						return
					}
				}
			}
		})
	})
	g := openGatewayIn(t, dir, func(c *realtime.Config) { c.MaxQueuedFrames = 64 })
	g.awaitReady()
	peers := make([]*peer, guests)
	peers[0] = g.connect(t, guest(0))
	var arriving sync.WaitGroup
	for n := 1; n < guests; n++ {
		arriving.Go(func() { peers[n] = g.connect(t, guest(n)) })
	}
	said := make([]string, posts)
	for i := range said {
		said[i] = peers[0].post(fmt.Sprint("Welcome! ", i))
	}
	arriving.Wait()
	last := peers[0].post("So everyone is here.")
	for _, p := range peers[1:] {
		online := map[string]bool{}
		at := -1 // in said, of the last one heard
		for heard := ""; heard != last; {
			var f schema.Frame
			select {
			case f = <-p.pushes:
			case <-time.After(patience):
				t.Fatalf("%s did not hear of the last post", p.user)
			}
			if f.Event == "user:online" {
				who := as[schema.UserPresence](t, f).UserID
				if online[who] || who == p.user {
					t.Errorf("%s hears again that %s is online", p.user, who)
				}
				online[who] = true
				continue
			}
			heard = as[schema.PostCreated](t, f).Post.ID
			now := slices.Index(said, heard)
			if heard == last {
				now = posts
			}
			if at >= 0 && now != at+1 {
				t.Errorf("%s heard post %d after post %d", p.user, now, at)
			}
			at = now
		}
	}
	if closed := metricsOf(t, g); strings.Contains(closed, "roomlog_closes_total{") {
		t.Errorf("somebody was closed: %s", closed)
	}
}

// BenchmarkArrivals has 1,000 users, or 19,500, arrive within 10 s, who follow 20 others
// each by Zipf's law, so that some are followed by most. It says how many pushes each of
// them came to, how long a message of two others took meanwhile, and until when the last
// of it was told. The server is a process of its own, for its files' sake.
func BenchmarkArrivals(b *testing.B) {
	const follows, within = 20, 10 * time.Second
	for _, guests := range []int{1000, 19_500} {
		b.Run(fmt.Sprint("users=", guests), func(b *testing.B) {
			dir := b.TempDir()
			prefill(b, dir, func(log *eventlog.Log) {
				rng := rand.New(rand.NewPCG(1, 2))
				zipf := rand.NewZipf(rng, 1.1, 50, uint64(guests-1))
				facts(b, log, "user:follow", func(yield func(string, deed) bool) {
					for n := range guests * follows {
						if !yield(guest(n%guests), following(guest(int(zipf.Uint64())))) {
							return
						}
					}
				})
			})
			server := startIdleServer(b, dir)
			tokens := make([]string, guests)
			for n := range tokens {
				tokens[n] = tokenFor(b, guest(n))
			}
			talk := newTalk(b, &server.gateway)
			for b.Loop() {
				var heard atomic.Int64
				var reading, dialling sync.WaitGroup
				conns := make([]net.Conn, guests)
				next := make(chan int)
				for range 64 {
					dialling.Go(func() {
						for n := range next {
							s := server.open(b, "Authorization: Bearer "+tokens[n])
							s.ask("socket:connect", "{}")
							s.conn.SetDeadline(time.Time{})
							conns[n] = s.conn
							s.br = nil
							reading.Go(func() { countFrames(s.conn, &heard) })
						}
					})
				}
				talk.begin()
				began := time.Now()
				for n, order := range rand.New(rand.NewPCG(3, 4)).Perm(guests) {
					if ahead := time.Duration(n)*within/time.Duration(guests) - time.Since(began); ahead > 0 {
						<-time.After(ahead)
					}
					next <- order
				}
				close(next)
				dialling.Wait()
				b.ReportMetric(time.Since(began).Seconds(), "arrive-s")
				for quiet := time.Now(); time.Since(quiet) < time.Second; { // a second without news
					was := heard.Load()
					<-time.After(100 * time.Millisecond)
					if heard.Load() != was {
						quiet = time.Now()
					}
				}
				b.ReportMetric(time.Since(began).Seconds()-1, "quiet-s")
				took := talk.end()
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "message-p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "message-p99-ms")
				b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "message-max-ms")
				b.ReportMetric(float64(heard.Load())/float64(guests), "pushes/socket")
				b.ReportMetric(figure(b, &server.gateway, "roomlog_presence_dropped_total"), "dropped")
				b.ReportMetric(0, "ns/op")
				for _, conn := range conns {
					conn.Close()
				}
				reading.Wait()
			}
		})
	}
}

// figure returns one of the server's figures, 0 when it has none of that name.
func figure(t testing.TB, g *gateway, name string) float64 {
	for line := range strings.Lines(metricsOf(t, g)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return must(strconv.ParseFloat(value, 64))
		}
	}
	return 0
}

// talk is two who talk, one message after the other.
type talk struct {
	b      *testing.B
	sender *client.Client
	heard  chan struct{}
	id     string

	stop chan struct{}
	work sync.WaitGroup
	took []time.Duration
}

func newTalk(b *testing.B, g *gateway) *talk {
	t := &talk{b: b, heard: make(chan struct{}, 1)}
	dial := func(user string, onPush func(schema.Frame)) *client.Client {
		c, err := client.Dial(b.Context(), "ws://"+g.addr+"/ws", client.Options{Token: tokenFor(b, user), OnPush: onPush})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	t.sender = dial("horatio", nil)
	dial("hamlet", func(f schema.Frame) {
		if f.Event == "message:send" {
			t.heard <- struct{}{}
		}
	})
	ack, err := t.sender.Do(b.Context(), "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"hamlet"}}, "")
	if err != nil {
		b.Fatal(err)
	}
	t.id = as[schema.ConversationCreated](b, ack).Conversation.ID
	return t
}

func (t *talk) begin() {
	t.stop, t.took = make(chan struct{}), nil
	t.work.Go(func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		send := schema.MessageSend{ConversationID: t.id, Content: "Who is there?", MessageType: "text"}
		for {
			began := time.Now()
			if err := t.sender.Send("message:send", send, "", nil); err != nil {
				t.b.Error(err)
				return
			}
			<-t.heard
			t.took = append(t.took, time.Since(began))
			select {
			case <-pace.C:
			case <-t.stop:
				return
			}
		}
	})
}

// end returns how long each message took to be heard, the shortest first.
func (t *talk) end() []time.Duration {
	close(t.stop)
	t.work.Wait()
	slices.Sort(t.took)
	return t.took
}
