package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
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

func TestSmoke(t *testing.T) {
	l := openLog(t, Config{})
	t.Log(l.Epoch(), l.First(), l.Last(), l.Durable())
	start := time.Now()
	for i := range 10 {
		if seq := mustAppend(t, l, post("alice", fmt.Sprint(i))); seq != uint64(i+1) {
			t.Fatal(seq)
		}
	}
	t.Log(time.Since(start) / 10)
	var wg sync.WaitGroup
	start = time.Now()
	for g := range 500 {
		wg.Go(func() {
			for i := range 10 {
				mustAppend(t, l, post("bob", fmt.Sprint(g, i)))
			}
		})
	}
	wg.Wait()
	t.Log(time.Since(start) / 5000)
	start = time.Now()
	all := readAll(t, l, 1, 0)
	t.Log(len(all), time.Since(start))
	l.tail.drop(l.tail.to)
	start = time.Now()
	all = readAll(t, l, 1, 0)
	t.Log(len(all), time.Since(start))
	r, err := l.Get(context.Background(), 3)
	t.Log(r, err)
	t.Log(l.SeqAtTime(context.Background(), all[20].Time.Go()))
}
