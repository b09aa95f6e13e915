package eventlog

import (
	"testing"
	"time"

	"roomlog/schema"
)

// Each queue is counted while something waits in it, and has a bound.
func TestQueuesAreCounted(t *testing.T) {
	l, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lengths := func() map[string]int {
		all := map[string]int{}
		for _, q := range l.Queues() {
			if q.Bound <= 0 || q.Length > q.Bound {
				t.Errorf("%+v", q)
			}
			all[q.Name] = q.Length
		}
		return all
	}
	heard, held := make(chan Record), make(chan struct{})
	stop, err := l.OnSignal(func(r Record) {
		heard <- r
		<-held
	})
	if err != nil {
		t.Fatal(err)
	}
	const signals = 3
	for range signals {
		if err := l.Signal(Record{ID: NewID(time.Now()), Event: "user:typing", Actor: schema.Actor{ID: "alice"}, Entity: "post:P", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	<-heard // the others wait
	for lengths()["signals"] != signals-1 {
		<-time.After(time.Millisecond)
	}
	close(held)
	for range signals - 1 {
		<-heard
	}
	stop()

	// The committer waits for the first while the others queue up.
	begun, goOn := make(chan struct{}), make(chan struct{})
	for i := range 4 {
		err := l.Append(t.Context(), Record{ID: NewID(time.Now()), Event: "post:create", Actor: schema.Actor{ID: "alice"}, Data: []byte(`{"content":"x"}`)}, func(uint64, error) {
			if i == 0 {
				close(begun)
				<-goOn
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-begun
		}
	}
	if all := lengths(); all["log"] != 3 || all["log_bytes"] <= 0 {
		t.Errorf("three records wait for the committer, and %v are counted", all)
	}
	close(goOn)
}
