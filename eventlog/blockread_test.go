package eventlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
)

// The block files hold what the server serves, over several blocks, from any place
// to any other.
func TestBlockFilesHoldWhatTheServerServes(t *testing.T) {
	l := openLog(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	var batch []Record
	for i := range 3000 {
		r := post(fmt.Sprint("user", i%7), strings.Repeat("x", rng.IntN(16<<10)))
		if i%3 == 0 {
			r.Key, r.CausationID, r.Entity = "a key, 100%", r.ID, "post:"+r.ID
		}
		batch = append(batch, r)
	}
	fill(t, l, batch)
	if blocks, err := blockIndexes(blockFolder(l.cfg.Dir, streamEvents)); err != nil || len(blocks) < 3 {
		t.Fatalf("blocks %v, %v: the test tests nothing", blocks, err)
	}
	served := map[uint64]Record{}
	server := l.newReader(streamEvents, "", 1)
	defer server.close()
	for next := uint64(1); next <= l.Durable(); {
		records, err := server.read(t.Context(), nil, readBatch, l.Durable())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			served[r.Seq], next = r, r.Seq+1
		}
	}
	for range 200 {
		from := 1 + rng.Uint64N(l.Durable())
		to := from + rng.Uint64N(l.Durable()-from+1)
		r, err := l.newBlockReader(streamEvents, from)
		if err != nil {
			t.Fatal(err)
		}
		for next := from; next <= to; {
			records, err := r.read(t.Context(), nil, 1+rng.IntN(500), to)
			if err != nil || len(records) == 0 {
				t.Fatalf("%d to %d: at %d: %d records, %v", from, to, next, len(records), err)
			}
			for _, got := range records {
				if want := served[next]; !reflect.DeepEqual(got, want) {
					t.Fatalf("record %d from the files is %+v, from the server %+v", next, got, want)
				}
				next++
			}
		}
		r.close()
	}
}

// Records are read from the files while others are written behind them.
func TestBlockFilesAreReadWhileTheyGrow(t *testing.T) {
	l := openLog(t, Config{})
	mustAppend(t, l, post("alice", "first"))
	r, err := l.newBlockReader(streamEvents, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for n := uint64(1); n < 300; n++ {
		records, err := r.read(t.Context(), nil, 10, n)
		if err != nil || len(records) != 1 || records[0].Seq != n {
			t.Fatalf("at %d: %d records, %v", n, len(records), err)
		}
		mustAppend(t, l, post("alice", strings.Repeat("y", int(n)*100)))
	}
}

// Who meets damage in a file goes on through the server, which has the record in
// memory here, and says so.
func TestDamagedBlockFileIsReadThroughTheServer(t *testing.T) {
	var said strings.Builder
	l := openLog(t, Config{Logger: slog.New(slog.NewTextHandler(&said, nil))})
	for i := range 20 {
		mustAppend(t, l, post("alice", fmt.Sprint("number ", i)))
	}
	path := blockPath(blockFolder(l.cfg.Dir, streamEvents), 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "number 10")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	l.tail.drop(l.tail.to)
	count := 0
	for r, err := range l.Read(context.Background(), 1, 0) {
		if count++; err != nil || r.Err != nil || r.Seq != uint64(count) {
			t.Fatalf("record %d: %v %v, want %d", r.Seq, r.Err, err, count)
		}
	}
	if count != 20 || !strings.Contains(said.String(), "checksum") {
		t.Errorf("%d records; the log says %s", count, said.String())
	}
}

// Whatever a block file holds, it is read or refused.
func FuzzBlockReader(f *testing.F) {
	l := openLog(f, Config{})
	for i := range 3 {
		mustAppend(f, l, post("alice", fmt.Sprint("number ", i)))
	}
	b, err := os.ReadFile(blockPath(blockFolder(l.cfg.Dir, streamEvents), 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(blockPath(dir, 1), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &blockReader{stream: streamEvents, msgs: dir, next: 1}
		if err := r.open(1); err != nil {
			t.Fatal(err)
		}
		defer r.close()
		for at := uint64(0); ; {
			m, err := r.message()
			if err != nil {
				if err == io.EOF && len(r.rest) >= blockHeader {
					t.Errorf("%d bytes are passed over in silence", len(r.rest))
				}
				return
			}
			if at += uint64(blockHeader + len(m.header) + len(m.body)); at > uint64(len(b)) {
				t.Fatal("more is read than there is")
			}
		}
	})
}
