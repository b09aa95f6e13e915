package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roomlog/projections"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// A server whose projectors have another version refuses clients until it has made
// its read models, and says how far it is; the old ones are kept.
func TestStartWithOtherVersions(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	token := s.token("alice")
	want := liveStatus(t, dir).Projections.Digest
	s.stop(syscall.SIGTERM)
	otherVersions(t, dir)

	building, goOn := make(chan struct{}), make(chan struct{})
	cfg := unlimited(dir)
	var first sync.Once
	cfg.onRebuild = func(p projections.Point) {
		first.Do(func() { close(building) })
		<-goOn
	}
	server, err := NewServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served, ready := make(chan error, 1), make(chan struct{})
	go func() { served <- server.Run(t.Context(), func() { close(ready) }) }()
	<-building
	base := "http" + strings.TrimSuffix(strings.TrimPrefix(server.URL(), "ws"), "/ws")
	code, body := get(t, base+"/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "making the read models anew: ") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, "roomlog_rebuild_running 1\n") || !strings.Contains(body, "roomlog_rebuild_target 6\n") {
		t.Errorf("/metrics does not show the rebuild:\n%s", body)
	}
	_, err = client.Dial(t.Context(), server.URL(), client.Options{Token: token})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter <= 0 {
		t.Errorf("a client got %v", err)
	}
	if r := rebuildOf(server.models); r == nil || r.Target != 6 || len(r.Models) == 0 {
		t.Errorf("status shows the rebuild as %+v", r)
	}
	if r := roomlog(t, "rebuild", "--data", dir); r.code != 1 || !strings.Contains(r.stderr, "already under way") {
		t.Errorf("another rebuild: exit code %d, %s", r.code, r.stderr)
	}
	close(goOn)
	<-ready
	if got := liveStatus(t, dir).Projections.Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, "roomlog_rebuild_running 0\n") {
		t.Error("/metrics shows a rebuild that is over")
	}
	if _, err := os.Stat(filepath.Join(dir, modelsName+".old")); err != nil {
		t.Error(err)
	}
	server.gateway.Drain(t.Context())
	if err := errors.Join(<-served, server.Close()); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// With --rebuild-in-background it takes clients at once, and replaces the read models
// under them.
func TestRebuildInBackground(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	want := liveStatus(t, dir).Projections.Digest
	s.stop(syscall.SIGTERM)
	otherVersions(t, dir)
	s = serve(t, dir, "--rebuild-in-background")
	eventually(t, func() (bool, string) {
		return liveStatus(t, dir).Projections.Digest == want, "the rebuilt read models"
	})
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: "all is well"})
	checkRebuild(t, dir)
}

// Damage that a query meets ends the server, with one sentence, and the next start
// makes the read models anew.
func TestDamageMetByAQuery(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	post := aFewRecords(t, s)
	want := liveStatus(t, dir).Projections.Digest
	alice := s.dial("alice", client.Options{})
	f, err := os.OpenFile(filepath.Join(dir, modelsName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte{0xFF}, int(info.Size())-2*4096), 2*4096)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Do(t.Context(), "post:get", schema.PostRef{PostID: post}, ""); err == nil {
		t.Error("a query of damaged read models was answered")
	}
	<-s.rest
	s.cmd.Wait()
	s.ended = true
	last := lines(s.stderr.String())
	if code := s.cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(last[len(last)-1], "roomlog: the read models stopped: the read models' file is damaged") {
		t.Errorf("exit code %d\n%s", code, s.stderr)
	}
	serve(t, dir)
	if got := liveStatus(t, dir).Projections.Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, modelsName+".damaged-*")); len(aside) != 1 {
		t.Errorf("set aside: %q", aside)
	}
}
