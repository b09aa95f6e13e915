package eventlog

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// outsideNATS starts a nats-server of its own on a loopback port.
func outsideNATS(t testing.TB) (url string) {
	t.Helper()
	url, _ = startNATS(t, server.RANDOM_PORT, t.TempDir())
	return url
}

// startNATS starts a nats-server that keeps its streams in dir, or has no
// JetStream when dir is "". It runs until stop or the end of the test.
func startNATS(t testing.TB, port int, dir string) (url string, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true,
		JetStream: dir != "", StoreDir: dir, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the outside NATS server did not start")
	}
	return s.ClientURL(), stop
}

// Two nodes at one outside server: one log, one epoch, and each sees the other's
// records.
func TestOutsideNATS(t *testing.T) {
	url := outsideNATS(t)
	dir := filepath.Join(t.TempDir(), "untouched")
	a := openLog(t, Config{URL: url, Dir: dir, Node: "a"})
	b := openLog(t, Config{URL: url, Node: "b"})
	if a.Epoch() != b.Epoch() || a.Epoch() == "" {
		t.Fatalf("epochs %q and %q", a.Epoch(), b.Epoch())
	}
	if exists(dir) {
		t.Error("the data directory was touched")
	}
	testFollow(t, a, 20, 20)

	ctx := context.Background()
	f, err := a.Follow(ctx, 401)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sending sync.WaitGroup
	for _, l := range []*Log{a, b} {
		sending.Go(func() {
			for range 50 {
				mustAppend(t, l, post("from "+l.cfg.Node, "hello"))
			}
		})
	}
	count := make(map[string]int)
	for next := uint64(401); next <= 500; {
		records, err := f.Next(ctx, 30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Seq != next {
				t.Fatalf("record %d, want %d", r.Seq, next)
			}
			count[r.Actor.ID]++
			next++
		}
	}
	sending.Wait()
	if count["from a"] != 50 || count["from b"] != 50 || a.Durable() != 500 {
		t.Errorf("followed %v, durable %d", count, a.Durable())
	}
	if all := readAll(t, a, 1, 0); len(all) != 500 {
		t.Errorf("read %d records", len(all))
	}
	c := openLog(t, Config{URL: url})
	if c.Durable() != 500 || c.Epoch() != a.Epoch() {
		t.Errorf("a third node begins at %d", c.Durable())
	}

	// A follower that waits ends with its context and with the log.
	ended, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := f.Next(ended, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
	mustAppend(t, b, post("bob", "again"))
	if records, err := f.Next(ctx, 5); err != nil || len(records) != 1 || records[0].Seq != 501 {
		t.Errorf("after that: %v, %v", records, err)
	}
	waiting := make(chan error)
	go func() {
		_, err := f.Next(ctx, 1)
		waiting <- err
	}()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("the follower got %v, want ErrClosed", err)
	}
}

// A follower waits for an outside server that is away, however often it asks in
// vain, and for its JetStream, which comes back last.
func TestFollowOutlivesAnOutage(t *testing.T) {
	dir := t.TempDir()
	url, stop := startNATS(t, server.RANDOM_PORT, dir)
	_, digits, _ := net.SplitHostPort(strings.TrimPrefix(url, "nats://"))
	port, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, Config{URL: url})
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop()

	_, stop = startNATS(t, port, "")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	if _, err := nc.Subscribe("$JS.API.CONSUMER.CREATE.>", func(m *nats.Msg) {
		m.Respond([]byte(`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`))
		asked <- struct{}{}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		records []Record
		err     error
	}
	got := make(chan answer, 1)
	go func() {
		records, err := f.Next(context.Background(), 1)
		got <- answer{records, err}
	}()
	for range readTries + 1 {
		select {
		case <-asked:
		case a := <-got:
			t.Fatalf("the follower gave up: %v", a.err)
		}
	}
	nc.Close()
	stop()

	startNATS(t, port, dir)
	mustAppend(t, openLog(t, Config{URL: url}), post("alice", "after the outage"))
	if a := <-got; a.err != nil || len(a.records) != 1 || a.records[0].Seq != 1 {
		t.Errorf("after the outage: %v, %v", a.records, a.err)
	}
}

// An ack lost on the way from an outside server costs nothing: not a record, not
// its order.
func TestOutsideLostAck(t *testing.T) {
	dropped := make(map[string]bool)
	l := openLog(t, Config{URL: outsideNATS(t), test: faults{
		ackTimeout: 300 * time.Millisecond,
		dropAck: func(id string) bool {
			first := !dropped[id]
			dropped[id] = true
			return first && len(dropped)%20 == 1
		},
	}})
	testFollow(t, l, 5, 20)
	if n := len(readAll(t, l, 1, 0)); n != 100 {
		t.Errorf("the log holds %d records, want 100", n)
	}
}
