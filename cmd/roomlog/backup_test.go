package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// backedUp makes a backup and returns what it says of it.
func backedUp(t *testing.T, data, dir string) (r backupReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(good(t, "backup", dir, "--data", data, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// ackedSoFar returns what the senders were told, content by place.
func ackedSoFar(senders []*sender) map[uint64]string {
	all := map[uint64]string{}
	for _, s := range senders {
		s.mu.Lock()
		for _, a := range s.acked {
			all[a.seq] = a.content
		}
		s.mu.Unlock()
	}
	return all
}

// A backup of a server under load has every record that was acked before it began; the
// next one writes only what came since.
func TestBackupUnderLoad(t *testing.T) {
	s := serve(t, t.TempDir())
	senders := make([]*sender, 4)
	var running sync.WaitGroup
	for i := range senders {
		senders[i] = &sender{user: fmt.Sprintf("user-%d", i)}
		c := s.dial(senders[i].user, client.Options{})
		running.Go(func() { senders[i].run(0, c) })
	}
	dir := filepath.Join(t.TempDir(), "backup")
	began, acked := time.Now(), 0
	var before backupReport
	for range 3 {
		eventually(t, func() (bool, string) {
			now := ackedSoFar(senders)
			return len(now) >= acked+300, fmt.Sprintf("300 acks more than %d", acked)
		})
		want := ackedSoFar(senders)
		acked = len(want)
		r := backedUp(t, s.dir, dir)
		if !r.Running || r.New != r.Last-before.Last || r.Copied != r.Size-before.Size || r.Copied == 0 {
			t.Errorf("after %+v comes %+v", before, r)
		}
		good(t, "restore", dir, "--check")
		checkSaved(t, dir, want)
		before = r
	}
	t.Logf("%d facts acked, %.0f/s", acked, float64(acked)/time.Since(began).Seconds())
	s.kill()
	running.Wait()
}

// checkSaved makes sure that a backup has posts at their places.
func checkSaved(t *testing.T, dir string, want map[uint64]string) {
	t.Helper()
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for r, err := range log.Read(t.Context(), 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		var data schema.PostCreate
		if json.Unmarshal(r.Data, &data) == nil && data.Content == want[r.Seq] {
			delete(want, r.Seq)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d acked records are missing from the backup, which ends at %d: %v", len(want), log.Durable(), want)
	}
}

// A backup that cannot be written leaves the one before, and goes on when there is
// space again.
func TestBackupOnFullDisk(t *testing.T) {
	s := serve(t, t.TempDir())
	aFewRecords(t, s)
	dir := filepath.Join(t.TempDir(), "backup")
	before := backedUp(t, s.dir, dir)
	alice := s.dial("alice", client.Options{})
	for range 10 {
		do(t, alice, "post:create", schema.PostCreate{Content: strings.Repeat("x", 3000)})
	}
	// No file may grow past 16 blocks of 512 bytes, or of 1024: as if the disk were full.
	full := exec.Command("/bin/sh", "-c", `ulimit -f 16; exec "$@"`, "sh", binary, "backup", dir, "--data", s.dir)
	if out, err := full.CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot make the backup: ") {
		t.Fatalf("%v: %s", err, out)
	}
	if out := good(t, "restore", dir, "--check"); !strings.Contains(out, fmt.Sprintf("seq 1 to %d,", before.Last)) {
		t.Errorf("the backup before is %s", out)
	}
	if after := backedUp(t, s.dir, dir); after.Last != before.Last+10 {
		t.Errorf("then it goes to %d", after.Last)
	}
}

// A backup is no data directory: what would write to it is refused, what reads is not.
func TestBackupIsNoDataDirectory(t *testing.T) {
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := serve(t, data)
	aFewRecords(t, s)
	s.stop(syscall.SIGTERM)
	if r := backedUp(t, data, dir); r.Running || r.Last != 6 {
		t.Errorf("of a stopped server: %+v", r)
	}
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"rebuild"}, {"import", os.DevNull}} {
		if r := roomlog(t, append(args, "--data", dir)...); r.code != 1 || !strings.Contains(r.stderr, "is a backup, and what writes to it would spoil it") {
			t.Errorf("%s: exit code %d: %s", args, r.code, r.stderr)
		}
	}
	if n := len(lines(good(t, "export", "--data", dir))); n != 6 {
		t.Errorf("%d records are exported from it", n)
	}
	good(t, "restore", dir, "--check")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"backup", 2, `expected "<dir>"`},
		{"backup x --nats-url nats://127.0.0.1:1", 2, "nats stream backup EVENTS DIR (roomlog export --nats-url URL works everywhere)"},
		{"backup x", 1, "there is no log in ./roomlog-data"},
		{"restore x", 1, "there is no backup in x"},
		{"restore x --same-epoch --new-epoch", 2, "can't be used together"},
		{"restore x --check --replace", 2, "can't be used together"},
		{"export", 1, "there is no log in ./roomlog-data"},
		{"export --from 3 --to 2", 2, "nothing lies between seq 3 and seq 2"},
		{"import x", 1, "cannot read what is to be imported"},
	} {
		if r := roomlog(t, strings.Fields(c.args)...); r.code != c.code || !strings.Contains(r.stderr, c.want) || len(lines(r.stderr)) != 1 {
			t.Errorf("%s: exit code %d: %s", c.args, r.code, r.stderr)
		}
	}
}
