package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/schema"
)

const (
	trafficSockets = 500
	trafficRoom    = 10   // sockets around one post
	trafficRate    = 2000 // events a second, of all together
	// trafficLong sets how long there is traffic, such as 60s.
	trafficLong = "ROOMLOG_TRAFFIC"
)

// bystander is a socket in the room of a post, that comments on it and hears others.
type bystander struct {
	t    *testing.T
	name string
	conn *client.Client
	post string

	mu    sync.Mutex
	n     uint64   // of the last push
	heard []uint64 // places of the comments heard
	acked []uint64 // places of its own
	open  int      // comments that wait for their acks
}

// hear takes a push: none is missing on the socket, and the log's come in order.
func (l *bystander) hear(f schema.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.N != l.n+1 {
		l.t.Errorf("%s: push %d follows push %d", l.name, f.N, l.n)
	}
	l.n = f.N
	if f.Event == "post:comment" {
		l.heard = append(l.heard, f.Seq)
	}
}

func (l *bystander) comment(content string) {
	l.mu.Lock()
	l.open++
	l.mu.Unlock()
	err := l.conn.Send("post:comment", schema.PostComment{PostID: l.post, Content: content}, "", func(f schema.Frame) {
		if f.Error != nil {
			l.t.Errorf("%s: %s", l.name, f.Error.Code)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		l.acked = append(l.acked, f.Seq)
	})
	if err != nil {
		l.t.Errorf("%s: %v", l.name, err)
	}
}

// Rebuilds and rollbacks under live traffic are noticed by nobody: every socket hears
// what the log says that it is to hear, each push once and in order, as it would of a
// server that is left alone.
func TestRebuildUnderTraffic(t *testing.T) {
	lasting := 3 * time.Second
	if text, set := os.LookupEnv(trafficLong); set {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil || lasting < time.Second {
			t.Fatalf("%s is %q, not a time of a second or more", trafficLong, text)
		}
	}
	dir := t.TempDir()
	s := serve(t, dir, "--rate-connects", "0", "--rate-posts", "0", "--rate-upgrades", "0", "--rate-user-events", "0", "--log-level", "warn")
	all := crowd(t, s)
	over := make(chan struct{})
	var talking sync.WaitGroup
	var said int
	var took time.Duration
	talking.Go(func() { said, took = keepCommenting(all, over) })

	did := 0
	for end := time.Now().Add(lasting); time.Now().Before(end) || did < 4; did++ {
		args := [][]string{{}, {"--rollback"}, {"--diff"}, {}, {"--commit"}}[did%5]
		if r := roomlog(t, append([]string{"rebuild", "--data", dir}, args...)...); r.code != 0 {
			t.Errorf("%q: exit code %d\n%s%s", args, r.code, r.out, r.stderr)
		}
	}
	close(over)
	talking.Wait()
	for _, l := range all {
		eventually(t, func() (bool, string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.open == 0, fmt.Sprintf("%d acks to %s: %v", l.open, l.name, l.conn.Err())
		})
	}
	t.Logf("%d rebuilds, rollbacks and commits while %d events came, %.0f/s", did, said, float64(said)/took.Seconds())
	checkHeard(t, dir, all)
	checkRebuild(t, dir)
}

// crowd connects everybody, each around the post of ten.
func crowd(t *testing.T, s *serverProcess) []*bystander {
	t.Helper()
	all := make([]*bystander, trafficSockets)
	for i := range all {
		l := &bystander{t: t, name: fmt.Sprintf("user-%d", i)}
		all[i] = l
		l.conn = s.dial(l.name, client.Options{OnPush: l.hear})
		if i%trafficRoom == 0 {
			var created schema.PostCreated
			if err := json.Unmarshal(do(t, l.conn, "post:create", schema.PostCreate{Content: "All welcome"}).Data, &created); err != nil {
				t.Fatal(err)
			}
			l.post = created.Post.ID
		} else {
			l.post = all[i-i%trafficRoom].post
		}
		do(t, l.conn, "post:join", schema.PostRef{PostID: l.post})
	}
	return all
}

// keepCommenting lets everybody comment in turn, so many in a second, until it is over. Who is
// late makes up for it.
func keepCommenting(all []*bystander, over chan struct{}) (said int, took time.Duration) {
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return said, time.Since(start)
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * trafficRate); said < due; said++ {
			all[said%len(all)].comment(fmt.Sprint("comment ", said))
		}
	}
}

// checkHeard holds what every socket heard against the log.
func checkHeard(t *testing.T, dir string, all []*bystander) {
	t.Helper()
	due := map[string][]uint64{} // user → comments of others on the post they are at
	own := map[string][]uint64{}
	around := map[string][]*bystander{}
	for _, l := range all {
		around[l.post] = append(around[l.post], l)
	}
	for _, line := range replayed(t, dir, "--event", "post:comment") {
		var d schema.PostComment
		if err := json.Unmarshal(line.Data, &d); err != nil || line.Outcome != "applied" {
			t.Fatalf("record %d: %s, %v", line.Seq, line.Outcome, err)
		}
		for _, l := range around[d.PostID] {
			if l.name == line.Actor.ID {
				own[l.name] = append(own[l.name], line.Seq)
			} else {
				due[l.name] = append(due[l.name], line.Seq)
			}
		}
	}
	for _, l := range all {
		eventually(t, func() (bool, string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.heard) >= len(due[l.name]), fmt.Sprintf("%s, who heard %d of %d", l.name, len(l.heard), len(due[l.name]))
		})
		l.mu.Lock()
		if !slices.Equal(l.heard, due[l.name]) {
			t.Errorf("%s heard\n%v, the log has\n%v", l.name, l.heard, due[l.name])
		}
		if !slices.Equal(l.acked, own[l.name]) {
			t.Errorf("%s was acked\n%v, the log has\n%v", l.name, l.acked, own[l.name])
		}
		l.mu.Unlock()
	}
}
