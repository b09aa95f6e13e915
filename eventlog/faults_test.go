package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	l := openLog(t, Config{Logger: slog.New(slog.NewTextHandler(&said, nil)), test: faults{free: func(string) (int64, error) { return free.Load(), nil }}})
	mustAppend(t, l, post("alice", "before"))
	free.Store(reserve - 1)
	for range 3 {
		_, err := l.AppendWait(context.Background(), post("alice", "full"))
		var told *schema.Error
		if !errors.Is(err, ErrFull) || !errors.As(err, &told) || !told.Temporary {
			t.Errorf("appending to a full disk: %v", err)
		}
	}
	if l.Err() != nil {
		t.Errorf("a full disk passes, but Err is %v", l.Err())
	}
	free.Store(reserve)
	if seq := mustAppend(t, l, post("alice", "after")); seq != 2 {
		t.Errorf("the record after that is at %d", seq)
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

// Where the server's files are not as known, it syncs by itself.
func TestUnknownLayout(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	epoch := l.Epoch()
	before := post("alice", "before")
	before.Key = "0"
	mustAppend(t, l, before)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, Config{Dir: dir, test: faults{unknownLayout: true}})
	if l.blocks != nil || l.cfg.Fsync != FsyncAlways || l.pub.batches != minBatch || l.Epoch() != epoch || l.Durable() != 1 {
		t.Errorf("no fallback: mode %s, batches from %d, epoch %s, durable %d", l.cfg.Fsync, l.pub.batches, l.Epoch(), l.Durable())
	}
	testFollow(t, l, 20, 5)
}

// A server that acks what it has not written is found out at once.
func TestAckBeforeWrite(t *testing.T) {
	l := openLog(t, Config{})
	seq := mustAppend(t, l, post("alice", "hello"))
	if err := l.blocks.commit(1); seq != 1 || !errors.Is(err, errLayout) {
		t.Errorf("a commit of a byte that is in no file: %v", err)
	}
}

