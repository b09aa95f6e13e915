package realtime_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// flood is a user who sends posts without waiting for their acks.
type flood struct {
	sent, acked, overloaded, badly atomic.Int64 // badly: refused in another way, or not told when to come back

	slots chan struct{} // sent and not answered: as much as the connection holds
	ended sync.WaitGroup
}

// floods has a user send on two sockets until stop is closed.
func (g *gateway) floods(t *testing.T, user string, stop <-chan struct{}) *flood {
	f := &flood{slots: make(chan struct{}, 80)}
	for range 2 {
		p := g.connect(t, user)
		f.ended.Go(func() {
			for {
				select {
				case <-stop:
					return
				case f.slots <- struct{}{}:
				}
				if err := p.Send("post:create", schema.PostCreate{Content: "more"}, "", f.answered); err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
				f.sent.Add(1)
			}
		})
	}
	return f
}

func (f *flood) answered(ack schema.Frame) {
	switch e := ack.Error; {
	case e == nil && ack.Seq != 0:
		f.acked.Add(1)
	case e != nil && e.Code == schema.Overloaded && e.Temporary && e.RetryAfterMs > 0:
		f.overloaded.Add(1)
	default:
		f.badly.Add(1)
	}
	<-f.slots
}

func (f *flood) allAnswered() bool {
	return f.sent.Load() == f.acked.Load()+f.overloaded.Load()+f.badly.Load()
}

// queueFigures are the lengths and bounds of the queues, by name.
func queueFigures(t testing.TB, g *gateway) (lengths, bounds map[string]float64) {
	t.Helper()
	lengths, bounds = map[string]float64{}, map[string]float64{}
	for _, m := range queueFigure.FindAllStringSubmatch(metricsOf(t, g), -1) {
		figures := lengths
		if m[1] == "bound" {
			figures = bounds
		}
		figures[m[2]] = must(strconv.ParseFloat(m[3], 64))
	}
	return lengths, bounds
}

var queueFigure = regexp.MustCompile(`(?m)^roomlog_queue_(length|bound)\{queue="([a-z_]+)"\} (\S+)$`)

