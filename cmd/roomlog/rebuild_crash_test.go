package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"roomlog/projections"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// The server that dies at a point of a rebuild is this test binary, run again: only
// there can a test tell that it has come to that point.
const (
	doomedDir = "ROOMLOG_TEST_DOOMED"    // set in the child: the data directory
	doomedAt  = "ROOMLOG_TEST_DOOMED_AT" // the point
)

// serveDoomed is the child. It ends by killing itself.
func serveDoomed(dir string, at projections.Point) {
	cfg := unlimited(dir)
	cfg.onRebuild = func(p projections.Point) {
		if p == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	s, err := NewServer(context.Background(), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err == nil {
		err = s.Run(context.Background(), func() { s.greet(os.Stdout) })
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitFailed)
}

// A server that is killed at any point of a rebuild, of putting the replaced read
// models back, of removing them, or of making those of a new release, starts and
// serves what the log says.
func TestKilledWhileRebuilding(t *testing.T) {
	prepared := t.TempDir()
	s := serve(t, prepared)
	aFewRecords(t, s)
	good(t, "rebuild", "--data", prepared) // so that there is something to go back to
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: "since the rebuild"})
	want := liveStatus(t, prepared).Projections.Digest
	s.stop(syscall.SIGTERM)

	exchange := []projections.Point{projections.AtLinked, projections.AtRenamed, projections.AtExchanged}
	for _, c := range []struct {
		name   string
		args   []string // of roomlog rebuild; nil: the server does it by itself
		points []projections.Point
	}{
		{"rebuild", []string{}, append([]projections.Point{projections.AtBuilding, projections.AtComparing, projections.AtCatchingUp, projections.AtExchanging}, exchange...)},
		{"rollback", []string{"--rollback"}, append([]projections.Point{projections.AtReturning, projections.AtExchanging}, exchange...)},
		{"commit", []string{"--commit"}, []projections.Point{projections.AtCommitting}},
		{"start", nil, append([]projections.Point{projections.AtBuilding}, exchange...)},
	} {
		for _, point := range c.points {
			t.Run(c.name+" "+string(point), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(dir, os.DirFS(prepared)); err != nil {
					t.Fatal(err)
				}
				if c.args == nil {
					otherVersions(t, dir)
				}
				dieAt(t, dir, point, c.args)
				back := serve(t, dir)
				if got := liveStatus(t, dir).Projections; got.Digest != want || got.Parked != 0 {
					t.Errorf("it came back as %+v, want digest %s", got, want)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "*.old.new")); len(left) > 0 {
					t.Errorf("it left %q", left)
				}
				do(t, back.dial("alice", client.Options{}), "post:create", schema.PostCreate{Content: "all is well"})
				checkRebuild(t, dir)
				good(t, "rebuild", "--rollback", "--data", dir)
				checkRebuild(t, dir)
				good(t, "rebuild", "--commit", "--data", dir)
			})
		}
	}
}

// dieAt runs a server that does not live through a rebuild.
func dieAt(t *testing.T, dir string, point projections.Point, args []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedDir+"="+dir, doomedAt+"="+string(point))
	s := launch(t, dir, cmd)
	if args != nil {
		if s.url == "" {
			t.Fatalf("the server did not start:\n%s", s.stderr)
		}
		if r := roomlog(t, append([]string{"rebuild", "--data", dir}, args...)...); r.code == 0 {
			t.Errorf("it lived through %s: %s", point, r.out)
		}
	}
	<-s.rest
	s.cmd.Wait()
	s.ended = true
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it ended as %v:\n%s", s.cmd.ProcessState, s.stderr)
	}
}

// otherVersions makes the read models of a stopped server those of another release,
// which had made something else of the log.
func otherVersions(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, modelsName)
	tamper(t, path)
	if err := os.Remove(path + ".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		var at map[string]any
		if err := json.Unmarshal(meta.Get([]byte("checkpoint")), &at); err != nil {
			return err
		}
		at["versions"].(map[string]any)["likes"] = 0
		row, err := json.Marshal(at)
		if err != nil {
			return err
		}
		return meta.Put([]byte("checkpoint"), row)
	})
	if err != nil {
		t.Fatal(err)
	}
}
