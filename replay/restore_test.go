package replay_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roomlog/eventlog"
	"roomlog/replay"
)

// A restore that is killed at any point leaves what was there or what was restored; the
// next one says what became of it, and is done.
func TestKilledRestore(t *testing.T) {
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	grow(t, data, 5, false)
	backup(t, data, dir)
	for _, c := range []struct {
		point replay.RestorePoint
		last  uint64 // of the log that is there then, or that a server finds; 8 is the old one
		said  string // by the next restore
		aside int    // directories that are kept in the end
	}{
		{replay.RestoreChecked, 8, "", 1},
		{replay.RestoreCopied, 8, "cut short before it replaced anything", 1},
		{replay.RestoreBuilt, 8, "cut short before it replaced anything", 1},
		{replay.RestoreAside, 5, "all was done but its last step", 1},
		{replay.RestoreSwapped, 5, "all was done but its last step", 1},
	} {
		for _, first := range []string{"restore", "server"} {
			t.Run(fmt.Sprint(c.point, " then a ", first), func(t *testing.T) {
				target := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(target, os.DirFS(data)); err != nil {
					t.Fatal(err)
				}
				grow(t, target, 3, false)
				dieAt(t, "restore "+string(c.point), dir, target)
				if first == "server" {
					if _, err := replay.FinishRestore(target); err != nil {
						t.Fatal(err)
					}
					grow(t, target, 1, false)
					ends(t, target, c.last+1)
					return
				}
				report, err := replay.Restore(t.Context(), restoreOf(dir, target))
				if err != nil {
					t.Fatal(err)
				}
				if (c.said == "") != (report.Earlier == "") || !strings.Contains(report.Earlier, c.said) {
					t.Errorf("of the earlier one it says %q", report.Earlier)
				}
				if epoch := ends(t, target, 5); epoch != report.Epoch || !report.NewEpoch {
					t.Errorf("epoch %s, reported %+v", epoch, report)
				}
				left := leftBeside(target)
				if len(left) != c.aside || left[0] != report.Aside {
					t.Errorf("beside it is %q, reported %q", left, report.Aside)
				}
				ends(t, report.Aside, 8)
				if _, err := os.Stat(filepath.Join(target, "restore.json")); err == nil {
					t.Error("its mark is still there")
				}
			})
		}
	}
}

