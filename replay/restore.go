package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// RestoreOptions says what is restored, and where to.
type RestoreOptions struct {
	Dir     string   // of the backup
	Data    string   // data directory; no server may run there
	Models  string   // name of the read models' file in it
	Signed  []string // names of the files with signed checkpoints in it
	Replace bool     // what is in Data may be moved aside
	Epoch   EpochChoice

	Logger   *slog.Logger
	Progress func(step string, done, total int64) // bytes; nil for none
	At       func(RestorePoint)                   // for tests; nil for none
}

// RestorePoint is a moment at which a restore may be cut short. A server then starts and
// serves what was there before or what was restored, and the next restore works.
type RestorePoint string

// The points, in order. What is found at each of them:
const (
	RestoreChecked RestorePoint = "checked" // the data directory as it was
	RestoreCopied  RestorePoint = "copied"  // the same, and beside it a part of the new one
	RestoreBuilt   RestorePoint = "built"   // the same, and all of the new one
	RestoreAside   RestorePoint = "aside"   // none, but the new one beside: the next server puts it in place
	RestoreSwapped RestorePoint = "swapped" // the new one
)

// RestoreReport says what a restore did.
type RestoreReport struct {
	Epoch    string `json:"epoch"`
	NewEpoch bool   `json:"newEpoch"`
	Why      string `json:"why"` // the epoch is the same, or new
	Last     uint64 `json:"last"`
	Records  uint64 `json:"records"`
	Aside    string `json:"aside,omitempty"`   // where what was replaced is now
	Earlier  string `json:"earlier,omitempty"` // what became of a restore that was cut short
}

// Restore puts a backup in the place of a data directory. All of the backup is read and
// found good, and a log opened on a copy of it, before anything is replaced; what was
// there is moved aside and kept. The read models are not in a backup: the server that
// starts next makes them from the log.
func Restore(ctx context.Context, o RestoreOptions) (*RestoreReport, error) {
	data := resolved(o.Data)
	if within(o.Dir, data) {
		return nil, fmt.Errorf("the backup %s lies in the data directory that it is to replace: move it to another place first", o.Dir)
	}
	m, err := CheckBackup(ctx, o.Dir, o.step("checking"))
	if err != nil {
		return nil, err
	}
	id, err := manifestID(o.Dir)
	if err != nil {
		return nil, err
	}
	earlier, done, err := mend(data, id)
	if err != nil || done != nil {
		return done, err
	}
	report, err := o.restore(ctx, m, data, id)
	if err == nil {
		report.Earlier = earlier
	}
	return report, err
}

// mend clears up behind a restore that was cut short. done is its report when it had got
// as far as this one is to get.
func mend(data, id string) (earlier string, done *RestoreReport, err error) {
	finished, err := finishRestore(data)
	if err != nil {
		return "", nil, err
	}
	if finished != nil && finished.Manifest == id {
		finished.Earlier = "an earlier restore of this backup was cut short when all was done but its last step, which is done now"
		return "", &finished.RestoreReport, nil
	}
	if finished != nil {
		return "an earlier restore, of another backup, was cut short at its end; it is complete now, and replaced in turn", nil, nil
	}
	beside := data + restoringSuffix
	if _, err := os.Lstat(beside); errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if _, there, _ := readMark(beside); !there {
		if name, err := occupant(beside); err != nil || name != "" && name != markName+nextSuffix {
			return "", nil, errors.Join(err, fmt.Errorf("%s is in the way, and no restore made it: move it away", beside))
		}
	}
	if err := os.RemoveAll(beside); err != nil {
		return "", nil, fmt.Errorf("cannot remove what an earlier restore left: %w", err)
	}
	return "an earlier restore was cut short before it replaced anything; what it had made is removed", nil, nil
}

// restore does it, with a backup that was found good.
func (o *RestoreOptions) restore(ctx context.Context, m *Manifest, data, id string) (*RestoreReport, error) {
	if err := canRename(data); err != nil {
		return nil, err
	}
	report := &RestoreReport{Last: m.Last, Records: m.Records}
	if _, err := os.Lstat(data); err == nil {
		unlock, err := eventlog.LockDir(data)
		if err != nil {
			return nil, fmt.Errorf("cannot restore into it: %w", err)
		}
		defer unlock()
		if report.Aside, err = o.aside(data); err != nil {
			return nil, err
		}
	}
	var err error
	if report.NewEpoch, report.Why, err = o.decideEpoch(ctx, m, data); err != nil {
		return nil, err
	}
	o.reach(RestoreChecked)
	if err = o.build(ctx, m, data+restoringSuffix, report); err != nil {
		return nil, fmt.Errorf("%w (nothing was replaced)", errors.Join(err, os.RemoveAll(data+restoringSuffix)))
	}
	if err := (mark{true, id, *report}).write(data + restoringSuffix); err != nil {
		return nil, err
	}
	o.reach(RestoreBuilt)
	return report, o.swap(data, report.Aside)
}

