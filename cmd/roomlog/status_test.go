package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// fullStatus is status --json, whatever its exit code.
func fullStatus(t *testing.T, dir string) (s status, r result) {
	t.Helper()
	r = roomlog(t, "status", "--json", "--data", dir)
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("exit code %d: %v\n%s%s", r.code, err, r.out, r.stderr)
	}
	return s, r
}

// What a stopped server left is looked at and not changed, and shown as the running
// one showed it.
func TestStatusOfAStoppedServerChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	live, _ := fullStatus(t, dir)
	if live.Server != "running" || live.Unready != "" || live.Sockets != 2 || live.Rooms < 2 || live.Projections.Lag != 0 ||
		live.Disk.Log == 0 || live.Disk.Models == 0 || live.Disk.Free == 0 || live.Disk.Reserve != eventlog.Reserve || len(live.Problems) > 0 {
		t.Errorf("running: %+v", live)
	}
	if events := live.Streams[0]; events.Name != "EVENTS" || events.Messages != 6 || events.First != 1 || events.Last != 6 || events.Bytes == 0 {
		t.Errorf("running: %+v", live.Streams)
	}
	s.stop(syscall.SIGTERM)
	before := contents(t, dir)
	left, r := fullStatus(t, dir)
	for _, args := range [][]string{{}, {"--no-digest"}} {
		if out := good(t, append([]string{"status", "--data", dir}, args...)...); strings.Contains(out, left.Projections.Digest) != (len(args) == 0) {
			t.Errorf("status %v:\n%s", args, out)
		}
	}
	if after := contents(t, dir); !maps.Equal(before, after) {
		t.Errorf("the data directory was\n%v\nand is\n%v", before, after)
	}
	if r.code != 0 || left.Server != "stopped" || left.Epoch != live.Epoch || left.Log != live.Log || left.Sockets != 0 ||
		left.Projections.Applied != 6 || left.Projections.Digest != live.Projections.Digest || left.Projections.Digest == "" {
		t.Errorf("stopped: %+v\nrunning: %+v", left, live)
	}
	if r := roomlog(t, "status", "--data", filepath.Join(dir, "nothing")); r.code != 1 || !strings.Contains(r.stderr, "there is no log in") {
		t.Errorf("of nothing: exit code %d, %s", r.code, r.stderr)
	}
}

// contents are the files below dir with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = fmt.Sprint(info.ModTime(), info.Mode(), len(text), bytes.Count(text, []byte{0}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A record of a newer release is parked, the rest goes on, and status says so with
// exit code 3, while the server runs and after; so it does of damaged read models.
func TestStatusNamesWhatNeedsALook(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	event, _ := schema.Lookup("post:create")
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.AppendWait(t.Context(), eventlog.Record{
		Time: schema.TimeOf(now), ID: eventlog.NewID(now), Event: event.Name, Version: event.Version + 1, Actor: schema.Actor{ID: "alice"}, Data: []byte(`{"text":"from the future"}`),
	})
	if err = errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir)
	aFewRecords(t, s)
	for _, server := range []string{"running", "stopped"} {
		st, r := fullStatus(t, dir)
		if r.code != 3 || st.Server != server || st.Projections.Parked != 1 || st.Projections.Applied != 7 || len(st.Problems) != 1 || !strings.HasPrefix(st.Problems[0], "1 records are parked") {
			t.Errorf("%s: exit code %d, %+v", server, r.code, st)
		}
		r = roomlog(t, "status", "--data", dir)
		why := fmt.Sprintf("parked       seq 1 in log: post:create is of version %d, and this release knows it up to %d: start a newer release", event.Version+1, event.Version)
		if r.code != 3 || !strings.Contains(r.out, why) || !strings.Contains(r.out, "needs a look 1 records are parked") {
			t.Errorf("%s: exit code %d\n%s", server, r.code, r.out)
		}
		if server == "running" {
			s.stop(syscall.SIGTERM)
		}
	}
	garbage := []byte(strings.Repeat("garbage ", 4096))
	if err := os.WriteFile(filepath.Join(dir, modelsName), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	st, r := fullStatus(t, dir)
	if r.code != 3 || st.Log.Durable != 7 || st.Projections.Applied != 0 || len(st.Problems) != 1 || !strings.Contains(st.Problems[0], "the read models cannot be read") {
		t.Errorf("damaged: exit code %d, %+v", r.code, st)
	}
	if left, err := os.ReadFile(filepath.Join(dir, modelsName)); err != nil || !bytes.Equal(left, garbage) {
		t.Errorf("the damaged file was changed: %v", err)
	}
}

