package realtime_test

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/schema"
)

// stall opens a socket for which the kernel keeps little of what it does not read.
// From then on it reads nothing.
func (g *gateway) stall(t testing.TB, user string) *rawSocket {
	t.Helper()
	s := g.as("127.9.0.1").user(t, user)
	s.conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	s.ask("socket:connect", "{}")
	return s
}

// Of a room in which some stop reading the others hear everything, in order. Those who
// do not read are closed as too slow, and come back to all that they missed.
func TestSocketsThatStallInARoom(t *testing.T) {
	const members, stalled = 18, 2
	g := openGateway(t, func(c *realtime.Config) {
		c.MaxQueuedFrames = 32
		c.WriteTimeout, c.PongTimeout = time.Minute, time.Minute // to look at a queue that is full
	})
	author := g.connect(t, "author")
	post := author.post("Gather around.")
	room := schema.PostRoom(post)
	start := g.models.Applied()
	var readers []*peer
	for i := range members {
		p := g.connect(t, fmt.Sprint("reader", i))
		p.do("post:join", schema.PostRef{PostID: post})
		readers = append(readers, p)
	}
	var deaf []*rawSocket
	for i := range stalled {
		s := g.stall(t, fmt.Sprint("deaf", i))
		s.ask("post:join", fmt.Sprintf(`{"postId":%q}`, post))
		deaf = append(deaf, s)
	}
	closed := fmt.Sprintf("roomlog_closes_total{code=\"4008\"} %d\n", stalled)
	var said []uint64
	for after := 0; after < 3; { // and on, once they are closed
		if len(said) == 2000 {
			t.Fatalf("after %d comments those who do not read are not closed", len(said))
		}
		ack := author.do("post:comment", schema.PostComment{PostID: post, Content: strings.Repeat("🎭", 2000)})
		said = append(said, ack.Seq)
		for _, p := range readers {
			if f := p.hears("post:comment", room); f.Seq != ack.Seq {
				t.Fatalf("%s heard of %d, want %d", p.user, f.Seq, ack.Seq)
			}
		}
		if strings.Contains(metricsOf(t, g), closed) {
			after++
		}
	}
	for i, s := range deaf {
		heard := 0
		for ; ; heard++ {
			if got := s.next(); got != "push post:comment" {
				if got != "push socket:disconnect" {
					t.Errorf("after %d comments: %s", heard, got)
				}
				break
			}
		}
		s.expect("close 4008 too slow")
		s.conn.Close()
		if heard == len(said) {
			t.Errorf("%d heard everything", i)
		}
		back := g.comesBack(t, fmt.Sprint("deaf", i), start, room)
		for _, seq := range said {
			if f := back.hears("post:comment", room); f.Seq != seq {
				t.Fatalf("who comes back hears of %d, want %d", f.Seq, seq)
			}
		}
	}
}

// crowd is a room of sockets of which each notes how long every push took to reach it.
type crowd struct {
	g       *gateway
	b       *testing.B
	began   time.Time
	sent    []atomic.Int64 // ns after began at which each push was delivered
	told    int            // pushes delivered
	conns   []net.Conn     // of those who read
	reading sync.WaitGroup
	heard   atomic.Int64 // by all of them

	mu   sync.Mutex
	took []time.Duration
}

const crowdSize = 1000

// gather opens a room of a thousand for so many pushes, of whom some stall; who is too
// far behind is closed.
func gather(b *testing.B, stalled, pushes, tooFar int) *crowd {
	g := openGateway(b, func(c *realtime.Config) { bench(c); c.MaxQueuedFrames = tooFar })
	c := &crowd{g: g, b: b, began: time.Now(), sent: make([]atomic.Int64, pushes)}
	for i := range crowdSize {
		user := fmt.Sprint("user", i)
		if i < stalled {
			c.g.stall(b, user)
			continue
		}
		s := c.g.user(b, user)
		s.ask("socket:connect", "{}")
		s.conn.SetDeadline(time.Time{})
		c.conns = append(c.conns, s.conn)
		c.reading.Go(func() { c.listen(s.conn) })
	}
	return c
}

// listen notes when each push arrived until the connection ends.
func (c *crowd) listen(conn net.Conn) {
	mine := make([]time.Duration, 0, len(c.sent))
	buf := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buf)
		at := time.Since(c.began)
		came := bytes.Count(buf[:n], []byte{fin | opText}) // see countFrames
		for range came {
			mine = append(mine, at-time.Duration(c.sent[len(mine)].Load()))
		}
		c.heard.Add(int64(came))
		if err != nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, mine...)
}

// tell delivers one push to the room.
func (c *crowd) tell() {
	c.sent[c.told].Store(int64(time.Since(c.began)))
	c.told++
	c.g.server.Deliver([]projections.Applied{{
		Record:  eventlog.Record{Seq: uint64(1_000_000 + c.told), Time: schema.TimeOf(time.Now())},
		Outcome: projections.Outcome{Pushes: []projections.Push{{Event: "post:comment", Rooms: []string{schema.RoomPublic}, Data: commentData}}},
	}})
}

// behind waits until at most so many pushes are on their way to each who reads.
func (c *crowd) behind(pushes int) {
	for int64(c.told*len(c.conns))-c.heard.Load() > int64(pushes*len(c.conns)) {
		<-time.After(50 * time.Microsecond)
	}
}

// disperse ends the room, which must have heard everything.
func (c *crowd) disperse() {
	c.behind(0)
	if open := c.g.server.Stats().Sockets; open < len(c.conns) {
		c.b.Errorf("%d sockets are open of %d that read", open, len(c.conns))
	}
	for _, conn := range c.conns {
		conn.Close()
	}
	c.reading.Wait()
	slices.Sort(c.took)
}

// BenchmarkStalled has a room of 1000 of which none, or a tenth, stop reading at the
// start, and says what comes of it for the others. Their latency is that of 500 pushes
// at 100 a second, a tenth of what the room takes: those who do not read are closed on
// the way, when 256 pushes wait for them.
func BenchmarkStalled(b *testing.B) {
	for _, stalled := range []int{0, crowdSize / 10} {
		b.Run(fmt.Sprint(stalled, "/latency"), func(b *testing.B) {
			const pushes, rate = 500, 100
			for b.Loop() {
				c := gather(b, stalled, pushes, 256)
				tick := time.NewTicker(time.Second / rate)
				for range pushes {
					<-tick.C
					c.tell()
				}
				tick.Stop()
				c.disperse()
				b.ReportMetric(float64(c.took[len(c.took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(c.took[len(c.took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(c.took[len(c.took)-1].Microseconds())/1000, "max-ms")
			}
		})
		b.Run(fmt.Sprint(stalled, "/throughput"), func(b *testing.B) {
			const pushes = 4000
			for b.Loop() {
				c := gather(b, stalled, pushes, 1024)
				began := time.Now()
				for range pushes {
					c.behind(256) // not further ahead than a slow reader's queue allows
					c.tell()
				}
				c.behind(0)
				b.ReportMetric(float64(pushes*len(c.conns))/time.Since(began).Seconds(), "deliveries/s")
				c.disperse()
			}
		})
	}
}
