package projections

import (
	"bytes"
	"os"
	"testing"
)

func (w *world) note() string {
	w.t.Helper()
	note, err := os.ReadFile(w.path() + suffixDirty)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return string(note)
}

// While the read models are open a note names the boot; Close takes it away.
func TestTheNoteBesideAnOpenFile(t *testing.T) {
	w := newWorld(t)
	w.append(traffic(50, 5)...)
	w.run()
	if w.note() != bootID() {
		t.Errorf("the note says %q in boot %q", w.note(), bootID())
	}
	w.close()
	if w.note() != "" {
		t.Errorf("the note %q outlived Close", w.note())
	}
}

// A process that ended without Close, whatever it was doing, leaves a file that
// carries on.
func TestAFileLeftByThisBootCarriesOn(t *testing.T) {
	w := newWorld(t)
	last := w.append(traffic(50, 5)...)
	w.run()
	w.close()
	if _, err := markDirty(w.path()); err != nil {
		t.Fatal(err)
	}
	w.open()
	if w.models.Applied() != last {
		t.Errorf("it stands at %d, want %d", w.models.Applied(), last)
	}
}

// A file that was open when the machine went down is made anew, even when it
// looks whole: pages of it may be old.
func TestAFileLeftByAnotherBootStartsAnew(t *testing.T) {
	for name, left := range map[string]func([]byte) []byte{
		"whole":   func(b []byte) []byte { return b },
		"noise":   func(b []byte) []byte { return bytes.Repeat([]byte{0xA5}, len(b)) },
		"nothing": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.append(traffic(300, 20)...)
			w.run()
			good := w.digest()
			w.close()
			whole, err := os.ReadFile(w.path())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.path(), left(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.path()+suffixDirty, []byte("an earlier boot"), 0o600); err != nil {
				t.Fatal(err)
			}
			w.open()
			if w.models.Applied() != 0 {
				t.Errorf("it stands at %d", w.models.Applied())
			}
			w.follow()
			if again := w.digest(); again.Total != good.Total {
				t.Errorf("made anew: %v, want %v", again, good)
			}
		})
	}
}

// Where there is no telling one boot from another, every batch is synced, and no
// note is left.
func TestWithoutABootIDEveryBatchIsSynced(t *testing.T) {
	known := bootID
	bootID = func() string { return "" }
	defer func() { bootID = known }()
	w := newWorld(t)
	w.append(traffic(50, 5)...)
	w.run()
	if w.note() != "" || w.models.db.NoSync {
		t.Errorf("the note says %q, NoSync is %v", w.note(), w.models.db.NoSync)
	}
	w.close()
}