// While the disk is full the server serves what it has and says that it is not ready,
// to balancers, Prometheus and status; once there is space it is.
func TestFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	cfg := unlimited(t.TempDir())
	cfg.freeSpace = func(string) (int64, error) { return free.Load(), nil }
	s := runServer(t, cfg)
	alice := s.dial(t, "alice")
	do(t, alice, "post:create", schema.PostCreate{Content: "before"})
	free.Store(eventlog.Reserve - 1)
	_, err := alice.Do(t.Context(), "post:create", schema.PostCreate{Content: "full"}, "")
	var refused *schema.Error
	if !errors.As(err, &refused) || refused.Code != schema.LogUnavailable || !refused.Temporary {
		t.Errorf("a post was answered by %v", err)
	}
	do(t, alice, "feed:get", schema.Page{})
	bob := s.dial(t, "bob") // who only reads is let in
	do(t, bob, "user:posts", schema.UserPage{UserID: "alice"})
	code, body := get(t, s.base+"/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "the log takes no records, what is in it is served: the disk is full: 63 MiB are left of the 64") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if _, body := get(t, s.base+"/metrics"); !strings.Contains(body, "\nroomlog_ready 0\n") || !strings.Contains(body, "\nroomlog_log_refusing 1\n") || !strings.Contains(body, "\nroomlog_log_free_bytes 6.7108863e+07\n") {
		t.Errorf("/metrics:\n%s", body)
	}
	if st, r := fullStatus(t, cfg.Data); r.code != 3 || !strings.Contains(st.Unready, "the disk is full") || st.Disk.Free != eventlog.Reserve-1 {
		t.Errorf("status: exit code %d, %+v", r.code, st)
	}
	free.Store(eventlog.Reserve)
	if code, body := get(t, s.base+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz once there is space: %d %s", code, body)
	}
	if _, body := get(t, s.base+"/metrics"); !strings.Contains(body, "\nroomlog_ready 1\n") || !strings.Contains(body, "\nroomlog_log_refusing 0\n") {
		t.Errorf("/metrics once there is space:\n%s", body)
	}
	do(t, alice, "post:create", schema.PostCreate{Content: "after"})
}

// localServer is a server in the test's own process.
type localServer struct {
	*Server
	base string // http://HOST:PORT
}

// runServer runs a server until the end of the test; it is ready at return.
func runServer(t *testing.T, cfg serverConfig) *localServer {
	t.Helper()
	server, err := NewServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served, ready := make(chan error, 1), make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() { served <- server.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, server.Close()); err != nil {
			t.Error(err)
		}
	})
	<-ready
	return &localServer{server, "http" + strings.TrimSuffix(strings.TrimPrefix(server.URL(), "ws"), "/ws")}
}

func (s *localServer) dial(t *testing.T, user string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), s.URL(), client.Options{Token: mint(t, filepath.Join(s.cfg.Data, secretName), user)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Who watches sees the progress of a rebuild, as lines or as JSON, until interrupted.
func TestStatusWatch(t *testing.T) {
	building, goOn := make(chan struct{}), make(chan struct{})
	cfg := unlimited(t.TempDir())
	cfg.onRebuild = func(p projections.Point) {
		if p == projections.AtComparing {
			close(building)
			<-goOn
		}
	}
	s := runServer(t, cfg)
	do(t, s.dial(t, "alice"), "post:create", schema.PostCreate{Content: "one"})
	rebuilt := make(chan error, 1)
	go func() {
		_, err := s.models.Rebuild(t.Context(), nil)
		rebuilt <- err
	}()
	<-building
	_, metrics := get(t, s.base+"/metrics")
	for _, want := range []string{"roomlog_rebuild_running 1", "roomlog_rebuild_records 1", "roomlog_rebuild_rate ", `roomlog_rebuild_rows{projector="feeds"} `, `roomlog_rebuild_bytes{projector="history"} `} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("/metrics has no %s:\n%s", want, metrics)
		}
	}
	for _, c := range []struct{ flag, want string }{{"", "running, ready; log durable up to 1, read models at seq 1, up to date"}, {"--json", `"rebuild":{"stage":"comparing","from":0,"records":1,"target":1,`}} {
		ctx, interrupt := context.WithCancel(t.Context())
		out, in := io.Pipe()
		ended := make(chan int, 1)
		args := []string{"status", "--watch", "--data", cfg.Data}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		go func() {
			ended <- run(ctx, args, nil, in, in)
			in.Close()
		}()
		shown := bufio.NewScanner(out)
		if !shown.Scan() || !strings.Contains(shown.Text(), c.want) || !strings.Contains(shown.Text(), "comparing") {
			t.Errorf("status --watch %s: %s", c.flag, shown.Text())
		}
		interrupt()
		for shown.Scan() { // what was under way
		}
		if code := <-ended; code != 0 {
			t.Errorf("status --watch %s, interrupted: exit code %d", c.flag, code)
		}
	}
	close(goOn)
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
}

// On a terminal each status takes the place of the one before, with a bar for each
// read model of a rebuild.
func TestStatusOnATerminal(t *testing.T) {
	var out strings.Builder
	v := screen{out: &out}
	s := status{Server: "running", Rebuild: &rebuildStatus{
		Stage: "building", Records: 250, Target: 1000, PerSecond: 100, SecondsLeft: 7.5,
		Models: []projections.Volume{{Name: "feeds", Rows: 10, Bytes: 3000}, {Name: "likes", Rows: 2, Bytes: 1000}},
	}}
	if err := v.show(s, nil); err != nil {
		t.Fatal(err)
	}
	first := out.String()
	for _, want := range []string{
		"records         [==========------------------------------] building: 250 of 1000 records, 100/s, 8s left\n",
		"  feeds         [==============================----------] 10 rows, 3.0 kB\n",
		"  likes         [==========------------------------------] 2 rows, 1.0 kB\n",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	out.Reset()
	s.Rebuild = nil
	if err := v.show(s, nil); err != nil || !strings.HasPrefix(out.String(), fmt.Sprintf("\x1b[%dA\r\x1b[J", strings.Count(first, "\n"))) {
		t.Errorf("the next one does not take its place: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := v.show(status{}, errors.New("there is no log")); err != nil || !strings.Contains(out.String(), "there is no log\n") {
		t.Errorf("without a status: %q, %v", out.String(), err)
	}
}

func TestBytesForPeople(t *testing.T) {
	got := []string{}
	for _, n := range []int64{0, 999, 1000, 999_949, 999_950, 67_108_864, 1 << 62} {
		got = append(got, inBytes(n))
	}
	if want := []string{"0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "67.1 MB", "4.6 EB"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
