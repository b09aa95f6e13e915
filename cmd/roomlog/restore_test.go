package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomlog/realtime/client"
	"roomlog/replay"
	"roomlog/schema"
)

// absentee is bob, who reads along, goes away and comes back.
type absentee struct {
	t      *testing.T
	pushes chan schema.Frame
	at     schema.Resume
}

// connect brings bob back to where he was, if he was anywhere.
func (r *absentee) connect(s *serverProcess) *client.Client {
	r.t.Helper()
	o := client.Options{OnPush: func(f schema.Frame) { r.pushes <- f }}
	if r.at.Epoch != "" {
		o.Resume = &r.at
	}
	return s.dial("bob", o)
}

// until returns the posts that he hears of up to an event, and what that says.
func (r *absentee) until(event string) (posts []string, last schema.Frame) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case f := <-r.pushes:
			if f.Event == "post:create" {
				var created schema.PostCreated
				if err := json.Unmarshal(f.Data, &created); err != nil {
					r.t.Fatal(err)
				}
				posts = append(posts, created.Post.Content)
				r.at.Seq = f.Seq
			}
			if f.Event == event {
				return posts, f
			}
		case <-timeout:
			r.t.Fatalf("bob did not hear %s, only %q", event, posts)
		}
	}
}

// story is a server on which alice posts and bob, who follows her, hears of "one" and
// goes away. Then she posts "two" and "three".
func story(t *testing.T) (s *serverProcess, bob *absentee) {
	t.Helper()
	s = serve(t, filepath.Join(t.TempDir(), "data"))
	bob = &absentee{t: t, pushes: make(chan schema.Frame, 100)}
	c := bob.connect(s)
	do(t, c, "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	says(t, s, "one")
	bob.until("post:create")
	bob.at.Epoch = c.Hello().Log.Epoch
	c.Close()
	says(t, s, "two")
	says(t, s, "three")
	return s, bob
}

func says(t *testing.T, s *serverProcess, content string) {
	t.Helper()
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: content})
	alice.Close()
}

// After a loss of the log, restored from a backup that has all that anybody was told of,
// clients go on where they were and hear exactly what they missed.
func TestRestoreAfterLoss(t *testing.T) {
	s, bob := story(t)
	digest := liveStatus(t, s.dir).Projections.Digest
	dir := filepath.Join(t.TempDir(), "backup")
	backedUp(t, s.dir, dir)
	s.kill()
	if err := os.RemoveAll(filepath.Join(s.dir, logName)); err != nil {
		t.Fatal(err)
	}
	if r := roomlog(t, "restore", dir, "--data", s.dir); r.code != 1 || !strings.Contains(r.stderr, "with --replace it is moved aside, and kept") {
		t.Errorf("without --replace: exit code %d: %s", r.code, r.stderr)
	}
	out := good(t, "restore", dir, "--data", s.dir, "--replace")
	if !strings.Contains(out, "epoch "+bob.at.Epoch+" stays, so that clients go on where they were: nothing was lost") {
		t.Errorf("it said:\n%s", out)
	}
	back := serve(t, s.dir)
	if got := liveStatus(t, s.dir).Projections.Digest; got != digest {
		t.Errorf("the read models have digest %s, and had %s", got, digest)
	}
	c := bob.connect(back)
	missed, _ := bob.until("socket:resumed")
	if !c.Connected().Resumed || !slices.Equal(missed, []string{"two", "three"}) {
		t.Errorf("resumed: %v, he hears of %q", c.Connected().Resumed, missed)
	}
	says(t, back, "four")
	if heard, _ := bob.until("post:create"); !slices.Equal(heard, []string{"four"}) {
		t.Errorf("then he hears of %q", heard)
	}
	checkRebuild(t, s.dir)
}

// After the restore of a backup that lacks what clients were told of, nobody trusts
// their old place.
func TestRestoreOfOlderBackup(t *testing.T) {
	s, bob := story(t)
	dir := filepath.Join(t.TempDir(), "backup")
	backedUp(t, s.dir, dir)
	says(t, s, "four")
	s.stop(syscall.SIGTERM)
	if r := roomlog(t, "restore", dir, "--data", s.dir, "--replace", "--same-epoch"); r.code != 1 || !strings.Contains(r.stderr, "the epoch cannot stay the same: the log in the data directory goes on to seq 5, and the backup ends at 4") {
		t.Errorf("with --same-epoch: exit code %d: %s", r.code, r.stderr)
	}
	var r replay.RestoreReport
	if err := json.Unmarshal([]byte(good(t, "restore", dir, "--data", s.dir, "--replace", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if out := good(t, "inspect", "--data", s.dir, "--kind", schema.AuditRestored); !strings.Contains(out, "under a new epoch: the log in the data directory goes on to seq 5") {
		t.Errorf("moderators see\n%s", out)
	}
	back := serve(t, s.dir)
	if now := liveStatus(t, s.dir); !r.NewEpoch || now.Epoch != r.Epoch || now.Epoch == bob.at.Epoch || now.Log.Last != 4 {
		t.Errorf("%+v; then %+v", r, now)
	}
	c := bob.connect(back)
	missed, resync := bob.until("socket:resync")
	var why schema.Resync
	if err := json.Unmarshal(resync.Data, &why); err != nil {
		t.Fatal(err)
	}
	if c.Connected().Resumed || len(missed) > 0 || why.Reason != schema.ResyncEpoch || why.Seq != 4 {
		t.Errorf("resumed: %v, he hears of %q and %+v", c.Connected().Resumed, missed, why)
	}
	// What was replaced is whole.
	if n := len(replayed(t, r.Aside)); n != 5 {
		t.Errorf("%d records are in what was replaced", n)
	}
}

// The restore that dies at a point is this test binary, run again.
const (
	doomedBackup  = "ROOMLOG_TEST_DOOMED_BACKUP"  // set in the child: the backup
	doomedRestore = "ROOMLOG_TEST_DOOMED_RESTORE" // the data directory
)

// restoreDoomed is the child. It ends by killing itself.
func restoreDoomed(dir, data string, at replay.RestorePoint) {
	_, err := replay.Restore(context.Background(), replay.RestoreOptions{
		Dir: dir, Data: data, Models: modelsName, Signed: signedFiles, Replace: true,
		At: func(p replay.RestorePoint) {
			if p == at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		},
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitFailed)
}

// A server starts and serves after a restore that was killed at any point: what was
// there before, or what was restored.
func TestKilledWhileRestoring(t *testing.T) {
	s, _ := story(t)
	dir := filepath.Join(t.TempDir(), "backup")
	backedUp(t, s.dir, dir)
	says(t, s, "four")
	s.stop(syscall.SIGTERM)
	for point, last := range map[replay.RestorePoint]uint64{
		replay.RestoreChecked: 5, replay.RestoreCopied: 5, replay.RestoreBuilt: 5, replay.RestoreAside: 4, replay.RestoreSwapped: 4,
	} {
		t.Run(string(point), func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), doomedBackup+"="+dir, doomedRestore+"="+data, doomedAt+"="+string(point))
			var killed *exec.ExitError
			if out, err := cmd.CombinedOutput(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%v: %s", err, out)
			}
			back := serve(t, data)
			if now := liveStatus(t, data); now.Log.Last != last || now.Projections.Applied != last {
				t.Errorf("it serves %+v, want seq %d", now, last)
			}
			says(t, back, "all is well")
			back.kill()
			if said := back.stderr.String(); (point == replay.RestoreAside) != strings.Contains(said, "had been cut short before its last step") && point != replay.RestoreSwapped {
				t.Errorf("it said:\n%s", said)
			}
		})
	}
}
