package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Many senders, many followers, some from the start, some from the middle, some
// slow: each sees every record once, in the log's order, which keeps each
// sender's; and none is shown a record before it is durable.
func TestFollow(t *testing.T) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		t.Run(string(mode), func(t *testing.T) { testFollow(t, openLog(t, Config{Fsync: mode}), 30, 40) })
	}
}

func testFollow(t *testing.T, l *Log, senders, each int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	start := l.Durable() + 1
	end := start + uint64(senders*each) - 1
	var followers sync.WaitGroup
	follow := func(from uint64, most int) {
		f, err := l.Follow(ctx, from)
		if err != nil {
			t.Error(err)
			return
		}
		followers.Go(func() {
			defer f.Close()
			next := max(from, 1)
			newest := make(map[string]int)
			for next <= end {
				records, err := f.Next(ctx, most)
				if err != nil || len(records) == 0 || len(records) > most {
					t.Errorf("follower from %d: %d records, %v", from, len(records), err)
					return
				}
				if last := records[len(records)-1].Seq; last > l.Durable() {
					t.Errorf("follower from %d was shown %d, durable is %d", from, last, l.Durable())
				}
				for _, r := range records {
					n, err := strconv.Atoi(r.Key)
					if last, ok := newest[r.Actor.ID]; r.Seq != next || r.Err != nil || err != nil || ok && n != last+1 {
						t.Errorf("follower from %d: record %d is %s of %s after its %d, want seq %d", from, r.Seq, r.Key, r.Actor.ID, last, next)
						return
					}
					newest[r.Actor.ID] = n
					next++
				}
			}
		})
	}
	follow(0, 1000)
	follow(start, 7)
	follow(end-100, 1)
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			done := make(chan uint64, each)
			for i := range each {
				r := post(fmt.Sprintf("sender%d", s), "hello")
				r.Key = strconv.Itoa(i)
				err := l.Append(ctx, r, func(seq uint64, err error) {
					if err != nil || seq > l.Durable() {
						t.Errorf("acked %d, %v, before it was durable (%d)", seq, err, l.Durable())
					}
					done <- seq
				})
				if err != nil {
					t.Error(err)
				}
			}
			last := uint64(0)
			for range each {
				seq := <-done
				if seq <= last {
					t.Errorf("acked %d after %d", seq, last)
				}
				last = seq
			}
		})
	}
	sending.Wait()
	follow(start+10, 100)
	followers.Wait()
}

// A follower that is too far behind for the memory reads from disk, then joins
// the others in memory.
func TestFollowFarBehind(t *testing.T) {
	l := openLog(t, Config{})
	testFollow(t, l, 10, maxTail/10+500)
	if l.tail.from == 1 {
		t.Fatal("everything is still in memory: the test tests nothing")
	}
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for next := uint64(1); next <= l.Durable(); {
		records, err := f.Next(context.Background(), 300)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Seq != next {
				t.Fatalf("record %d, want %d", r.Seq, next)
			}
			next++
		}
	}
	if f.cursor.source != nil {
		t.Error("a follower that caught up still reads from the disk")
	}
}

func TestFollowEnds(t *testing.T) {
	l := openLog(t, Config{})
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := f.Next(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting at the end of the log: %v", err)
	}
	mustAppend(t, l, post("alice", "hello"))
	if records, err := f.Next(context.Background(), 10); err != nil || len(records) != 1 {
		t.Errorf("after that: %v, %v", records, err)
	}
	if _, err := f.Next(context.Background(), 0); err == nil {
		t.Error("at most 0 records were allowed")
	}
	if _, err := l.Follow(ctx, 1); err == nil {
		t.Error("following with an ended context was allowed")
	}
}

// Memory holds the newest records up to its limits, and nothing across a gap that
// others left.
func TestTail(t *testing.T) {
	tail := newTail(10)
	record := func(seq uint64) Record { return Record{Seq: seq, ID: strconv.FormatUint(seq, 10)} }
	if tail.read(10, 5) != nil || tail.read(11, 5) != nil {
		t.Error("an empty tail gives records")
	}
	tail.advance([]Record{record(11), record(12)}, 12)
	if got := tail.read(11, 5); len(got) != 2 || got[1].ID != "12" {
		t.Errorf("got %v", got)
	}
	if got := tail.read(12, 1); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	tail.advance([]Record{record(15)}, 16) // 13, 14 and 16 are someone else's
	if tail.read(12, 5) != nil || tail.read(16, 5) != nil || len(tail.read(15, 5)) != 1 || tail.durable() != 16 {
		t.Error("a gap is bridged")
	}
	tail.advance([]Record{record(5)}, 5) // a repeat
	if tail.durable() != 16 || len(tail.read(15, 5)) != 1 {
		t.Error("a repeat moved the tail")
	}
	for seq := uint64(17); seq < 17+maxTail+100; seq++ {
		tail.advance([]Record{record(seq)}, seq)
	}
	end := uint64(17 + maxTail + 99)
	got := tail.read(end-maxTail+1, 2*maxTail)
	if len(got) != maxTail || got[0].Seq != end-maxTail+1 || got[maxTail-1].Seq != end || tail.read(end-maxTail, 1) != nil {
		t.Errorf("%d records are held", len(got))
	}
	large := record(end + 1)
	large.Data = make([]byte, maxTailBytes)
	tail.advance([]Record{large}, end+1)
	if got := tail.read(end+1, 9); len(got) != 1 || tail.read(end, 1) != nil || tail.bytes != size(large) {
		t.Errorf("beside a record of the whole limit %d bytes are held", tail.bytes)
	}
}
