package eventlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

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
