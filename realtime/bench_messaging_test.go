package realtime_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// BenchmarkSend has a sender in each of 500 direct conversations, who waits for
// the ack before the next message; the other side is connected and hears it. One
// operation is one message: fsynced, projected, acked and pushed.
func BenchmarkSend(b *testing.B) {
	const conversations = 500
	g := openGateway(b, bench)
	type pair struct {
		sender *client.Client
		id     string
	}
	var heard atomic.Int64
	var pairs []pair
	dial := func(user string, onFrame func([]byte)) *client.Client {
		c, err := client.Dial(b.Context(), "ws://"+g.addr+"/ws", client.Options{Token: tokenFor(b, user), OnFrame: onFrame})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	for i := range conversations {
		from, to := fmt.Sprintf("from%d", i), fmt.Sprintf("to%d", i)
		sender := dial(from, nil)
		ack, err := sender.Do(b.Context(), "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{to}}, "")
		if err != nil {
			b.Fatal(err)
		}
		dial(to, func([]byte) { heard.Add(1) })
		pairs = append(pairs, pair{sender, as[schema.ConversationCreated](b, ack).Conversation.ID})
	}
	quiet := heard.Load()
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var took []time.Duration
	var work sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for _, p := range pairs {
		work.Go(func() {
			var mine []time.Duration
			send := schema.MessageSend{ConversationID: p.id, Content: "Who is there? Nay, answer me: stand, and unfold yourself.", MessageType: "text"}
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := p.sender.Do(context.Background(), "message:send", send, ""); err != nil {
					b.Error(err)
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
	for heard.Load() < quiet+int64(b.N) {
		<-time.After(50 * time.Microsecond)
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acked/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkResume is a client that comes back to 1,000 missed pushes: dialled,
// told everything and live. Before the end of the log, as here, they are in memory.
func BenchmarkResume(b *testing.B) {
	const missed = 1000
	g := openGateway(b, func(c *realtime.Config) { c.MaxResume = 1 << 30 }) // over and over again, too
	alice := g.connect(b, "alice")
	id := alice.group("Group", "bob")
	start := g.models.Applied()
	for range missed / 50 {
		alice.sendMany(50, id)
	}
	token := tokenFor(b, "bob")
	resume := &schema.Resume{Epoch: g.log.Epoch(), Seq: start, Rooms: []string{schema.ConversationRoom(id)}}
	b.ReportAllocs()
	for b.Loop() {
		told, done := 0, make(chan struct{})
		c, err := client.Dial(b.Context(), "ws://"+g.addr+"/ws", client.Options{Token: token, Resume: resume, OnPush: func(f schema.Frame) {
			switch f.Event {
			case "message:send":
				told++
			case "socket:resumed", "socket:resync":
				close(done)
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		<-done
		c.Close()
		if told != missed {
			b.Fatalf("told %d of %d", told, missed)
		}
	}
	b.ReportMetric(float64(b.N*missed)/b.Elapsed().Seconds(), "pushes/s")
}

// sendMany sends n messages at once.
func (p *peer) sendMany(n int, conversation string) {
	p.t.Helper()
	var acks sync.WaitGroup
	acks.Add(n)
	for i := range n {
		send := schema.MessageSend{ConversationID: conversation, Content: fmt.Sprintf("message %d", i), MessageType: "text"}
		err := p.Send("message:send", send, "", func(f schema.Frame) {
			if f.Error != nil {
				p.t.Errorf("%s: message:send: %+v", p.user, f.Error)
			}
			acks.Done()
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	acks.Wait()
}
