package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A scan goes on past what is damaged, and says where that is.
func TestScanGoesOnPastDamage(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	for i := range 20 {
		mustAppend(t, l, post("alice", fmt.Sprintf("number %02d", i+1)))
	}
	l.Close()
	path := blockPath(blockFolder(dir, streamEvents), 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole) / 20 // of each record, all being alike
	nth := func(b []byte, n int) []byte { return b[(n-1)*size : n*size] }
	for name, test := range map[string]struct {
		spoil func(b []byte) []byte
		want  string // sequences; damage in parentheses
	}{
		"whole":        {func(b []byte) []byte { return b }, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"},
		"flipped bits": {func(b []byte) []byte { nth(b, 3)[size/2] ^= 1; nth(b, 20)[30] ^= 4; return b }, "1 2 (3) 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 (20)"},
		"a wrong length": {func(b []byte) []byte {
			binary.LittleEndian.PutUint32(nth(b, 18), 5)
			return b
		}, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 (18)"},
		"a torn end":      {func(b []byte) []byte { return b[:len(b)-5] }, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 (20)"},
		"a record gone":   {func(b []byte) []byte { return slices.Delete(b, 4*size, 5*size) }, "1 2 3 4 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"},
		"a record twice":  {func(b []byte) []byte { return slices.Insert(b, 4*size, bytes.Clone(nth(b, 2))...) }, "1 2 3 4 2 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"},
		"nothing is left": {func([]byte) []byte { return nil }, ""},
	} {
		if err := os.WriteFile(path, test.spoil(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFiles(Config{Dir: dir}, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for r, err := range f.Scan(t.Context()) {
			switch {
			case err == nil:
				got += fmt.Sprint(" ", r.Seq)
			case errors.Is(err, ErrDamaged):
				got += fmt.Sprintf(" (%d)", r.Seq)
			default:
				t.Fatal(err)
			}
		}
		if got != "" {
			got = got[1:]
		}
		if got != test.want {
			t.Errorf("%s: %s\nwant %s", name, got, test.want)
		}
		f.Close()
	}
}

// A server that would cut off records known to be durable is not started; nothing of
// them is touched. It is when the damage is behind what is known, or its index, which is
// newer, will keep it from reading the block anew.
func TestKnownRecordsAreNotCutOff(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	for i := range 20 {
		mustAppend(t, l, post("alice", fmt.Sprintf("number %02d", i+1)))
	}
	l.Close()
	path := blockPath(blockFolder(dir, streamEvents), 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("number 11"))] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if l, err := Open(t.Context(), Config{Dir: dir, Known: 11}); !errors.Is(err, ErrCut) || !strings.Contains(err.Error(), "record 11") {
			t.Errorf("it is opened: %v", err)
			l.Close()
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b) {
			t.Errorf("the records were touched: %v", err)
		}
	}
	index := filepath.Join(filepath.Dir(path), "index.db")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(index, later, later); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, Config{Dir: dir, Known: 20})
	if l.Durable() != 20 {
		t.Errorf("with its index it ends at %d", l.Durable())
	}
	l.Close()
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if l = openLog(t, Config{Dir: dir, Known: 10}); l.Durable() != 10 {
		t.Errorf("without it ends at %d", l.Durable())
	}
}

// A log that lost records can go on in another epoch, and stays in it.
func TestBeginEpoch(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	mustAppend(t, l, post("alice", "hello"))
	l.Close()
	l = openLog(t, Config{Dir: dir})
	before := l.Epoch()
	if err := l.BeginEpoch(t.Context()); err != nil || l.Epoch() == before {
		t.Fatalf("epoch %s after %s: %v", l.Epoch(), before, err)
	}
	now := l.Epoch()
	if seq := mustAppend(t, l, post("alice", "hello again")); seq != 2 {
		t.Errorf("the next record has place %d", seq)
	}
	l.Close()
	if f, err := OpenFiles(Config{Dir: dir}, 0); err != nil || f.Epoch() != now || f.BeginEpoch(t.Context()) == nil {
		t.Errorf("by its files: %v", err)
	}
	if l = openLog(t, Config{Dir: dir}); l.Epoch() != now || l.Durable() != 2 {
		t.Errorf("epoch %s, want %s; durable %d", l.Epoch(), now, l.Durable())
	}
}