// aside returns the name that what is in data will have, "" when nothing is there.
func (o *RestoreOptions) aside(data string) (string, error) {
	name, err := occupant(data)
	if err != nil || name == "" {
		return "", err
	}
	if !o.Replace {
		return "", fmt.Errorf("%s is not empty (it holds %s): with --replace it is moved aside, and kept", data, name)
	}
	return asideName(data), nil
}

// build makes the data directory beside its place, and opens a log on it: what that does
// not take is not put in place. It fills in the epoch.
func (o *RestoreOptions) build(ctx context.Context, m *Manifest, dir string, report *RestoreReport) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the restored data directory: %w", err)
	}
	if err := (mark{}).write(dir); err != nil {
		return err
	}
	if err := o.copy(ctx, m, dir, report.NewEpoch); err != nil {
		return err
	}
	o.reach(RestoreCopied)
	log, err := eventlog.Open(ctx, eventlog.Config{Dir: dir, Logger: o.Logger})
	if err != nil {
		return fmt.Errorf("the restored log cannot be opened: %w", err)
	}
	if report.NewEpoch {
		err = log.BeginEpoch(ctx)
	}
	if err == nil {
		err = log.Audit(schema.AuditRestored, schema.AuditRestoredLog{Made: schema.TimeOf(m.Made), Seq: m.Last, NewEpoch: report.NewEpoch, Why: report.Why})
	}
	last := log.Durable()
	report.Epoch = log.Epoch()
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	if last != m.Last {
		return fmt.Errorf("the restored log ends at seq %d, and the backup at %d: was it made by a newer roomlog (%s)?", last, m.Last, m.Roomlog)
	}
	for _, b := range m.Blocks {
		if info, err := os.Stat(filepath.Join(dir, b.File)); err != nil || info.Size() != b.Bytes {
			return fmt.Errorf("the restored log was changed when it was opened, in %s: was it made by a newer roomlog (%s)?", b.File, m.Roomlog)
		}
	}
	return nil
}

// signedAside is behind the name of checkpoints that were signed under another epoch:
// they are evidence, but not of this log.
const signedAside = ".before-restore"

// copy copies the backup's files.
func (o *RestoreOptions) copy(ctx context.Context, m *Manifest, dir string, newEpoch bool) error {
	step, done, total := o.step("copying"), int64(0), m.size()
	for _, b := range m.blocks() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		f := File{File: b.File, Bytes: b.Bytes, SHA256: b.SHA256}
		if err := f.copy(filepath.Join(o.Dir, b.File), dir); err != nil {
			return err
		}
		done += b.Bytes
		step(done, total)
	}
	for _, f := range m.Files {
		from, err := f.find(o.Dir)
		if newEpoch && slices.Contains(o.Signed, f.File) {
			f.File += signedAside
		}
		if err == nil {
			err = f.copy(from, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copy copies the file's bytes to its place below dir, and makes sure that they are what
// was saved. What is behind them is left out.
func (f File) copy(from, dir string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	defer in.Close()
	content := make([]byte, f.Bytes)
	if _, err := io.ReadFull(in, content); err != nil {
		return fmt.Errorf("reading the backup: %s: %w", from, err)
	}
	if digest(content) != f.SHA256 {
		return fmt.Errorf("the backup is damaged: %s is not what was saved", from)
	}
	to := filepath.Join(dir, f.File)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("cannot write the restored data directory: %w", err)
	}
	if err := writeSynced(to, content); err != nil {
		return fmt.Errorf("cannot write the restored data directory: %w", err)
	}
	return syncFolder(filepath.Dir(to))
}

// manifestID stands for one state of a backup.
func manifestID(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	return digest(text), err
}

func (o *RestoreOptions) step(name string) func(done, total int64) {
	return func(done, total int64) {
		if o.Progress != nil {
			o.Progress(name, done, total)
		}
	}
}

func (o *RestoreOptions) reach(p RestorePoint) {
	if o.At != nil {
		o.At(p)
	}
}
