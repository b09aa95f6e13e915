package realtime

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"roomlog/schema"
)

// gatedConn lets one write through at a time, when the test opens the gate, and counts
// them.
type gatedConn struct {
	net.Conn
	entered chan struct{} // gets a value when a write begins
	gate    chan struct{}
	written [][]byte // guarded by the queue's writer, which is alone
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.entered <- struct{}{}
	<-c.gate
	c.written = append(c.written, bytes.Clone(b))
	return len(b), nil
}

// What is queued while a write is under way leaves in one write, whatever it is.
func TestQueuedFramesLeaveInOneWrite(t *testing.T) {
	const pushes = 500
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	conn := &gatedConn{Conn: ours, entered: make(chan struct{}), gate: make(chan struct{})}
	cfg := Defaults()
	var writers sync.WaitGroup
	q := sendQueue{conn: conn, limits: &cfg, heavy: new(heavy), flusher: &writers}
	f := &pushFrame{head: newPushHead("post:like", "post:A", 1), tail: newPushTail(schema.TimeOf(time.Now()), nil)}
	var want []byte
	queue := func(n uint64) {
		if !q.push(f) {
			t.Fatalf("no room for push %d", n)
		}
		want = f.appendTo(want, n)
	}
	queue(1)
	<-conn.entered
	for n := range uint64(pushes) {
		queue(n + 2)
	}
	conn.gate <- struct{}{}
	<-conn.entered
	conn.gate <- struct{}{}
	writers.Wait()
	if len(conn.written) != 2 {
		t.Errorf("%d frames left in %d writes, want one and then the rest", pushes+1, len(conn.written))
	}
	if got := bytes.Join(conn.written, nil); !bytes.Equal(got, want) {
		t.Errorf("%d bytes were written, want %d: every frame, in order", len(got), len(want))
	}
}

// Of what may be lost, as who comes and goes, a queue takes only so much that half of it
// is left for facts, and those to the last one that fits.
func TestPresenceLeavesRoomForFacts(t *testing.T) {
	s := quietSession("s")
	s.out.limits.MaxQueuedFrames = 10
	news := make([]pushFrame, 20)
	for i, want := range []int{6, 0} {
		if queued, _ := s.out.pushSome(news); queued != want {
			t.Errorf("attempt %d: %d were queued, want %d", i, queued, want)
		}
	}
	fact := new(pushFrame)
	for n := range 4 {
		if !s.out.push(fact) {
			t.Errorf("no room for fact %d", n)
		}
	}
	if s.out.push(fact) {
		t.Error("there is room for more than the queue's frames")
	}
	if s.out.pushes != 10 {
		t.Errorf("n is %d: what was not queued was counted", s.out.pushes)
	}
}

// What is lost to a full queue is read from the log by who comes back, from the last
// place they heard of on: so nothing of the same record, or of a later one, is queued
// behind it, though there is room again before the socket is closed.
func TestNothingIsQueuedBehindWhatHadNoRoom(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	conn := &gatedConn{Conn: ours, entered: make(chan struct{}), gate: make(chan struct{})}
	cfg := Defaults()
	cfg.MaxQueuedFrames = 1
	var writers sync.WaitGroup
	q := sendQueue{conn: conn, limits: &cfg, heavy: new(heavy), flusher: &writers}
	f := &pushFrame{head: newPushHead("post:like", "post:A", 1), tail: newPushTail(schema.TimeOf(time.Now()), nil)}
	if !q.push(f) {
		t.Fatal("no room for the first push")
	}
	<-conn.entered
	if q.push(f) {
		t.Fatal("there is room for a second push")
	}
	conn.gate <- struct{}{}
	writers.Wait() // now there would be
	listed, _ := q.pushListed(f)
	some, _ := q.pushSome([]pushFrame{*f})
	if q.push(f) || listed || some > 0 || q.offer(f) == nil || q.send(ws.OpText, nil) {
		t.Error("something is queued behind a push that had no room")
	}
	if q.pushes != 1 {
		t.Errorf("n is %d, want 1", q.pushes)
	}
	if !q.seal(f, ws.NewCloseFrameBody(4008, ""), true) {
		t.Error("not sealed")
	}
	<-conn.entered
	conn.gate <- struct{}{}
	writers.Wait()
	if len(conn.written) != 2 || !bytes.HasPrefix(conn.written[1], f.appendTo(nil, 2)) {
		t.Errorf("written: %q, want the first push and then the last one as n 2", conn.written)
	}
}
