package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bigPosts appends n records of 900 kB: nine of them fill a block.
func bigPosts(t *testing.T, l *Log, n int) {
	t.Helper()
	records := posts(n)
	for i := range records {
		records[i].Data = fmt.Appendf(nil, `{"content":"%d %s"}`, i, strings.Repeat("x", 900_000))
	}
	fill(t, l, records)
}

// copyAll brings the copy in dst up to date and makes sure that it is whole.
func copyAll(t *testing.T, l *Log, dst string, had []Block) (blocks []Block, copied int64) {
	t.Helper()
	blocks, copied, err := CopyEvents(t.Context(), l.cfg.Dir, dst, had, l.Durable(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckCopy(t.Context(), dst, blocks, nil); err != nil {
		t.Fatal(err)
	}
	meta, err := MetaFiles(l.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range meta {
		if err := os.WriteFile(filepath.Join(dst, name), content, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return blocks, copied
}

// sameRecords makes sure that the log in the files of a copy is that of l.
func sameRecords(t *testing.T, l *Log, dst string) {
	t.Helper()
	f, err := OpenFiles(Config{Dir: dst}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := readAll(t, l, 1, 0)
	got := readAll(t, f, 1, 0)
	if f.Epoch() != l.Epoch() || len(got) != len(want) {
		t.Fatalf("epoch %s with %d records, want %s with %d", f.Epoch(), len(got), l.Epoch(), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Leaf(), want[i].Leaf()) {
			t.Fatalf("record %d differs", i+1)
		}
	}
}

// Each copy writes what the one before did not have, in the last block and behind it,
// and a server goes on with what was copied.
func TestCopyEvents(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "copy")
	l := openLog(t, Config{Dir: t.TempDir()})
	blocks, copied := copyAll(t, l, dst, nil)
	if copied != 0 || len(blocks) != 1 {
		t.Fatalf("of an empty log: %d bytes, %+v", copied, blocks)
	}
	var sum int64
	for range 3 {
		had := blocks
		bigPosts(t, l, 4)
		blocks, copied = copyAll(t, l, dst, had)
		if sum += copied; copied < 4*900_000 || copied > 4*910_000 {
			t.Errorf("%d bytes were written for 4 records", copied)
		}
		if n := len(had) - 1; !slices.Equal(blocks[:n], had[:n]) {
			t.Errorf("full blocks were %+v and are %+v", had, blocks)
		}
	}
	sameRecords(t, l, dst)
	if len(blocks) < 2 || sum != sumOf(blocks) {
		t.Errorf("%d blocks of %d bytes, %d were written", len(blocks), sumOf(blocks), sum)
	}
	if again, copied := copyAll(t, l, dst, blocks); copied != 0 || !slices.Equal(again, blocks) {
		t.Errorf("again: %d bytes, %+v", copied, again)
	}
	back := openLog(t, Config{Dir: dst})
	if back.Epoch() != l.Epoch() || mustAppend(t, back, post("alice", "on")) != l.Durable()+1 {
		t.Error("a server does not go on with the copy")
	}
}

func sumOf(blocks []Block) (n int64) {
	for _, b := range blocks {
		n += b.Bytes
	}
	return n
}

// A copy ends with the record that was asked for, whatever is behind it in the files,
// and what an unfinished copy left behind its own end is written over.
func TestCopyEventsEnds(t *testing.T) {
	dst := t.TempDir()
	l := openLog(t, Config{Dir: t.TempDir()})
	fill(t, l, posts(20))
	blocks, _, err := CopyEvents(t.Context(), l.cfg.Dir, dst, nil, 7, nil)
	if err != nil || lastOf(blocks) != 7 || blocks[0].Records != 7 {
		t.Fatalf("%+v, %v", blocks, err)
	}
	path := filepath.Join(dst, blocks[0].File)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString("what was not finished")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := CheckCopy(t.Context(), dst, blocks, nil); err != nil {
		t.Errorf("with more behind it: %v", err)
	}
	copyAll(t, l, dst, blocks)
	sameRecords(t, l, dst)
	if _, _, err := CopyEvents(t.Context(), l.cfg.Dir, t.TempDir(), nil, 21, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("of a record that the files do not have: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := CopyEvents(ended, l.cfg.Dir, dst, nil, 20, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

// A copy is not gone on with when it is of another log, or has what the log lost.
func TestCopyDiverged(t *testing.T) {
	dst := t.TempDir()
	first := openLog(t, Config{Dir: t.TempDir()})
	fill(t, first, posts(10))
	blocks, _ := copyAll(t, first, dst, nil)
	shorter, longer := openLog(t, Config{Dir: t.TempDir()}), openLog(t, Config{Dir: t.TempDir()})
	fill(t, shorter, posts(5))
	fill(t, longer, posts(15))
	for name, l := range map[string]*Log{"shorter": shorter, "longer": longer} {
		if _, _, err := CopyEvents(t.Context(), l.cfg.Dir, dst, blocks, l.Durable(), nil); !errors.Is(err, ErrDiverged) {
			t.Errorf("a %s log: %v", name, err)
		}
	}
	if err := CheckCopy(t.Context(), dst, blocks, nil); err != nil {
		t.Errorf("the copy afterwards: %v", err)
	}
}

// Damage is found on the way, in the log and in the copy.
func TestCopyMeetsDamage(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	l := openLog(t, Config{Dir: src})
	fill(t, l, posts(20))
	blocks, _ := copyAll(t, l, dst, nil)
	l.Close()
	for name, damaged := range map[string]string{"log": filepath.Join(src, blocks[0].File), "copy": filepath.Join(dst, blocks[0].File)} {
		whole, err := os.ReadFile(damaged)
		if err != nil {
			t.Fatal(err)
		}
		for at := range len(whole) {
			if at%211 != 0 {
				continue
			}
			broken := bytes.Clone(whole)
			broken[at] ^= 1
			if err := os.WriteFile(damaged, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := CopyEvents(t.Context(), src, dst, blocks, 20, nil); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrDiverged) {
				t.Fatalf("%s with byte %d changed: %v", name, at, err)
			}
			if err := CheckCopy(t.Context(), dst, blocks, nil); (name == "copy") != errors.Is(err, ErrDamaged) {
				t.Fatalf("checking the copy with byte %d of the %s changed: %v", at, name, err)
			}
		}
		if err := os.WriteFile(damaged, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What is not what the blocks say it is.
	for name, change := range map[string]func(*Block){
		"another count": func(b *Block) { b.Records++ },
		"another end":   func(b *Block) { b.Last++ },
		"another name":  func(b *Block) { b.File = strings.Replace(b.File, "1.blk", "01.blk", 1) },
		"more bytes":    func(b *Block) { b.Bytes++ },
	} {
		changed := slices.Clone(blocks)
		change(&changed[0])
		if err := CheckCopy(t.Context(), dst, changed, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
