package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime/client"
	"roomlog/replay"
	"roomlog/schema"
)

// serverStatus is what status --json prints, as a script reads it.
type serverStatus struct {
	Epoch       string
	Log         struct{ First, Last, Durable uint64 }
	Projections struct {
		Applied uint64
		Digest  string
		Version int
		Parked  int
	}
	Sockets, Rooms int
}

func liveStatus(t *testing.T, dir string) (s serverStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(good(t, "status", "--json", "--data", dir)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// replayed is what replay --json prints.
func replayed(t *testing.T, dir string, args ...string) []replay.Line {
	t.Helper()
	var all []replay.Line
	for _, text := range lines(good(t, append([]string{"replay", "--json", "--data", dir}, args...)...)) {
		var l replay.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

// do carries out a command that must succeed.
func do(t *testing.T, c *client.Client, event string, data any) schema.Frame {
	t.Helper()
	f, err := c.Do(t.Context(), event, data, "")
	if err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	return f
}

// voidFirst makes a log whose first record is void: no gateway that has the log to
// itself would have let it in.
func voidFirst(t *testing.T, dir, event, user string, data any) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: event, Version: 1,
		Actor: schema.Actor{ID: user, Username: user}, Data: text,
	})
	if err = errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
}

// aFewRecords makes six records and returns the id of a post.
func aFewRecords(t *testing.T, s *serverProcess) string {
	t.Helper()
	alice, bob := s.dial("alice", client.Options{}), s.dial("bob", client.Options{})
	do(t, bob, "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	var created schema.PostCreated
	if err := json.Unmarshal(do(t, alice, "post:create", schema.PostCreate{Content: "hello"}).Data, &created); err != nil {
		t.Fatal(err)
	}
	post := created.Post.ID
	do(t, bob, "post:like", schema.PostAction{PostID: post, Action: "like"})
	do(t, bob, "post:comment", schema.PostComment{PostID: post, Content: "hello yourself"})
	do(t, alice, "post:create", schema.PostCreate{Content: "good bye"})
	do(t, alice, "post:like", schema.PostAction{PostID: post, Action: "like"})
	return post
}

// What status, replay and rebuild say is the same while the server runs and after.
func TestAuditRunningAndStopped(t *testing.T) {
	dir := t.TempDir()
	voidFirst(t, dir, "post:like", "alice", schema.PostAction{PostID: eventlog.NewID(time.Now()), Action: "like"})
	s := serve(t, dir)
	post := aFewRecords(t, s)
	queries := [][]string{
		{"replay", "--json"},
		{"replay"}, // a line more says why the first record is void
		{"replay", "--json", "--event", "post:*"},
		{"replay", "--json", "--event", "post:create", "--actor", "alice"},
		{"replay", "--json", "--entity", "post:" + post},
		{"replay", "--json", "--entity", "user:alice", "--actor", "bob"},
		{"replay", "--json", "--from", "2", "--to", "3"},
		{"replay", "--json", "--since", "1h", "--namespace", "social"},
		{"replay", "--json", "--since", "2100-01-01T00:00:00Z"},
		{"replay", "--json", "--actor", "nobody"},
	}
	wantLines := []int{7, 8, 6, 2, 4, 1, 2, 7, 0, 0}
	running := map[string]string{}
	for i, q := range queries {
		out := good(t, append(q, "--data", dir)...)
		running[strings.Join(q, " ")] = out
		if got := len(lines(out)); got != wantLines[i] {
			t.Errorf("%s: %d lines, want %d:\n%s", strings.Join(q, " "), got, wantLines[i], out)
		}
	}
	live := liveStatus(t, dir)
	if live.Epoch == "" || live.Log.Durable != 7 || live.Projections.Applied != 7 || live.Projections.Digest == "" || live.Sockets != 2 {
		t.Errorf("status of the running server: %+v", live)
	}
	if r := roomlog(t, "rebuild", "--json", "--data", dir); r.code != 0 || !strings.Contains(r.out, `"same":true`) || !strings.Contains(r.out, live.Projections.Digest) {
		t.Errorf("rebuild of the running server: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr)
	}

	for _, q := range queries {
		if out := good(t, append(q, "--data", dir)...); out != running[strings.Join(q, " ")] {
			t.Errorf("%s: stopped it says\n%sand running it said\n%s", strings.Join(q, " "), out, running[strings.Join(q, " ")])
		}
	}
	left := liveStatus(t, dir)
	if left.Epoch != live.Epoch || left.Log != live.Log || left.Projections != live.Projections || left.Sockets != 0 {
		t.Errorf("status stopped: %+v; running it was %+v", left, live)
	}
	if r := roomlog(t, "rebuild", "--data", dir); r.code != 0 || !strings.Contains(r.out, left.Projections.Digest) {
		t.Errorf("rebuild of the stopped server: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// A line has the fields that scripts rely on, in their order.
func TestReplayLine(t *testing.T) {
	dir := t.TempDir()
	voidFirst(t, dir, "post:like", "alice", schema.PostAction{PostID: eventlog.NewID(time.Now()), Action: "like"})
	aFewRecords(t, serve(t, dir))
	all := lines(good(t, "replay", "--json", "--data", dir))
	at := 0
	for _, field := range []string{"seq", "time", "id", "event", "namespace", "actor", "entity", "version", "data", "outcome"} {
		i := strings.Index(all[0], `"`+field+`":`)
		if i <= at-1 || i < 0 {
			t.Errorf("%s is missing or out of order in %s", field, all[0])
		}
		at = i
	}
	void := replayed(t, dir, "--to", "1")[0]
	if void.Outcome != "void:POST_NOT_FOUND" || void.Namespace != "social" || void.Actor.ID != "alice" || void.Event != "post:like" {
		t.Errorf("the void record: %+v", void)
	}
}

// following starts a command with --follow, whose lines it returns. end stops it as
// Ctrl-C does; no more lines may have come.
func following(t *testing.T, args ...string) (shown *bufio.Scanner, end func()) {
	t.Helper()
	follow := exec.Command(binary, append(args, "--follow")...)
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { follow.Process.Kill(); follow.Wait() })
	shown = bufio.NewScanner(out)
	return shown, func() {
		t.Helper()
		follow.Process.Signal(syscall.SIGINT)
		if shown.Scan() {
			t.Errorf("one line too many: %s", shown.Text())
		}
		if err := follow.Wait(); err != nil {
			t.Errorf("a follow ended with Ctrl-C: %v", err)
		}
	}
}

// Follow shows what is there and then what comes, decided.
func TestReplayFollow(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: "one"})
	shown, end := following(t, "replay", "--json", "--event", "post:create", "--data", dir)
	for i, content := range []string{"one", "two", "three"} {
		if i > 0 {
			do(t, alice, "user:follow", schema.UserFollow{FollowingID: fmt.Sprint("user-", i), Action: "follow"})
			do(t, alice, "post:create", schema.PostCreate{Content: content})
		}
		if !shown.Scan() {
			t.Fatalf("the follow ended before %q", content)
		}
		if l := shown.Text(); !strings.Contains(l, content) || !strings.Contains(l, `"outcome":"applied"`) {
			t.Errorf("wanted %q, applied, and got %s", content, l)
		}
	}
	end()
}

// A data directory whose path is longer than a unix socket's may be works all the same.
func TestLongDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 10), "data")
	s := serve(t, dir)
	if got := liveStatus(t, dir); got.Epoch == "" {
		t.Errorf("status: %+v", got)
	}
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Read models that lost a record are found out by rebuild, exit code 3, which shows
// what is missing and replaces nothing unless it is told to.
func TestRebuildFindsADifference(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	s.stop(syscall.SIGTERM)
	tamper(t, filepath.Join(dir, "models.db"))
	for _, args := range [][]string{{}, {"--diff"}, {}, {"--accept"}} {
		r := roomlog(t, append([]string{"rebuild", "--data", dir}, args...)...)
		if r.code != 3 || !strings.Contains(r.stderr, "differ") || !strings.Contains(r.out, "likes: 1 rows differ\n  likes ") {
			t.Errorf("%q: exit code %d\n%s%s", args, r.code, r.out, r.stderr)
		}
	}
	if r := roomlog(t, "rebuild", "--data", dir); r.code != 0 {
		t.Errorf("again: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
}
