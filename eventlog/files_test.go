package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A record has the same leaf whichever way it comes: from memory, from the files,
// from the server in a batch or alone, while the log is open or by its files alone.
func TestLeafIsTheSameWhicheverWay(t *testing.T) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, Config{Dir: dir, Fsync: mode})
			records := posts(300)
			records[7].Key, records[7].Socket, records[7].Entity = "a key, 100%", "socket", "post:x"
			fill(t, l, records)
			want := make([][]byte, l.Durable()+1)
			check := func(way string, r Record, err error) {
				t.Helper()
				if err != nil || r.Err != nil {
					t.Fatalf("%s: %v %v", way, err, r.Err)
				}
				if leaf := r.Leaf(); len(leaf) < 300 || want[r.Seq] != nil && !bytes.Equal(leaf, want[r.Seq]) {
					t.Fatalf("%s: record %d has leaf\n%q\nwant\n%q", way, r.Seq, leaf, want[r.Seq])
				} else {
					want[r.Seq] = leaf
				}
				back, err := RecordOfLeaf(r.Leaf())
				if err != nil || !same(back, r) || !bytes.Equal(back.Leaf(), r.Leaf()) {
					t.Fatalf("%s: record %d comes back from its leaf as %+v, %v", way, r.Seq, back, err)
				}
			}
			for _, r := range l.tail.read(1, 300) {
				check("memory", r, nil)
			}
			server := l.newReader(streamEvents, "", 1)
			defer server.close()
			served, err := server.read(t.Context(), nil, 300, 300)
			for _, r := range served {
				check("server", r, err)
			}
			l.tail.drop(l.tail.to)
			for r, err := range l.Read(t.Context(), 1, 0) {
				check("files", r, err)
			}
			r, err := l.Get(t.Context(), 8)
			check("asked for", r, err)

			f, err := OpenFiles(Config{Dir: dir}, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for r, err := range f.Read(t.Context(), 1, 0) {
				check("opened by its files", r, err)
			}
			if f.Epoch() != l.Epoch() || f.First() != 1 || f.Durable() != 300 {
				t.Errorf("epoch %s, seq %d to %d", f.Epoch(), f.First(), f.Durable())
			}
		})
	}
}

// Each part of a stored record is part of its leaf.
func TestLeafHoldsEveryPart(t *testing.T) {
	msg, _, _, err := encode(Record{ID: NewID(time.Now()), Event: "post:create", Version: 1, Data: []byte(`{"content":"hi"}`)}, "events.social.post.create", "/node")
	if err != nil {
		t.Fatal(err)
	}
	raw := rawHeader(msg.Header)
	leaf := func(seq uint64, subject, header string, body []byte) string {
		r := decodeRaw(seq, subject, header, body)
		return string(r.Leaf())
	}
	seen := map[string]string{}
	add := func(what, leaf string) {
		if other, double := seen[leaf]; double {
			t.Errorf("%s has the leaf of %s", what, other)
		}
		seen[leaf] = what
	}
	add("the record", leaf(1, msg.Subject, raw, msg.Data))
	add("its place", leaf(2, msg.Subject, raw, msg.Data))
	add("its subject", leaf(1, msg.Subject+"d", raw, msg.Data))
	for i := range raw {
		changed := []byte(raw)
		changed[i] ^= 1
		if line := strings.LastIndexAny(raw[:i+1], "\r\n"); raw[i] == '\r' || raw[i] == '\n' || line == len(raw)-1 {
			continue // the line's end is not the header's
		}
		add(fmt.Sprintf("byte %d of its header", i), leaf(1, msg.Subject, string(changed), msg.Data))
	}
	for i := range msg.Data {
		changed := bytes.Clone(msg.Data)
		changed[i] ^= 1
		add(fmt.Sprintf("byte %d of its body", i), leaf(1, msg.Subject, raw, changed))
	}
	if r := (&Record{}); r.Leaf() != nil {
		t.Error("a record that was never in a log has a leaf")
	}
	if leafFields(nats.Header{"b": {"2", "1"}, "a": {"x"}, "Nats-Sequence": {"7"}}) != "a: x\nb: 2\nb: 1\n" {
		t.Error("headers are not in the order of their names")
	}
}