// The layout that blocksync.go leans on, as this version of nats-server has it.
// When this fails after an update of the server: read its filestore.go again, then
// blocksync.go, and run TestPowerLoss for 200 rounds.
func TestBlockFileLayout(t *testing.T) {
	dir := t.TempDir()
	type synced struct {
		path   string
		length int64
	}
	var mu sync.Mutex
	var syncs []synced
	l, err := Open(context.Background(), Config{Dir: dir, OnSync: func(path string, length int64) {
		mu.Lock()
		defer mu.Unlock()
		syncs = append(syncs, synced{path, length})
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stream := filepath.Join(dir, "jetstream", "ROOMLOG", "streams", "EVENTS")
	msgs := filepath.Join(stream, "msgs")
	was := func(path string, length int64) bool {
		for _, s := range syncs {
			if s.path == path && s.length == length {
				return true
			}
		}
		return false
	}
	for _, path := range []string{
		filepath.Join(stream, "meta.inf"), filepath.Join(stream, "meta.sum"), filepath.Join(msgs, "1.blk"),
		msgs, stream, filepath.Dir(stream), filepath.Join(dir, "jetstream", "ROOMLOG"), filepath.Join(dir, "jetstream"), dir,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatalf("the layout differs: %v", err)
		}
		if !was(path, -1) || info.Mode().IsRegular() && !was(path, info.Size()) {
			t.Errorf("%s was not made durable before the first ack", path)
		}
	}

	var offset int64
	for i, block := 0, 1; block < 3; i++ {
		text := strings.Repeat("x", 900_000)
		r := post("alice", "record "+strconv.Itoa(i)+text)
		seq := mustAppend(t, l, r)
		path := filepath.Join(msgs, strconv.Itoa(block)+".blk")
		if next := filepath.Join(msgs, strconv.Itoa(block+1)+".blk"); exists(next) {
			if info, err := os.Stat(path); err != nil || info.Size() != offset {
				t.Fatalf("%s was written to after its successor began: %v, %v", path, info, err)
			}
			path, offset = next, 0
			block++
			if !was(path, -1) {
				t.Fatalf("the name of %s was not made durable before the ack", path)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		record := b[offset:]
		if got := uint64(record[4]) | uint64(record[5])<<8; got != seq || !strings.Contains(string(record), r.ID) || !strings.Contains(string(record), text) {
			t.Fatalf("at %d of %s is not record %d", offset, path, seq)
		}
		offset = int64(len(b))
		if !was(path, offset) {
			t.Fatalf("record %d was acked, but %s not synced to %d", seq, path, offset)
		}
		if n := len(l.blocks.blocks); n != 1 {
			t.Fatalf("%d blocks are held open", n)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestLocked(t *testing.T) {
	l := openLog(t, Config{})
	_, err := Open(context.Background(), Config{Dir: l.cfg.Dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("opening twice: %v", err)
	}
}

// What Open says when it cannot: one sentence with what to do.
func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		cfg  Config
		says string
	}{
		"no directory":       {Config{}, "needs a data directory"},
		"not writable":       {Config{Dir: filepath.Join(file, "data")}, "cannot make the data directory"},
		"fsync mode":         {Config{Dir: dir, Fsync: "never"}, `"never" is neither`},
		"replicas":           {Config{Dir: dir, Replicas: 3}, "outside NATS cluster"},
		"listening for URL":  {Config{URL: "nats://127.0.0.1:1", NATSListen: "127.0.0.1:0"}, "not both"},
		"port in use":        {Config{Dir: dir, NATSListen: busy.Addr().String()}, "choose another --nats-listen"},
		"unreachable server": {Config{URL: "nats://127.0.0.1:1"}, "cannot reach NATS at nats://127.0.0.1:1"},
	} {
		l, err := Open(context.Background(), c.cfg)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// A log whose meta files are damaged is refused, not made anew over its records;
// one that never held a record is made anew; signals and audits are kept.
func TestDamagedMeta(t *testing.T) {
	damage := func(dir, stream string) {
		if err := os.WriteFile(filepath.Join(streamFolder(dir, stream), "meta.inf"), []byte("noise"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(records int) string {
		dir := t.TempDir()
		l, err := Open(context.Background(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for range records {
			mustAppend(t, l, post("alice", "hello"))
		}
		if err := l.Audit("test", struct{}{}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := fill(3)
	damage(dir, streamEvents)
	if _, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening a log without its meta file: %v", err)
	}
	if b, err := os.ReadFile(blockPath(filepath.Join(streamFolder(dir, streamEvents), "msgs"), 1)); err != nil || len(b) == 0 {
		t.Errorf("its records were touched: %d bytes, %v", len(b), err)
	}
	dir = fill(0)
	damage(dir, streamEvents)
	damage(dir, streamAdmin)
	l := openLog(t, Config{Dir: dir})
	if seq := mustAppend(t, l, post("alice", "hello")); seq != 1 {
		t.Errorf("a log made anew begins at %d", seq)
	}
	audits := 0
	for _, err := range l.ReadAdmin(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		audits++
	}
	if audits != 1 {
		t.Errorf("%d audit records survived, want 1", audits)
	}
}

// Damage in the middle of the log costs the records it hit; no reader gets stuck at
// the gap, or passes over it in silence.
func TestGap(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustAppend(t, l, post("alice", strings.Repeat("x", 900_000))) // three blocks
	}
	path := blockPath(l.blocks.folder.Name(), 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "index.db")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	l = openLog(t, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	got := readAll(t, l, 1, 0)
	if want := fmt.Sprintf("missing=%d", 20-len(got)); strings.Count(said.String(), "records are missing from the log") != 1 || !strings.Contains(said.String(), want) {
		t.Errorf("reading past a gap said %q, want %s", said.String(), want)
	}
	if len(got) >= 20 || len(got) < 10 || got[len(got)-1].Seq != 20 || l.Durable() != 20 {
		t.Fatalf("%d records are left, the last is %d", len(got), got[len(got)-1].Seq)
	}
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < len(got); {
		records, err := f.Next(context.Background(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Seq != got[i].Seq {
				t.Fatalf("the follower is at %d, Read was at %d", r.Seq, got[i].Seq)
			}
			i++
		}
	}
	missing := uint64(1)
	for missing == got[missing-1].Seq {
		missing++
	}
	if _, err := l.Get(context.Background(), missing); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get(%d): %v, want ErrNotFound", missing, err)
	}
	if n := len(readAll(t, l, missing, missing)); n != 0 {
		t.Errorf("Read(%d, %d) gave %d records", missing, missing, n)
	}
}
