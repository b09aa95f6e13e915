package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
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

// eventBlock is the file that has a small log's records.
const eventBlock = "jetstream/ROOMLOG/streams/EVENTS/msgs/1.blk"

func posts(t *testing.T, s *serverProcess, n int) {
	t.Helper()
	carol := s.dial("carol", client.Options{})
	for range n {
		do(t, carol, "post:create", schema.PostCreate{Content: "and on"})
	}
}

// flip changes a bit in a file where a text begins.
func flip(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(text))
	if at < 0 {
		t.Fatalf("there is no %q in %s", text, path)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// An auditor with an old key and an old checkpoint verifies a log while its server runs,
// when it is stopped, and a copy of it; a proof needs its key alone; and the key rotates.
func TestVerify(t *testing.T) {
	dir, kept := t.TempDir(), t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	proof, key, checkpoint := filepath.Join(kept, "proof"), filepath.Join(kept, "key"), filepath.Join(kept, "checkpoint")
	good(t, "verify", "--data", dir, "--prove", "2", "-o", proof) // and signs
	for to, from := range map[string]string{key: "log.pub", checkpoint: "checkpoint"} {
		b, err := os.ReadFile(filepath.Join(dir, from))
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if out := good(t, "verify", "--proof", proof, "--key", key); !strings.Contains(out, "proven       seq 2 ") || !strings.Contains(out, `{"content":"hello"`) {
		t.Errorf("the proof shows\n%s", out)
	}
	var rotated handover
	if err := json.Unmarshal([]byte(good(t, "verify", "--data", dir, "--rotate-key", "--json")), &rotated); err != nil || strings.Count(rotated.Checkpoint, "\n— ") != 2 {
		t.Fatalf("handed over by %+v, %v", rotated, err)
	}
	posts(t, s, 5)
	verified := func(dir string, records, compared uint64) {
		t.Helper()
		var r replay.Report
		out := good(t, "verify", "--data", dir, "--key", key, "--checkpoint", checkpoint, "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Records != records || r.Compared != compared || r.Signed < 6 || len(r.Findings) != 0 {
			t.Errorf("verified %s, %v", out, err)
		}
	}
	records := liveStatus(t, dir).Log.Durable
	verified(dir, records, records)
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr)
	}
	verified(dir, records, records)
	good(t, "verify", "--data", dir, "--rotate-key")
	again := filepath.Join(kept, "again")
	good(t, "verify", "--data", dir, "--prove", "2", "-o", again)
	if r := roomlog(t, "verify", "--proof", again, "--key", key); r.code != exitDiffers || !strings.Contains(r.stderr, "none of the known keys has signed it") {
		t.Errorf("by the old key alone: %d, %s", r.code, r.stderr)
	}
	good(t, "verify", "--proof", again, "--key", key, "--checkpoint", filepath.Join(dir, "checkpoints"))

	flip(t, filepath.Join(dir, eventBlock), "hello yourself")
	r := roomlog(t, "verify", "--data", dir, "--key", key)
	if r.code != exitDiffers || !strings.Contains(r.out, "record 4 is unreadable") || !strings.Contains(r.stderr, "the first with record 4") {
		t.Errorf("a flipped bit: %d\n%s%s", r.code, r.out, r.stderr)
	}
	flip(t, proof, "index")
	if r := roomlog(t, "verify", "--proof", proof, "--key", key); r.code != exitDiffers {
		t.Errorf("a changed proof: %d, %s", r.code, r.stderr)
	}
}

func TestVerifyUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"ask for one of them":         {"--prove", "3", "--rotate-key"},
		"checked with --key":          {"--proof", "x"},
		"give both":                   {"-o", "x"},
		"is no verifier key":          {"--key", "nonsense", "--proof", "x"},
		"there is no log in":          {},
		"tell by who may sign":        {"--checkpoint", "x"},
		"nothing is signed in":        {"--rotate-key"},
		"cannot read the proof: open": {"--proof", "x", "--key", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"},
	} {
		if r := roomlog(t, append([]string{"verify", "--data", t.TempDir()}, args...)...); r.code == 0 || r.code == exitDiffers || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: %d, %s; want %q", args, r.code, r.stderr, want)
		}
	}
}