// A log keeps its epoch when it can be shown that nothing that anybody was told of is
// missing, and when an operator vouches for a stopped server's backup.
func TestRestoredEpoch(t *testing.T) {
	made := t.TempDir() // 5 records, saved; then 3 more
	grow(t, made, 5, false)
	stopped, running := filepath.Join(t.TempDir(), "stopped"), filepath.Join(t.TempDir(), "running")
	backup(t, made, stopped)
	epoch := ends(t, made, 5)
	o := backupOf(made, running)
	o.Where = where(epoch, 5)
	if _, err := replay.Backup(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	longer := filepath.Join(t.TempDir(), "longer")
	if err := os.CopyFS(longer, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	grow(t, longer, 3, false)
	models := func(dir string) string { return filepath.Join(dir, "models.db") }
	loseLog := func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "jetstream")) }

	for name, c := range map[string]struct {
		from   string // the data directory before
		change func(t *testing.T, dir string)
		choice replay.EpochChoice
		backup string
		same   bool
		why    string
	}{
		"equal":                          {from: made, same: true, why: "nothing was lost: what was in the data directory ended at seq 5"},
		"equal, new asked for":           {from: made, choice: replay.EpochNew, why: "as was asked for"},
		"log lost":                       {from: made, change: loseLog, same: true, why: "nothing was lost"},
		"log lost, behind the backup":    {from: longer, change: loseLog, why: "the read models in models.db stand at seq 8, and the backup ends at 5"},
		"log goes on":                    {from: longer, why: "the log in the data directory goes on to seq 8, and the backup ends at 5"},
		"log goes on, same asked for":    {from: longer, choice: replay.EpochSame, why: "the epoch cannot stay the same: the log in the data directory goes on"},
		"no read models":                 {from: made, change: func(t *testing.T, dir string) { remove(t, models(dir)) }, why: "there are no read models"},
		"no read models, same asked for": {from: made, choice: replay.EpochSame, change: func(t *testing.T, dir string) { remove(t, models(dir)) }, same: true, why: "--same-epoch says that nothing came after it"},
		"damaged read models":            {from: made, change: func(t *testing.T, dir string) { write(t, models(dir), strings.Repeat("noise ", 9000)) }, why: "how far clients were told cannot be seen"},
		"the machine went down":          {from: made, change: func(t *testing.T, dir string) { write(t, models(dir)+".dirty", "an earlier boot") }, why: "the machine went down"},
		"read models set aside": {from: made, change: func(t *testing.T, dir string) {
			content, err := os.ReadFile(models(longer)) // as a server does that starts on a log that lost records
			if err != nil {
				t.Fatal(err)
			}
			write(t, models(dir)+".ahead-1", string(content))
		}, why: "the read models in models.db.ahead-1 stand at seq 8"},
		"a signed checkpoint":          {from: made, change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "checkpoint"), "roomlog\n6\nhash\n") }, why: "the signed checkpoint in the data directory is of 6 records"},
		"a signed checkpoint before":   {from: made, change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "checkpoint"), "roomlog\n5\nhash\n") }, same: true, why: "nothing was lost"},
		"a checkpoint that is none":    {from: made, change: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "checkpoint"), "?") }, why: "cannot be read"},
		"nothing there":                {why: "there was nothing that would say"},
		"nothing there, same":          {choice: replay.EpochSame, same: true, why: "--same-epoch says"},
		"nothing there, same, running": {choice: replay.EpochSame, backup: running, why: "the backup is of a running server"},
		"equal, running":               {from: made, backup: running, same: true, why: "nothing was lost"},
	} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "data")
			if c.from != "" {
				if err := os.CopyFS(target, os.DirFS(c.from)); err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.change(t, target)
			}
			o := restoreOf(stopped, target)
			if c.backup != "" {
				o.Dir = c.backup
			}
			o.Epoch = c.choice
			report, err := replay.Restore(t.Context(), o)
			if strings.HasPrefix(c.why, "the epoch cannot") || c.backup != "" && c.choice == replay.EpochSame {
				if err == nil || !strings.Contains(err.Error(), c.why) || len(leftBeside(target)) > 0 {
					t.Errorf("%v, want %q", err, c.why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if report.NewEpoch == c.same || !strings.Contains(report.Why, c.why) {
				t.Errorf("new: %v, since %s; want new: %v, since %s", report.NewEpoch, report.Why, !c.same, c.why)
			}
			if now := ends(t, target, 5); now != report.Epoch || (now == epoch) != c.same {
				t.Errorf("the epoch was %s and is %s, reported %s", epoch, now, report.Epoch)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// What is in the way stays.
func TestRestoreRefuses(t *testing.T) {
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	grow(t, data, 5, false)
	backup(t, data, dir)
	careful := restoreOf(dir, data)
	careful.Replace = false
	unfinished := t.TempDir()
	write(t, filepath.Join(unfinished, replay.ManifestName), `{"format":1}`)
	newer := t.TempDir()
	write(t, filepath.Join(newer, replay.ManifestName), `{"format":2,"roomlog":"v9"}`)
	outside := t.TempDir()
	write(t, filepath.Join(outside, replay.ManifestName), `{"format":1,"made":"2026-11-28T21:00:00Z","files":[{"file":"../../etc/passwd"}]}`)
	inTheWay := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(inTheWay+".restoring", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(inTheWay+".restoring", "letter"), "to my mother")
	for want, o := range map[string]replay.RestoreOptions{
		"with --replace it is moved aside":    careful,
		"was never finished":                  restoreOf(unfinished, data),
		"use the roomlog that made it (v9)":   restoreOf(newer, data),
		"lies outside of the backup":          restoreOf(outside, data),
		"there is no backup in":               restoreOf(t.TempDir(), data),
		"lies in the data directory":          restoreOf(dir, filepath.Dir(dir)),
		"is in the way, and no restore made ": restoreOf(dir, inTheWay),
	} {
		if _, err := replay.Restore(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	unlock, err := eventlog.LockDir(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replay.Restore(t.Context(), restoreOf(dir, data)); !errors.Is(err, eventlog.ErrLocked) {
		t.Errorf("where a server runs: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	ends(t, data, 5)
	if left := leftBeside(data); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
}
