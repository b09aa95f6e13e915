package eventlog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roomlog/schema"
)

// A failed fsync ends the log: Fatal is called once, and neither the records of
// that group nor any later one is acked, shown or retried.
func TestFsyncError(t *testing.T) {
	var broken atomic.Bool
	var fatal atomic.Int32
	l := openLog(t, Config{
		Fatal: func(err error) {
			fatal.Add(1)
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("fatal: %v", err)
			}
		},
		test: faults{fsync: func(f *os.File) error {
			if broken.Load() {
				return syscall.EIO
			}
			return f.Sync()
		}},
	})
	mustAppend(t, l, post("alice", "before"))
	f, err := l.Follow(context.Background(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	broken.Store(true)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := l.AppendWait(context.Background(), post("bob", "never acked"))
			var told *schema.Error
			if !errors.Is(err, syscall.EIO) || !errors.As(err, &told) || told.Code != schema.LogUnavailable {
				t.Errorf("appending while fsync fails: %v", err)
			}
		})
	}
	wg.Wait()
	broken.Store(false) // trying again would succeed, and prove nothing
	if _, err := l.AppendWait(context.Background(), post("bob", "after")); !errors.Is(err, syscall.EIO) {
		t.Errorf("appending after fsync failed: %v", err)
	}
	if fatal.Load() != 1 || !errors.Is(l.Err(), syscall.EIO) || l.Durable() != 1 {
		t.Errorf("fatal was called %d times, Err is %v, durable is %d", fatal.Load(), l.Err(), l.Durable())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if records, err := f.Next(ctx, 1); err == nil {
		t.Errorf("a follower was shown %v", records)
	}
	if n := len(readAll(t, l, 1, 0)); n != 1 {
		t.Errorf("Read shows %d records", n)
	}
}

// A full disk refuses records before they reach the server, says so once, and is
// over when there is space again.
func TestDiskFull(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	var said bytes.Buffer
	l := openLog(t, Config{Logger: slog.New(slog.NewTextHandler(&said, nil)), FreeSpace: func(string) (int64, error) { return free.Load(), nil }})
	mustAppend(t, l, post("alice", "before"))
	free.Store(Reserve - 1)
	for range 3 {
		_, err := l.AppendWait(context.Background(), post("alice", "full"))
		var told *schema.Error
		if !errors.Is(err, ErrFull) || !errors.As(err, &told) || !told.Temporary {
			t.Errorf("appending to a full disk: %v", err)
		}
	}
	if l.Err() != nil || !errors.Is(l.Refusal(), ErrFull) {
		t.Errorf("a full disk passes, but Err is %v, and Refusal %v", l.Err(), l.Refusal())
	}
	free.Store(Reserve)
	if seq := mustAppend(t, l, post("alice", "after")); seq != 2 {
		t.Errorf("the record after that is at %d", seq)
	}
	if err := l.Refusal(); err != nil {
		t.Errorf("it takes records and says that it does not: %v", err)
	}
	if text := said.String(); strings.Count(text, "takes no records for now") != 1 || strings.Count(text, "takes records again") != 1 {
		t.Errorf("it said, each once or not:\n%s", text)
	}
}

// A publish whose ack is lost is sent again and stored once, in either mode.
func TestLostAck(t *testing.T) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		t.Run(string(mode), func(t *testing.T) {
			var mu sync.Mutex
			dropped := make(map[string]bool)
			l := openLog(t, Config{Fsync: mode, test: faults{
				ackTimeout: 300 * time.Millisecond, // a slow batch must not look lost four times
				dropAck: func(id string) bool {
					mu.Lock()
					defer mu.Unlock()
					first := !dropped[id]
					dropped[id] = true
					return first && len(dropped)%20 == 1
				},
			}})
			testFollow(t, l, 5, 20)
			if n := len(readAll(t, l, 1, 0)); n != 100 {
				t.Errorf("the log holds %d records, want 100", n)
			}
		})
	}
}

// A store that answers nothing, not even again, ends the log.
func TestStoreSilent(t *testing.T) {
	fatal := make(chan error, 2)
	l := openLog(t, Config{
		Fatal: func(err error) { fatal <- err },
		test:  faults{ackTimeout: 10 * time.Millisecond, dropAck: func(string) bool { return true }},
	})
	_, err := l.AppendWait(context.Background(), post("alice", "hello"))
	if !errors.Is(err, ErrLost) || !errors.Is(l.Err(), ErrLost) || len(fatal) != 1 {
		t.Errorf("appending: %v; Err: %v; fatal %d times", err, l.Err(), len(fatal))
	}
}
