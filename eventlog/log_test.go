package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/schema"
)

// openLog opens a log for the test and closes it at the end.
func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Dir == "" && cfg.URL == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	if cfg.Fatal == nil {
		cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the log: %v", err)
		}
	})
	return l
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.Logf("%s", b)
	return len(b), nil
}

// post returns a post:create by the user, whose content is text.
func post(user, text string) Record {
	data, _ := json.Marshal(schema.PostCreate{Content: text})
	now := time.Now()
	return Record{
		ID:     NewID(now),
		Time:   schema.TimeOf(now),
		Event:  "post:create",
		Actor:  schema.Actor{ID: user, Username: user},
		Data:   data,
		Socket: "socket-of-" + user,
	}
}

func mustAppend(t testing.TB, l *Log, r Record) uint64 {
	t.Helper()
	seq, err := l.AppendWait(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// readAll returns the records from..to as Read gives them.
func readAll(t testing.TB, l *Log, from, to uint64) []Record {
	t.Helper()
	var all []Record
	for r, err := range l.Read(context.Background(), from, to) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// A new log is empty, keeps its epoch and its records over restarts, and goes on
// where it was.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	var epoch string
	var want []Record
	for restart := range 3 {
		l, err := Open(context.Background(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if restart == 0 {
			epoch = l.Epoch()
		}
		n := uint64(len(want))
		if l.Epoch() != epoch || len(epoch) != 26 || l.First() != 1 || l.Last() != n || l.Durable() != n {
			t.Fatalf("restart %d: epoch %s, first %d, last %d, durable %d; want %s, 1, %d, %d", restart, l.Epoch(), l.First(), l.Last(), l.Durable(), epoch, n, n)
		}
		for range 10 {
			r := post("alice", "hello")
			r.Version = 1
			r.Seq = mustAppend(t, l, r)
			want = append(want, r)
		}
		got := readAll(t, l, 1, 0)
		if len(got) != len(want) {
			t.Fatalf("restart %d: %d records, want %d", restart, len(got), len(want))
		}
		for i := range got {
			if !same(got[i], want[i]) {
				t.Fatalf("restart %d: got %+v, want %+v", restart, got[i], want[i])
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadGetSeqAtTime(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	l, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if seq, err := l.SeqAtTime(ctx, time.Now()); seq != 1 || err != nil {
		t.Errorf("an empty log has %d at any time, %v; want 1", seq, err)
	}
	const n = 3000
	last := make(chan uint64, 1)
	var ids []string
	for i := range n {
		r := post("alice", "hello")
		ids = append(ids, r.ID)
		err := l.Append(ctx, r, func(seq uint64, err error) {
			if err != nil || seq != uint64(i+1) {
				t.Errorf("record %d: sequence %d, %v", i, seq, err)
			}
			if seq == n {
				last <- seq
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	<-last
	before := time.Now()
	mustAppend(t, l, post("bob", "later"))

	check := func(t *testing.T) {
		for _, span := range [][2]uint64{{0, 0}, {1, 0}, {1, 1}, {1000, 1030}, {n, 0}, {5, 2000}, {n + 1, n + 9}, {n + 2, 0}, {7, 6}} {
			from, to := max(span[0], 1), span[1]
			if to == 0 || to > n+1 {
				to = n + 1
			}
			got := readAll(t, l, span[0], span[1])
			if want := int(to+1) - int(min(from, to+1)); len(got) != want {
				t.Errorf("Read(%d, %d) gave %d records, want %d", span[0], span[1], len(got), want)
			}
			for i, r := range got {
				if r.Seq != from+uint64(i) || r.Seq <= n && r.ID != ids[r.Seq-1] {
					t.Fatalf("Read(%d, %d) gave %s at %d", span[0], span[1], r.ID, r.Seq)
				}
			}
		}
		if r, err := l.Get(ctx, 17); err != nil || r.ID != ids[16] || r.Seq != 17 {
			t.Errorf("Get(17) is %+v, %v", r, err)
		}
		for _, seq := range []uint64{0, n + 2} {
			if _, err := l.Get(ctx, seq); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get(%d): %v, want ErrNotFound", seq, err)
			}
		}
		for at, want := range map[time.Time]uint64{before: n + 1, {}: 1, time.Now().Add(time.Hour): n + 2} {
			if seq, err := l.SeqAtTime(ctx, at); seq != want || err != nil {
				t.Errorf("SeqAtTime(%v) is %d, %v; want %d", at, seq, err, want)
			}
		}
	}
	t.Run("from memory", check)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(ctx, Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Run("from disk", check)

	// A reader that stops early, and one whose context ends.
	for range l.Read(ctx, 1, 0) {
		break
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	var failed error
	for _, err := range l.Read(ended, 1, 0) {
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("reading with an ended context: %v", failed)
	}
}

func TestAppendRefuses(t *testing.T) {
	l := openLog(t, Config{})
	ctx := context.Background()
	never := func(uint64, error) { t.Error("done was called for a refused record") }
	for event, says := range map[string]string{
		"post:join":    "no fact",
		"feed:get":     "no fact",
		"user:online":  "no fact",
		"nobody:knows": "no fact",
	} {
		r := post("alice", "hello")
		r.Event = event
		if err := l.Append(ctx, r, never); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", event, err)
		}
	}
	if err := l.Append(ctx, post("alice", strings.Repeat("x", 2<<20)), never); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a record of 2 MiB: %v", err)
	}
	if err := l.Signal(post("alice", "hello")); err == nil {
		t.Error("a fact went out as a signal")
	}
	if l.Last() != 0 {
		t.Errorf("the log holds %d records", l.Last())
	}
}

// The same record again is the same place, not a second record.
func TestAppendTwice(t *testing.T) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		l := openLog(t, Config{Fsync: mode})
		first := post("alice", "hello")
		mustAppend(t, l, first)
		mustAppend(t, l, post("bob", "hello"))
		if seq := mustAppend(t, l, first); seq != 1 {
			t.Errorf("%s: appended again at %d, want 1", mode, seq)
		}
		if seq := mustAppend(t, l, post("bob", "bye")); seq != 3 || l.Durable() != 3 {
			t.Errorf("%s: the next record is at %d, durable %d", mode, seq, l.Durable())
		}
		if got := readAll(t, l, 1, 0); len(got) != 3 || got[2].Seq != 3 {
			t.Errorf("%s: the log is %v", mode, got)
		}
	}
}

func TestClose(t *testing.T) {
	l, err := Open(context.Background(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int32
	for range 500 {
		err := l.Append(context.Background(), post("alice", "hello"), func(_ uint64, err error) {
			if err == nil {
				acked.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := l.Follow(context.Background(), 501)
	if err != nil {
		t.Fatal(err)
	}
	following := make(chan error)
	go func() {
		_, err := f.Next(context.Background(), 1)
		following <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if acked.Load() != 500 {
		t.Errorf("Close left %d of 500 accepted records unanswered", 500-acked.Load())
	}
	if err := <-following; !errors.Is(err, ErrClosed) {
		t.Errorf("the follower got %v, want ErrClosed", err)
	}
	f.Close()
	_, err = l.AppendWait(context.Background(), post("alice", "late"))
	var told *schema.Error
	if !errors.Is(err, ErrClosed) || !errors.As(err, &told) || told.Code != schema.ShuttingDown {
		t.Errorf("appending to a closed log: %v", err)
	}
	if err := l.Audit("late", struct{}{}); !errors.Is(err, ErrClosed) {
		t.Errorf("auditing to a closed log: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// The queue is bounded: Append blocks while it is full, and gives up with its
// context.
func TestQueueFull(t *testing.T) {
	q := newQueue()
	ctx, cancel := context.WithCancel(context.Background())
	for range maxQueued {
		if err := q.put(ctx, &entry{size: 1}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := q.put(ctx, &entry{size: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("put into a full queue: %v", err)
	}
	blocked := make(chan error)
	go func() { blocked <- q.put(context.Background(), &entry{size: 2}) }()
	if n := len(q.take()); n != maxGroup {
		t.Errorf("a group of %d, want %d", n, maxGroup)
	}
	if err := <-blocked; err != nil {
		t.Errorf("put after take: %v", err)
	}
	if n, _ := q.waiting(); n != maxQueued-maxGroup+1 {
		t.Errorf("%d entries wait", n)
	}
	q = newQueue()
	for range 4 {
		if err := q.put(context.Background(), &entry{size: maxQueuedBytes / 4}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.put(ctx, &entry{size: 1}); err == nil {
		t.Error("the queue takes more bytes than its limit")
	}
	if n := len(q.take()); n != 1 {
		t.Errorf("%d large entries in one group", n)
	}
	q.close()
	if err := q.put(context.Background(), &entry{}); !errors.Is(err, ErrClosed) {
		t.Errorf("put into a closed queue: %v", err)
	}
	for range 3 {
		q.take()
	}
	if group := q.take(); group != nil {
		t.Errorf("a closed, empty queue gives %d entries", len(group))
	}
}