// A log that is open by its files reads as the server read it, and writes nothing.
func TestOpenFiles(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	if f, err := OpenFiles(Config{Dir: dir}, 0); err != nil || f.Durable() != 0 || f.First() != 1 {
		t.Fatalf("an empty log: %v", err)
	} else if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error("closing twice:", err)
	}
	mustAppend(t, l, post("alice", "before"))
	middle := time.Now()
	mustAppend(t, l, post("alice", strings.Repeat("x", 50<<10)))
	admin := fillAdmin(t, l, 20)
	last := l.Durable()
	for _, running := range []bool{true, false} {
		if !running {
			l.Close()
		}
		f, err := OpenFiles(Config{Dir: dir}, 0)
		if err != nil || f.Durable() != last || f.Epoch() != l.Epoch() {
			t.Fatalf("running %v: %v", running, err)
		}
		if seq, err := f.SeqAtTime(t.Context(), middle); err != nil || seq != 2 {
			t.Errorf("at %v is record %d, %v", middle, seq, err)
		}
		if seq, err := f.SeqAtTime(t.Context(), time.Now().Add(time.Hour)); err != nil || seq != last+1 {
			t.Errorf("in an hour is record %d, %v", seq, err)
		}
		if r, err := f.Get(t.Context(), 2); err != nil || r.Seq != 2 || len(r.Data) < 50<<10 {
			t.Errorf("record 2: %d, %v", r.Seq, err)
		}
		if _, err := f.Get(t.Context(), last+1); !errors.Is(err, ErrNotFound) {
			t.Errorf("record %d: %v", last+1, err)
		}
		n := 0
		for r, err := range f.ReadAdmin(t.Context(), 1) {
			if err != nil || n >= len(admin) || !same(r, admin[n]) {
				t.Fatalf("entry %d of the admin stream: %+v, %v", n, r, err)
			}
			n++
		}
		if n != len(admin) {
			t.Errorf("%d entries of the admin stream, want %d", n, len(admin))
		}
		err = errors.Join(
			f.Append(t.Context(), post("alice", "x"), nil), f.Audit("parked", struct{}{}), f.Signal(Record{Event: "user:typing"}))
		if strings.Count(fmt.Sprint(err), ErrReadOnly.Error()) != 3 {
			t.Errorf("writing: %v", err)
		}
		if f.Close() != nil {
			t.Error("closing fails")
		}
	}
	if bounded, err := OpenFiles(Config{Dir: dir}, 5); err != nil || bounded.Durable() != 5 {
		t.Errorf("up to 5: %v", err)
	}
	if _, err := OpenFiles(Config{Dir: t.TempDir()}, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("where there is none: %v", err)
	}
}

// By its files a log is read up to what is damaged, and past it nothing is made up.
func TestOpenFilesMeetsDamage(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	for i := range 20 {
		mustAppend(t, l, post("alice", fmt.Sprint("number ", i)))
	}
	l.Close()
	path := blockPath(blockFolder(dir, streamEvents), 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) (last uint64, count int, err error) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFiles(Config{Dir: dir}, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for r, err := range f.Read(context.Background(), 1, 0) {
			if err != nil {
				return f.Durable(), count, err
			}
			if count++; r.Seq != uint64(count) {
				t.Fatalf("record %d comes as number %d", r.Seq, count)
			}
		}
		return f.Durable(), count, nil
	}
	damaged := bytes.Clone(whole)
	damaged[bytes.Index(whole, []byte("number 10"))] ^= 1
	if last, count, err := read(damaged); last != 20 || count != 10 || !errors.Is(err, ErrDamaged) {
		t.Errorf("a flipped bit: %d of %d, %v", count, last, err)
	}
	if last, count, err := read(whole[:len(whole)-5]); last != 19 || count != 19 || err != nil {
		t.Errorf("a torn end: %d of %d, %v", count, last, err)
	}
	second := bytes.Index(whole, []byte("number 1\""))
	size := second - bytes.Index(whole, []byte("number 0\""))
	if last, _, err := read(append(bytes.Clone(whole), whole[:size]...)); last != 20 || err != nil {
		// What stands behind the end was never wanted; who wants it meets it.
		t.Errorf("the first record again at the end: %d, %v", last, err)
	}
	twice := append(bytes.Clone(whole[:2*size]), whole[size:]...)
	if _, count, err := read(twice); count != 2 || !errors.Is(err, ErrDamaged) {
		t.Errorf("a record twice: %d records, %v", count, err)
	}
}
