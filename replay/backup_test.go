package replay_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// grow appends posts to the log in a data directory, brings its read models up to date
// and leaves both as a server does that stops. Of big ones nine fill a block.
func grow(t *testing.T, data string, n int, big bool) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(data, "models.db"), Log: log, Deliver: func([]projections.Applied) {}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- models.Run(ctx) }()
	size := 10
	if big {
		size = 900_000
	}
	stored := make(chan error, n)
	for i := range n {
		now := time.Now()
		err := log.Append(ctx, eventlog.Record{
			ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "post:create", Version: 1,
			Actor: schema.Actor{ID: "alice", Username: "alice"}, Key: fmt.Sprint("key ", now.UnixNano(), i),
			Data: fmt.Appendf(nil, `{"content":"%s"}`, strings.Repeat("x", size)),
		}, func(_ uint64, err error) { stored <- err })
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	if err := models.WaitApplied(t.Context(), log.Durable()); err != nil {
		t.Fatal(err)
	}
	stop()
	<-ran
	if err := errors.Join(models.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// backup makes a backup that must succeed.
func backup(t *testing.T, data, dir string) *replay.BackupReport {
	t.Helper()
	report, err := replay.Backup(t.Context(), backupOf(data, dir))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := replay.CheckBackup(t.Context(), dir, nil); err != nil || m.Last != report.Last {
		t.Fatalf("the backup just made: %v", err)
	}
	return report
}

// ends makes sure that the log in dir ends at last, and returns its epoch.
func ends(t *testing.T, dir string, last uint64) string {
	t.Helper()
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.Durable() != last {
		t.Errorf("the log in %s ends at %d, want %d", filepath.Base(dir), log.Durable(), last)
	}
	return log.Epoch()
}

// A backup holds what it should beside the log, secrets only while they are wanted, and
// takes up what has changed.
func TestBackupFiles(t *testing.T) {
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	grow(t, data, 3, false)
	for _, name := range []string{"auth.secret", "log.key", "checkpoint", "control.sock"} {
		write(t, filepath.Join(data, name), name+" of old")
	}
	backup(t, data, dir)
	write(t, filepath.Join(data, "checkpoint"), "checkpoint of now")
	backup(t, data, dir)
	holds := func(want map[string]string) {
		t.Helper()
		for _, name := range []string{"auth.secret", "log.key", "checkpoint", "control.sock", "models.db", "checkpoint.next"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if string(content) != want[name] || (want[name] == "") != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s holds %q (%v), want %q", name, content, err, want[name])
			}
		}
	}
	holds(map[string]string{"auth.secret": "auth.secret of old", "log.key": "log.key of old", "checkpoint": "checkpoint of now"})
	o := backupOf(data, dir)
	o.WithoutSecrets = true
	if _, err := replay.Backup(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	holds(map[string]string{"checkpoint": "checkpoint of now"})
	// What was signed under another epoch is kept, and not taken for this log's.
	restored := filepath.Join(t.TempDir(), "data")
	if report, err := replay.Restore(t.Context(), restoreOf(dir, restored)); err != nil || !report.NewEpoch {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := os.Stat(filepath.Join(restored, "checkpoint")); err == nil {
		t.Error("a log with a new epoch has the old one's checkpoint")
	}
	if kept, err := os.ReadFile(filepath.Join(restored, "checkpoint.before-restore")); err != nil || string(kept) != "checkpoint of now" {
		t.Errorf("beside it is %q, %v", kept, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the backup's directory: %v, %v", info.Mode(), err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, _ := e.Info(); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What cannot be backed up, or not there, is refused, and what is there stays.
func TestBackupRefuses(t *testing.T) {
	data, other, occupied := t.TempDir(), t.TempDir(), t.TempDir()
	grow(t, data, 3, false)
	grow(t, other, 3, false)
	write(t, filepath.Join(occupied, "letter"), "to my mother")
	dir := filepath.Join(t.TempDir(), "backup")
	backup(t, data, dir)
	running := t.TempDir()
	grow(t, running, 1, false)
	unlock, err := eventlog.LockDir(running)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for want, o := range map[string]replay.BackupOptions{
		"holds a backup of another log":   backupOf(other, dir),
		"holds no backup, but letter":     backupOf(data, occupied),
		"holds no backup, but jetstream":  backupOf(data, other),
		"lies in the data directory":      backupOf(data, filepath.Join(data, "backup")),
		"has the data directory open":     backupOf(running, filepath.Join(t.TempDir(), "b")),
		"no such file or directory":       backupOf(t.TempDir(), filepath.Join(t.TempDir(), "b")),
		"lies in the data directory that": backupOf(data, data),
	} {
		if _, err := replay.Backup(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := replay.CheckBackup(t.Context(), dir, nil); err != nil {
		t.Error(err)
	}
	// A log that lost records does not take them from the backup.
	restored := filepath.Join(t.TempDir(), "data")
	if _, err := replay.Restore(t.Context(), replay.RestoreOptions{Dir: dir, Data: restored, Models: "models.db", Signed: []string{"checkpoint"}, Epoch: replay.EpochSame}); err != nil {
		t.Fatal(err)
	}
	grow(t, data, 2, false)
	backup(t, data, dir)
	grow(t, restored, 3, false) // otherwise
	if _, err := replay.Backup(t.Context(), backupOf(restored, dir)); !errors.Is(err, eventlog.ErrDiverged) {
		t.Errorf("a log that went another way: %v", err)
	}
	if m, err := replay.CheckBackup(t.Context(), dir, nil); err != nil || m.Last != 5 {
		t.Errorf("the backup then: %v", err)
	}
}

// A backup that is killed at any point leaves the one before or is the new one; the next
// one goes on.
func TestKilledBackup(t *testing.T) {
	for _, point := range []replay.BackupPoint{replay.BackupCopied, replay.BackupStaged, replay.BackupCommitted} {
		t.Run(string(point), func(t *testing.T) {
			data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
			grow(t, data, 5, false)
			write(t, filepath.Join(data, "checkpoint"), "old")
			dieAt(t, "backup "+string(point), dir, data) // the first one
			m, err := replay.CheckBackup(t.Context(), dir, nil)
			if committed := point == replay.BackupCommitted; committed != (err == nil) || committed && m.Last != 5 {
				t.Errorf("the first backup: %v", err)
			}
			backup(t, data, dir)
			grow(t, data, 3, false)
			write(t, filepath.Join(data, "checkpoint"), "new")
			dieAt(t, "backup "+string(point), dir, data)
			want := map[replay.BackupPoint]uint64{replay.BackupCommitted: 8}[point]
			if m, err = replay.CheckBackup(t.Context(), dir, nil); err != nil || m.Last != max(want, 5) {
				t.Fatalf("the next backup: %v", err)
			}
			restored := filepath.Join(t.TempDir(), "data")
			o := restoreOf(dir, restored)
			o.Epoch = replay.EpochSame
			if _, err := replay.Restore(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			ends(t, restored, m.Last)
			checkpoint, err := os.ReadFile(filepath.Join(restored, "checkpoint"))
			if err != nil || string(checkpoint) != map[uint64]string{5: "old", 8: "new"}[m.Last] {
				t.Errorf("with %d records the checkpoint is %q, %v", m.Last, checkpoint, err)
			}
			grow(t, data, 1, false)
			if report := backup(t, data, dir); report.Last != 9 || report.Since != m.Last {
				t.Errorf("the next backup goes from %d to %d", report.Since, report.Last)
			}
		})
	}
}

// Whatever of a backup is damaged is found, and named, before anything is replaced.
func TestDamagedBackup(t *testing.T) {
	data, dir, target := t.TempDir(), filepath.Join(t.TempDir(), "backup"), t.TempDir()
	grow(t, data, 10, true)
	write(t, filepath.Join(data, "auth.secret"), "a secret")
	grow(t, target, 1, false)
	before := everything(t, target)
	m := backup(t, data, dir).Manifest
	if len(m.Blocks) < 2 {
		t.Fatalf("only %d blocks", len(m.Blocks))
	}
	names := []string{replay.ManifestName}
	for _, b := range m.Blocks {
		names = append(names, b.File)
	}
	for _, f := range m.Files {
		names = append(names, f.File)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(whole)
		flipped[len(whole)/2] ^= 4
		cut := whole[:len(whole)-1]
		if name == replay.ManifestName { // whose end is the end of a line, and in whose middle is who made it
			flipped[0] ^= 1
			cut = cut[:len(cut)-1]
		}
		for what, content := range map[string][]byte{"flipped": flipped, "cut": cut, "gone": nil} {
			os.Remove(path)
			if content != nil {
				write(t, path, string(content))
			}
			_, err := replay.Restore(t.Context(), restoreOf(dir, target))
			if err == nil || !strings.Contains(err.Error(), filepath.Base(name)) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is %s: %v", name, what, err)
			}
		}
		write(t, path, string(whole))
		if got := everything(t, target); !slices.Equal(got, before) {
			t.Fatalf("with a damaged %s: %q became %q", name, before, got)
		}
	}
	if _, err := replay.Restore(t.Context(), restoreOf(dir, target)); err != nil {
		t.Fatal(err)
	}
	ends(t, target, 10)
}

// everything lists what is in and beside a data directory, with sizes.
func everything(t *testing.T, data string) (all []string) {
	t.Helper()
	for _, dir := range append([]string{data}, leftBeside(data)...) {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if e.Name() != "LOCK" && !e.IsDir() {
				all = append(all, fmt.Sprint(path, " ", info.Size(), " ", info.ModTime()))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func leftBeside(data string) []string {
	beside, _ := filepath.Glob(data + ".*")
	return beside
}
