package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A log whose meta files are damaged is refused, not made anew over its records;
// one that never held a record is made anew; signals and audits are kept.
func TestDamagedMeta(t *testing.T) {
	damage := func(dir, stream string) {
		if err := os.WriteFile(filepath.Join(streamFolder(dir, stream), "meta.inf"), []byte("noise"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(records int) string {
		dir := t.TempDir()
		l, err := Open(context.Background(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for range records {
			mustAppend(t, l, post("alice", "hello"))
		}
		if err := l.Audit("test", struct{}{}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := fill(3)
	damage(dir, streamEvents)
	if _, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening a log without its meta file: %v", err)
	}
	if b, err := os.ReadFile(blockPath(filepath.Join(streamFolder(dir, streamEvents), "msgs"), 1)); err != nil || len(b) == 0 {
		t.Errorf("its records were touched: %d bytes, %v", len(b), err)
	}
	dir = fill(0)
	damage(dir, streamEvents)
	damage(dir, streamAdmin)
	l := openLog(t, Config{Dir: dir})
	if seq := mustAppend(t, l, post("alice", "hello")); seq != 1 {
		t.Errorf("a log made anew begins at %d", seq)
	}
	audits := 0
	for _, err := range l.ReadAdmin(context.Background(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		audits++
	}
	if audits != 1 {
		t.Errorf("%d audit records survived, want 1", audits)
	}
}

// Damage in the middle of the log costs the records it hit; no reader gets stuck at
// the gap, or passes over it in silence.
func TestGap(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustAppend(t, l, post("alice", strings.Repeat("x", 900_000))) // three blocks
	}
	path := blockPath(l.blocks.folder.Name(), 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "index.db")); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	l = openLog(t, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	got := readAll(t, l, 1, 0)
	if want := fmt.Sprintf("missing=%d", 20-len(got)); strings.Count(said.String(), "records are missing from the log") != 1 || !strings.Contains(said.String(), want) {
		t.Errorf("reading past a gap said %q, want %s", said.String(), want)
	}
	if len(got) >= 20 || len(got) < 10 || got[len(got)-1].Seq != 20 || l.Durable() != 20 {
		t.Fatalf("%d records are left, the last is %d", len(got), got[len(got)-1].Seq)
	}
	var lacks []uint64
	for seq := uint64(1); seq <= 20; seq++ {
		if !slices.ContainsFunc(got, func(r Record) bool { return r.Seq == seq }) {
			lacks = append(lacks, seq)
		}
	}
	if missing, err := l.Missing(t.Context(), 20); err != nil || !slices.Equal(missing, lacks) {
		t.Errorf("missing are %v, %v; want %v", missing, err, lacks)
	}
	if missing, err := l.Missing(t.Context(), lacks[0]); err != nil || !slices.Equal(missing, lacks[:1]) {
		t.Errorf("missing up to %d are %v, %v", lacks[0], missing, err)
	}
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < len(got); {
		records, err := f.Next(context.Background(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Seq != got[i].Seq {
				t.Fatalf("the follower is at %d, Read was at %d", r.Seq, got[i].Seq)
			}
			i++
		}
	}
	missing := uint64(1)
	for missing == got[missing-1].Seq {
		missing++
	}
	if _, err := l.Get(context.Background(), missing); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get(%d): %v, want ErrNotFound", missing, err)
	}
	if n := len(readAll(t, l, missing, missing)); n != 0 {
		t.Errorf("Read(%d, %d) gave %d records", missing, missing, n)
	}
}
