package eventlog

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// urlOf is where an embedded server takes one of its users.
func urlOf(t *testing.T, l *Log, name string) string {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(l.cfg.Dir, "nats."+name+".password"))
	if err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword(name, strings.TrimSpace(string(password))), Host: l.NATSAddr()}
	return u.String()
}

func openReader(t *testing.T, url string) *Log {
	t.Helper()
	l, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Whoever may read the log reads the same: with an auditor's right to get messages and
// no more, with an operator's, and at an outside server.
func TestOpenReader(t *testing.T) {
	embedded := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	outside := outsideNATS(t)
	for name, of := range map[string]struct {
		log *Log
		url string
	}{
		"auditor":  {embedded, urlOf(t, embedded, userAuditor)},
		"operator": {embedded, urlOf(t, embedded, userOperator)},
		"outside":  {openLog(t, Config{URL: outside}), outside},
	} {
		t.Run(name, func(t *testing.T) {
			l := of.log
			fill(t, l, posts(1500)) // more than one batch
			want := readAll(t, l, 1, 0)
			r := openReader(t, of.url)
			if r.Epoch() != l.Epoch() || r.First() != 1 || r.Durable() != l.Durable() {
				t.Fatalf("epoch %s, %d to %d; want %s, 1 to %d", r.Epoch(), r.First(), r.Durable(), l.Epoch(), l.Durable())
			}
			got := readAll(t, r, 1, 0)
			if len(got) != len(want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
			for i := range got {
				if !same(got[i], want[i]) || string(got[i].Leaf()) != string(want[i].Leaf()) {
					t.Fatalf("got %+v\nwant %+v", got[i], want[i])
				}
			}
			if some := readAll(t, r, 1020, 1030); len(some) != 11 || some[0].Seq != 1020 {
				t.Errorf("%d records of 11", len(some))
			}
			if one, err := r.Get(t.Context(), 77); err != nil || !same(one, want[76]) {
				t.Errorf("record 77 is %+v, %v", one, err)
			}
			if seq, err := r.SeqAtTime(t.Context(), time.Now().Add(time.Hour)); err != nil || seq != r.Durable()+1 {
				t.Errorf("in an hour comes %d, %v", seq, err)
			}
			for _, err := range []error{r.Append(t.Context(), post("x", "y"), nil), r.Signal(post("x", "y")), r.Audit("x", struct{}{})} {
				if !errors.Is(err, ErrReadOnly) {
					t.Errorf("it wrote: %v", err)
				}
			}
		})
	}
}

// A reader follows what comes, across an absence of the server, until it is closed.
func TestReaderFollows(t *testing.T) {
	dir := t.TempDir()
	url, stop := startNATS(t, server.RANDOM_PORT, dir)
	port := portOf(t, url)
	l := openLog(t, Config{URL: url})
	mustAppend(t, l, post("alice", "1"))
	r := openReader(t, url)
	f, err := r.Follow(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next := func(want uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		records, err := f.Next(ctx, 10)
		if err != nil || len(records) != 1 || records[0].Seq != want {
			t.Fatalf("%d records, %v; want %d", len(records), err, want)
		}
	}
	next(1)
	mustAppend(t, l, post("alice", "2"))
	next(2)
	stop()
	startNATS(t, port, dir)
	again := openLog(t, Config{URL: url})
	mustAppend(t, again, post("alice", "3"))
	next(3)
	if r.Durable() != 3 {
		t.Errorf("the durable sequence is %d", r.Durable())
	}
	ended := make(chan error, 1)
	go func() {
		_, err := f.Next(context.Background(), 1)
		ended <- err
	}()
	r.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func portOf(t *testing.T, text string) int {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Who may not read the log is told so, and no password comes up in it.
func TestOpenReaderRefused(t *testing.T) {
	l := openLog(t, Config{NATSListen: "127.0.0.1:0"})
	moderator := urlOf(t, l, userModerator)
	for url, want := range map[string]string{
		moderator: "these credentials cannot look at stream EVENTS",
		"nats://auditor:hush-hush@" + l.NATSAddr(): "cannot reach NATS",
		outsideNATS(t):          "stream not found",
		"nats://127.0.0.1:1":    nats.ErrNoServers.Error(),
		"nats://%zz:x@nowhere/": "cannot reach NATS",
	} {
		started := time.Now()
		r, err := OpenReader(t.Context(), Config{URL: url})
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", url, err)
		}
		if took := time.Since(started); took > 8*time.Second {
			t.Errorf("%s: it took %s", url, took)
		}
	}
}

// What a server has written can be followed by its files as far as it is said to be
// durable, and picked from.
func TestExtend(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	fill(t, l, posts(20))
	f, err := OpenFiles(Config{Dir: dir}, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	follower, err := f.Follow(t.Context(), 9)
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	var got []uint64
	for _, end := range []uint64{10, 15, 20, 25} {
		if end == 25 {
			fill(t, l, posts(5))
		}
		f.Extend(end)
		for len(got) == 0 || got[len(got)-1] < end {
			records, err := follower.Next(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				got = append(got, r.Seq)
			}
		}
	}
	if len(got) != 17 || got[0] != 9 || got[16] != 25 {
		t.Errorf("followed %v", got)
	}
	f.Extend(3)
	if f.Durable() != 25 {
		t.Errorf("it moved back to %d", f.Durable())
	}
}

func TestPickFromFiles(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	fill(t, l, posts(5000))
	all := readAll(t, l, 1, 0)
	f, err := OpenFiles(Config{Dir: dir}, 4990)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []uint64{1, 2, 3, 70, 300, 4800, 4990}
	var got []uint64
	for r, err := range f.Pick(t.Context(), append(want, 4991, 5000)) {
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != all[r.Seq-1].ID {
			t.Fatalf("record %d is another one", r.Seq)
		}
		got = append(got, r.Seq)
	}
	if len(got) != len(want) || got[6] != 4990 {
		t.Errorf("picked %v, want %v", got, want)
	}
	for range f.Pick(t.Context(), want) {
		break // a caller that has enough
	}
}
