package realtime_test

import (
	"bytes"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/schema"
)

func bench(c *realtime.Config) {
	c.MaxConnections, c.MaxSocketsPerUser, c.MaxPerAddress = 10_000, 10_000, 0
}

var commentData = []byte(`{"postId":"01JDQ0G6ZK8V7T5M3N2B1A0C9D","comment":{"id":"01JDQ0G6ZK8V7T5M3N2B1A0C9E","author":{"id":"hamlet","username":"Hamlet"},"content":"Words, words, words.","createdAt":"2026-11-23T18:00:00.000Z"},"commentsCount":17}`)

// BenchmarkFanOut pushes to a room of 1000 sockets over loopback, with all the
// clients in this process. One operation is one push to all of them.
func BenchmarkFanOut(b *testing.B) {
	const sockets = 1000
	g := openGateway(b, bench)
	var received atomic.Int64
	var readers sync.WaitGroup
	var conns []net.Conn
	for i := range sockets {
		s := g.user(b, "user"+strconv.Itoa(i))
		s.ask("socket:connect", "{}")
		s.conn.SetDeadline(time.Time{})
		conns = append(conns, s.conn)
		readers.Go(func() { countFrames(s.conn, &received) })
	}
	push := projections.Push{
		Event: "post:comment",
		Rooms: []string{schema.RoomPublic},
		Data:  commentData,
	}
	batch := make([]projections.Applied, 1)
	sent := int64(0)
	b.ReportAllocs()
	began := time.Now() // b.Elapsed would leave out the last pushes' way
	for b.Loop() {
		// Not further ahead than a slow reader's queue allows.
		for sent*sockets-received.Load() > 256*sockets {
			<-time.After(50 * time.Microsecond)
		}
		sent++
		batch[0] = projections.Applied{
			Record:  eventlog.Record{Seq: uint64(1_000_000 + sent), Time: schema.TimeOf(time.Now())},
			Outcome: projections.Outcome{Pushes: []projections.Push{push}},
		}
		g.server.Deliver(batch)
	}
	for received.Load() < sent*sockets {
		<-time.After(50 * time.Microsecond)
	}
	b.ReportMetric(float64(sent*sockets)/time.Since(began).Seconds(), "deliveries/s")
	b.StopTimer()
	if got, open := received.Load(), g.server.Stats().Sockets; got != sent*sockets || open != sockets {
		b.Errorf("%d of %d pushes arrived; %d of %d sockets are open", got, sent*sockets, open, sockets)
	}
	for _, conn := range conns {
		conn.Close()
	}
	readers.Wait()
}

// countFrames counts text frames until the connection ends: the first byte of
// one is in no JSON text of ASCII, nor in the lengths of the frames here.
func countFrames(conn net.Conn, count *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buf)
		count.Add(int64(bytes.Count(buf[:n], []byte{fin | opText})))
		if err != nil {
			return
		}
	}
}

// BenchmarkIngest has 1000 senders, each with one fact at a time: fsynced,
// projected, acked. One operation is one fact.
func BenchmarkIngest(b *testing.B) {
	const senders = 1000
	g := openGateway(b, bench)
	var all []*rawSocket
	for i := range senders {
		s := g.user(b, "user"+strconv.Itoa(i))
		s.ask("socket:connect", "{}")
		s.conn.SetDeadline(time.Time{})
		all = append(all, s)
	}
	frame := wire(fin|opText, `{"id":1,"event":"post:create","data":{"content":"`+string(bytes.Repeat([]byte("to be or not to be "), 10))+`"}}`)
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	var work sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for _, s := range all {
		work.Go(func() {
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				began := time.Now()
				s.write(frame)
				if _, payload, err := s.nextFrame(); err != nil || !bytes.Contains(payload, []byte(`"ok":true`)) {
					b.Errorf("%s %v", payload, err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	work.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acked/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