// Many more send than the server takes, and none of them waits: what is too much is
// told so at once and when to come back, what was accepted is acked, no queue passes
// its bound, who waits as asked is served, and when it is over it is over at once.
func TestMoreThanTheServerTakes(t *testing.T) {
	const most = 16
	g := openGateway(t, func(c *realtime.Config) { c.MaxWaiting, c.MaxWait = most, 100*time.Millisecond })
	stop := make(chan struct{})
	var floods []*flood
	for i := range 2 * most {
		floods = append(floods, g.floods(t, fmt.Sprintf("flood%d", i), stop))
	}
	total := func(of func(*flood) *atomic.Int64) (n int64) {
		for _, f := range floods {
			n += of(f).Load()
		}
		return n
	}
	refused := func() int64 { return total(func(f *flood) *atomic.Int64 { return &f.overloaded }) }
	eventually(t, "the server refuses", func() bool { return refused() > 100 })

	var polite sync.WaitGroup
	for i := range 5 {
		s, err := client.Open(t.Context(), "ws://"+g.addr+"/ws", client.SessionOptions{
			Token: func(context.Context) (string, error) { return tokenFor(t, fmt.Sprintf("polite%d", i)), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		polite.Go(func() {
			for range 10 {
				if _, err := s.Do(t.Context(), "post:create", schema.PostCreate{Content: "please"}); err != nil {
					t.Errorf("who waits as asked: %v", err)
				}
			}
		})
	}
	served := make(chan struct{})
	go func() { polite.Wait(); close(served) }()
	for done := false; !done; {
		select {
		case <-served:
			done = true
		default:
		}
		lengths, bounds := queueFigures(t, g)
		if bounds["facts"] != most {
			t.Fatalf("the bound of facts is %v", bounds["facts"])
		}
		for queue, length := range lengths {
			if bound, ok := bounds[queue]; !ok || length > bound {
				t.Errorf("%v wait in %s, of at most %v", length, queue, bound)
			}
		}
	}
	close(stop)
	for _, f := range floods {
		f.ended.Wait()
		eventually(t, "every fact is answered", f.allAnswered)
		if n := f.badly.Load(); n > 0 {
			t.Errorf("%d of %d facts were refused in another way", n, f.sent.Load())
		}
	}
	acked := total(func(f *flood) *atomic.Int64 { return &f.acked })
	if got := g.log.Durable(); got < uint64(acked)+50 {
		t.Errorf("%d facts of floods and 50 others were acked, and %d are in the log", acked, got)
	}
	t.Logf("of %d facts %d were acked", total(func(f *flood) *atomic.Int64 { return &f.sent }), acked)
	g.connect(t, "late").post("at once")
	eventually(t, "nothing waits", func() bool {
		lengths, _ := queueFigures(t, g)
		for _, queue := range []string{
			"log", "log_bytes", "signals", "facts", "facts_bytes", "unapplied", "queries", "commands", "turns",
			"pushes_bytes", "socket_frames", "socket_bytes", "resumes_bytes", "presence_news",
		} {
			if length, ok := lengths[queue]; !ok || length != 0 {
				return false
			}
		}
		return true
	})
}

// As long as a few flood, on however many sockets, nobody else is refused.
func TestAFloodIsRefusedBeforeOthers(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxWaiting = 64 })
	stop := make(chan struct{})
	var floods []*flood
	for i := range 4 {
		floods = append(floods, g.floods(t, fmt.Sprintf("flood%d", i), stop))
	}
	for _, f := range floods {
		eventually(t, "the flood is refused", func() bool { return f.overloaded.Load() > 0 })
	}
	var honest sync.WaitGroup
	for i := range 5 {
		p := g.connect(t, fmt.Sprintf("honest%d", i))
		honest.Go(func() {
			for range 20 {
				if _, err := p.Do(t.Context(), "post:create", schema.PostCreate{Content: "one at a time"}, ""); err != nil {
					t.Errorf("%s: %v", p.user, err)
				}
			}
		})
	}
	honest.Wait()
	close(stop)
	for _, f := range floods {
		f.ended.Wait()
		eventually(t, "every fact is answered", f.allAnswered)
	}
}

// Queries that wait are bounded, and one too many is told so.
func TestMoreQueriesThanTheServerTakes(t *testing.T) {
	const most = 4
	begun, release, back := realtime.HoldQueries("feed:get")
	t.Cleanup(back) // when the gateway is closed
	g := openGateway(t, func(c *realtime.Config) { c.MaxWaiting, c.MaxWait = most, 10*time.Millisecond })
	answers := make(chan error, most)
	for i := range most {
		p := g.connect(t, fmt.Sprintf("reader%d", i))
		go func() {
			_, err := p.Do(t.Context(), "feed:get", schema.Page{}, "")
			answers <- err
		}()
		<-begun
	}
	late := g.connect(t, "late")
	ack := late.refused(schema.Overloaded, "feed:get", schema.Page{})
	if wait := time.Duration(ack.Error.RetryAfterMs) * time.Millisecond; wait < 10*time.Millisecond || wait > 100*time.Millisecond {
		t.Errorf("told to come back in %v", wait)
	}
	if lengths, _ := queueFigures(t, g); lengths["queries"] != most {
		t.Errorf("%v queries are carried out, want %d", lengths["queries"], most)
	}
	late.post("facts go on")
	release()
	for range most {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	<-time.After(time.Duration(ack.Error.RetryAfterMs) * time.Millisecond) // what it was told to wait is enough
	late.do("feed:get", schema.Page{})
}

// However a fact ends, acked, refused, known already, without a place or with its socket
// gone, there is room for another one then: of all together, and of the same user.
func TestNoFactKeepsItsRoom(t *testing.T) {
	const most = 8
	g := openGateway(t, func(c *realtime.Config) { c.MaxWaiting, c.MaxWait = most, 10*time.Millisecond })
	var users sync.WaitGroup
	for u := range 6 {
		user := fmt.Sprintf("user%d", u)
		users.Go(func() {
			for round := range 5 {
				p, err := g.dial(t, user, client.Options{Token: tokenFor(t, user)})
				if err != nil {
					t.Errorf("%s: %v", user, err)
					return
				}
				for n := range 40 {
					event, data := "post:create", any(schema.PostCreate{Content: "and gone"})
					switch n % 4 {
					case 1:
						event, data = "post:like", schema.PostAction{PostID: "01J00000000000000000000000", Action: "like"}
					case 2:
						event, data = "feed:get", schema.Page{}
					}
					if err := p.Send(event, data, fmt.Sprint("key", round, n%3), nil); err != nil {
						break
					}
				}
				p.Close()
			}
		})
	}
	users.Wait()
	eventually(t, "nothing waits", func() bool {
		lengths, _ := queueFigures(t, g)
		return lengths["facts"] == 0 && lengths["facts_bytes"] == 0 && lengths["queries"] == 0 && lengths["commands"] == 0
	})
	for u := range 6 {
		if left := g.server.UnderWay(fmt.Sprintf("user%d", u)); left != "" {
			t.Errorf("user%d has under way: %s", u, left)
		}
	}
}
