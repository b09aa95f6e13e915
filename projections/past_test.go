package projections

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// A past goes through a random history: at each place it is what the records up to
// there make by themselves, and what it says a record changes is what the record then
// does change.
func TestPastAndExplain(t *testing.T) {
	w := newWorld(t)
	history := append(histories(100, 100).Example(3), moderated(101)...)
	w.append(history...)
	told := uint64(0)
	p, err := OpenPast(t.Context(), PastConfig{Log: w.log, Progress: func(at, of uint64) { told = max(told, at) }})
	if err != nil {
		t.Fatal(err)
	}
	other := bare(t, filepath.Join(t.TempDir(), "other.db"))
	rows := func() (all map[string]string) {
		if err := p.db.View(func(tx *bolt.Tx) error { all = dump(t, tx); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	void, parked := 0, 0
	p.fault = func(projector string, r *eventlog.Record) error {
		if r.Seq == 90 && projector == schema.HomeGraph {
			parked++
			return errors.New("a fault")
		}
		return nil
	}
	other.state.first.fault, other.state.second.fault = p.fault, p.fault
	for r, err := range w.log.Read(t.Context(), 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq%40 == 0 { // these it passes by
			applyAll(t, other, []eventlog.Record{r}, 1, false)
			continue
		}
		if err := p.GoTo(t.Context(), r.Seq-1); err != nil {
			t.Fatal(err)
		}
		if d, err := p.Digest(t.Context()); err != nil || d.Projections["history"] != digestOf(t, other.db).Projections["history"] ||
			d.Seq != r.Seq-1 || !maps.Equal(d.Projections, digestOf(t, other.db).Projections) {
			t.Fatalf("the past at %d is not what the records up to there make, %v", r.Seq-1, err)
		}
		before := rows()
		changes, err := p.Explain(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			name := c.Model + "/" + c.Table + " " + string(asJSON(c.Key))
			if was, ok := before[name]; ok != (c.Before != nil) || ok && was != string(asJSON(c.Before)) {
				t.Fatalf("record %d: %s was %s and is said to have been %s", r.Seq, name, was, asJSON(c.Before))
			}
			if before[name] = string(asJSON(c.After)); c.After == nil {
				delete(before, name)
			}
		}
		if err := p.Apply(r); err != nil {
			t.Fatal(err)
		}
		if after := rows(); !maps.Equal(after, before) {
			t.Fatalf("record %d, %s: what it changed is not what was said\n%v\n%v", r.Seq, r.Event, after, before)
		}
		applyAll(t, other, []eventlog.Record{r}, 1, false)
		err = p.View(func(v *View) error {
			if v.Outcome(r.Seq) != "" {
				void++
			}
			if all := v.Parked(r.Seq); len(all) != 0 != (r.Seq == 90) || len(all) == 1 && all[0].Error != "a fault" {
				t.Errorf("record %d is parked by %v", r.Seq, all)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Explain(r); err == nil {
			t.Fatal("it explains what it has applied")
		}
	}
	if void == 0 || parked == 0 || told == 0 {
		t.Errorf("%d void, %d parked, told up to %d: the history tests nothing", void, parked, told)
	}
	if err := p.GoTo(t.Context(), 5); err == nil {
		t.Error("it went back")
	}
	if _, err := p.Explain(eventlog.Record{Seq: p.Applied() + 2}); err == nil {
		t.Error("it explains what is too far ahead")
	}
	folder := p.folder
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", folder, err)
	}
}

// A past may begin with a copy of what a server left, and ends as if it had not.
func TestPastFromACopy(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(100, 10)...)
	w.run()
	w.close()
	w.append(traffic(200, 10)[100:]...)
	before := filesOf(t, w.dir)
	left, err := OpenReadOnly(t.Context(), Config{Path: w.path(), Log: w.log})
	if err != nil {
		t.Fatal(err)
	}
	if left.Applied() != 100 {
		t.Fatalf("they stand at %d", left.Applied())
	}
	p, err := OpenPast(t.Context(), PastConfig{Log: w.log, From: left})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Applied() != 100 {
		t.Errorf("the copy stands at %d", p.Applied())
	}
	if err := errors.Join(p.GoTo(t.Context(), 200), left.Close()); err != nil {
		t.Fatal(err)
	}
	if after := filesOf(t, w.dir); after != before {
		t.Errorf("the folder was\n%s\nand is\n%s", before, after)
	}
	got, err := p.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.run()
	if want := w.digest(); got.Total != want.Total {
		t.Errorf("the copy came to %s, the server's to %s", got.Total, want.Total)
	}
}

// filesOf is the read models' files in a folder, with what is in them.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	names, err := filepath.Glob(filepath.Join(dir, "models*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", name, sha256.Sum256(text))
	}
	return all.String()
}

// Read models that do not fit are not opened, and stay as they are.
func TestOpenReadOnlyRefuses(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(50, 5)...)
	w.run()
	w.close()
	good, err := os.ReadFile(w.path())
	if err != nil {
		t.Fatal(err)
	}
	shorter, err := eventlog.OpenFiles(eventlog.Config{Dir: w.dir}, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer shorter.Close()
	for name, c := range map[string]struct {
		spoil func()
		log   *eventlog.Log
		want  string
	}{
		"gone":      {func() { os.Remove(w.path()) }, w.log, "there are none"},
		"empty":     {func() { os.WriteFile(w.path(), nil, 0o600) }, w.log, "damaged"},
		"cut short": {func() { os.Truncate(w.path(), 20_000) }, w.log, "damaged"},
		"ahead":     {func() {}, shorter, "ahead of the log"},
		"other versions": {func() {
			w.tamper(func(tx *bolt.Tx) error {
				at, err := readCheckpoint(tx)
				if err != nil {
					return err
				}
				at.Versions["likes"]++
				return putCheckpoint(tx, at)
			})
		}, w.log, "another release"},
		"after a power loss": {func() { os.WriteFile(w.path()+suffixDirty, []byte("another boot"), 0o600) }, w.log, "the machine went down"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(w.path(), good, 0o600); err != nil {
				t.Fatal(err)
			}
			c.spoil()
			before := filesOf(t, w.dir)
			m, err := OpenReadOnly(t.Context(), Config{Path: w.path(), Log: c.log})
			if err == nil {
				m.Close()
			}
			if !errors.Is(err, ErrUnfit) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("opened with %v", err)
			}
			if after := filesOf(t, w.dir); after != before {
				t.Errorf("the folder was\n%s\nand is\n%s", before, after)
			}
			os.Remove(w.path() + suffixDirty)
		})
	}
}
