package main

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// outsideNATS runs a NATS server with JetStream beside roomlog.
func outsideNATS(t *testing.T) string {
	t.Helper()
	nats, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	return nats.ClientURL()
}

// Two nodes on one log outside: each pushes to its own sockets what the other
// took, and both have the same read models.
func TestTwoNodesOneLog(t *testing.T) {
	url := outsideNATS(t)
	one, two := serve(t, t.TempDir(), "--nats-url", url), serve(t, t.TempDir(), "--nats-url", url)
	pushes := make(chan schema.Frame, 100)
	alice := one.dial("alice", client.Options{})
	bob := two.dial("bob", client.Options{OnPush: func(f schema.Frame) { pushes <- f }})
	do(t, bob, "user:follow", schema.UserFollow{FollowingID: "alice", Action: schema.ActionFollow})
	eventually(t, func() (bool, string) {
		return liveStatus(t, one.dir).Projections.Applied == 1, "the follow to reach alice's node"
	})
	posted := do(t, alice, "post:create", schema.PostCreate{Content: "hello, other node"})
	var created schema.PostCreated
	if err := json.Unmarshal(posted.Data, &created); err != nil {
		t.Fatal(err)
	}
	for waiting := true; waiting; {
		select {
		case f := <-pushes:
			waiting = f.Event != "post:create"
			if !waiting && f.Seq != posted.Seq {
				t.Errorf("bob was told of seq %d, alice of %d", f.Seq, posted.Seq)
			}
		case <-time.After(patience):
			t.Fatal("bob was not told")
		}
	}
	post := schema.PostRef{PostID: created.Post.ID}
	do(t, alice, "post:join", post)
	do(t, bob, "post:join", post)
	do(t, alice, "user:typing", schema.PostAction{PostID: post.PostID, Action: schema.ActionStart})
	for waiting := true; waiting; {
		select {
		case f := <-pushes:
			waiting = f.Event != "user:typing"
		case <-time.After(patience):
			t.Fatal("bob was not told of alice's typing")
		}
	}
	a, b := liveStatus(t, one.dir), liveStatus(t, two.dir)
	if a.Epoch != b.Epoch || a.Projections != b.Projections || a.Projections.Applied != 2 {
		t.Errorf("the nodes differ:\n%+v\n%+v", a, b)
	}
	for _, s := range []*serverProcess{one, two} {
		if code, _ := s.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.stderr)
		}
	}

	// An auditor elsewhere needs the address of the log and nothing else.
	var shown []string
	for _, args := range [][]string{{"--nats-url", url}, {"--nats-url", url, "--data", one.dir}} {
		shown = append(shown, good(t, append([]string{"replay", "--json"}, args...)...))
	}
	if shown[0] != shown[1] || len(lines(shown[0])) != 2 {
		t.Errorf("from the log alone:\n%swith a node's read models:\n%s", shown[0], shown[1])
	}
	if r := roomlog(t, "rebuild", "--nats-url", url, "--data", two.dir); r.code != 0 {
		t.Errorf("rebuild: exit code %d\n%s", r.code, r.stderr)
	}
}