// A server does not start on a log that lacks what was signed or applied, and cuts
// nothing off of it, until the operator gives it up: then another epoch begins.
func TestServeRefusesALossOfRecords(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	epoch := liveStatus(t, dir).Epoch
	s.stop(syscall.SIGTERM)
	path := filepath.Join(dir, eventBlock)
	flip(t, path, "hello yourself")
	if err := os.Remove(filepath.Join(filepath.Dir(path), "index.db")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r := roomlog(t, "replay", "--data", dir); r.code != exitFailed || strings.Count(r.out, "\n") != 3 ||
		!strings.Contains(r.stderr, "at record 4") || !strings.Contains(r.stderr, "roomlog verify") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("replay: %+v", r)
	}
	for _, command := range []string{"serve", "rebuild"} {
		r := roomlog(t, command, "--data", dir)
		if r.code != exitFailed || !strings.Contains(r.stderr, "record 4") || !strings.Contains(r.stderr, "serve --accept-loss") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %s", command, r.code, r.stderr)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the log was touched: %v", err)
	}
	// The read models' file is not needed for it, nor the block that is damaged.
	if err := errors.Join(os.Remove(filepath.Join(dir, modelsName)), os.Truncate(path, int64(bytes.Index(before, []byte("ello yourself"))))); err != nil {
		t.Fatal(err)
	}
	if r := roomlog(t, "serve", "--data", dir); r.code != exitFailed || !strings.Contains(r.stderr, "what followed seq 3 is gone") && !strings.Contains(r.stderr, "record 4") {
		t.Errorf("cut off: exit code %d, %s", r.code, r.stderr)
	}
	s = serve(t, dir, "--accept-loss")
	if now := liveStatus(t, dir); now.Epoch == epoch || now.Log.Durable != 3 || now.Projections.Applied != 3 {
		t.Errorf("given up, it is %+v", now)
	}
	posts(t, s, 5)
	s.stop(syscall.SIGTERM)
	serve(t, dir).stop(syscall.SIGTERM) // nothing is lost any more
	good(t, "verify", "--data", dir)
	aside := filepath.Join(dir, "checkpoint.lost-1")
	if r := roomlog(t, "verify", "--data", dir, "--checkpoint", aside); r.code != exitDiffers || !strings.Contains(r.out, "4-6  differs") {
		t.Errorf("by what was signed before: %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// A server signs from time to time, when something was added, and says so in the ADMIN
// stream.
func TestServerSignsFromTimeToTime(t *testing.T) {
	cfg := unlimited(t.TempDir())
	cfg.signEvery = time.Millisecond
	s, err := NewServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	notes := s.log.FollowAdmin(1)
	for seq := uint64(1); seq <= 3; seq++ {
		now := time.Now()
		r := eventlog.Record{
			ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "post:create", Version: 1,
			Actor: schema.Actor{ID: "alice", Username: "alice"}, Data: []byte(`{"content":"hello"}`),
		}
		if _, err := s.log.AppendWait(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		entries, err := notes.Next(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		var signed schema.AuditSigned
		if err := json.Unmarshal(entries[0].Data, &signed); err != nil || signed.Size != seq {
			t.Errorf("after record %d the admin stream says %s, %v", seq, entries[0].Data, err)
		}
		onDisk, err := os.ReadFile(filepath.Join(cfg.Data, "checkpoint"))
		if err != nil || string(onDisk) != signed.Note {
			t.Errorf("the file has\n%s\nand the admin stream\n%s%v", onDisk, signed.Note, err)
		}
	}
	notes.Close()
	stop()
	if err := errors.Join(<-served, s.Close()); err != nil {
		t.Error(err)
	}
}
