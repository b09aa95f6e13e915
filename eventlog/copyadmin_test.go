package eventlog

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// copyAdmin brings the copy of ADMIN in dst up to date and makes sure that it is whole.
func copyAdmin(t *testing.T, dir, dst string, had []Block, to uint64) []Block {
	t.Helper()
	blocks, copied, err := CopyAdmin(t.Context(), dir, dst, had, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckCopy(t.Context(), dst, blocks, nil); err != nil {
		t.Fatal(err)
	}
	if len(had) > 0 && blocks[0].File == had[0].File && copied != sumOf(blocks)-sumOf(had) {
		t.Errorf("%d bytes were written from %d to %d", copied, sumOf(had), sumOf(blocks))
	}
	return blocks
}

func adminOf(t *testing.T, l *Log) (all []Record) {
	t.Helper()
	for r, err := range l.ReadAdmin(context.Background(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// sameAdmin makes sure that a copy of ADMIN holds these entries.
func sameAdmin(t *testing.T, dst string, want []Record) {
	t.Helper()
	f, err := OpenFiles(Config{Dir: dst}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := adminOf(t, f); !slices.EqualFunc(got, want, same) {
		t.Fatalf("%d entries, want %d:\n%+v\n%+v", len(got), len(want), got, want)
	}
}

// A copy has facts and notes at their places; a server goes on behind them, and takes
// no fact twice from EVENTS, also under a new epoch.
func TestCopyAdmin(t *testing.T) {
	dir, dst := t.TempDir(), t.TempDir()
	l := openLog(t, Config{Dir: dir})
	var blocks []Block
	for i := range 3 {
		fillAdmin(t, l, 5*(i+1))
		blocks = copyAdmin(t, dir, dst, blocks, l.Durable())
		copyAll(t, l, dst, nil)
		sameAdmin(t, dst, adminOf(t, l))
	}
	all, last := adminOf(t, l), l.Durable()
	back := openLog(t, Config{Dir: dst})
	if err := back.BeginEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, back, reported())
	waitAdmin(t, back, len(all)+1)
	got := adminOf(t, back)
	if !slices.EqualFunc(got[:len(all)], all, same) || got[len(all)].Origin != last+1 {
		t.Errorf("after %d entries and one more: %+v", len(all), got)
	}
}

// A fact is not copied before EVENTS is copied up to it, nor what comes behind it.
func TestCopyAdminUpTo(t *testing.T) {
	dir, dst := t.TempDir(), t.TempDir()
	l := openLog(t, Config{Dir: dir})
	all := fillAdmin(t, l, 5)
	copyAll(t, l, dst, nil)
	i := slices.IndexFunc(all, func(r Record) bool { return r.Origin > 4 })
	blocks := copyAdmin(t, dir, dst, nil, 4)
	sameAdmin(t, dst, all[:i])
	copyAdmin(t, dir, dst, blocks, l.Durable())
	sameAdmin(t, dst, all)
}

// What ADMIN has forgotten stays in the copy, and does not disturb it.
func TestCopyAdminKeepsWhatIsForgotten(t *testing.T) {
	dir, dst := t.TempDir(), t.TempDir()
	l := openLog(t, Config{Dir: dir})
	all := fillAdmin(t, l, 5)
	copyAll(t, l, dst, nil)
	blocks := copyAdmin(t, dir, dst, nil, l.Durable())
	stream, err := l.js.Stream(t.Context(), streamAdmin)
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	blocks = copyAdmin(t, dir, dst, blocks, l.Durable())
	if err := l.Audit("parked", struct{}{}); err != nil {
		t.Fatal(err)
	}
	waitAdmin(t, l, 1)
	copyAdmin(t, dir, dst, blocks, l.Durable())
	sameAdmin(t, dst, append(all, adminOf(t, l)...))
}

// Where a power loss took entries and others have their places, the copy begins anew in
// other files, beside those of the copy before.
func TestCopyAdminBeginsAnew(t *testing.T) {
	for name, entries := range map[string]int{"shorter": 2, "longer": 9} {
		t.Run(name, func(t *testing.T) {
			dst := t.TempDir()
			first, second := openLog(t, Config{Dir: t.TempDir()}), openLog(t, Config{Dir: t.TempDir()})
			fillAdmin(t, first, 5)
			had := copyAdmin(t, first.cfg.Dir, dst, nil, first.Durable())
			want := fillAdmin(t, second, entries)
			blocks := copyAdmin(t, second.cfg.Dir, dst, had, second.Durable())
			if blocks[0].File == had[0].File {
				t.Fatalf("it goes on in %s", had[0].File)
			}
			if err := CheckCopy(t.Context(), dst, had, nil); err != nil {
				t.Errorf("the copy before: %v", err)
			}
			if err := os.Remove(filepath.Join(dst, had[0].File)); err != nil {
				t.Fatal(err)
			}
			copyAll(t, second, dst, nil)
			sameAdmin(t, dst, want)
		})
	}
}
