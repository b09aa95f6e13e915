package replay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"roomlog/eventlog"
)

// BackupOptions says what is saved, and where to.
type BackupOptions struct {
	Data string // data directory of the server
	Dir  string // of the backup: new, empty, or an earlier backup of the same log

	// Where asks the running server for its log's epoch and durable sequence. nil when
	// no server runs: then none can start before Backup returns.
	Where func(context.Context) (epoch string, durable uint64, err error)

	// Files and Secrets are patterns of names in the data directory beside the log:
	// those that exist are saved, secrets unless WithoutSecrets.
	Files, Secrets []string
	WithoutSecrets bool

	Version  string                  // of this roomlog
	Progress func(done, total int64) // bytes; nil for none
	At       func(BackupPoint)       // for tests; nil for none
}

// BackupPoint is a moment at which a backup may be cut short.
type BackupPoint string

// The points, in order. What is found at each of them:
const (
	BackupCopied    BackupPoint = "copied"    // the backup before, and behind it what the next one goes on from
	BackupStaged    BackupPoint = "staged"    // the same, with new files beside the old ones
	BackupCommitted BackupPoint = "committed" // the new backup, some of its files under the names of new ones
)

// BackupReport says what a backup holds and what it cost.
type BackupReport struct {
	*Manifest
	Copied int64  // bytes of the log and the admin stream that were written
	Size   int64  // of both in the backup
	Since  uint64 // where the backup before ended
}

// Backup saves a log into a directory, or brings the backup that is there up to date,
// while its server runs or when it is stopped. Only what is durable is saved, and only
// what the directory does not have yet is written. A backup takes the place of the one
// before in one moment, when all of it is on disk: whatever happens until then, the one
// before is what is there.
func Backup(ctx context.Context, o BackupOptions) (*BackupReport, error) {
	if within(o.Dir, o.Data) {
		return nil, fmt.Errorf("%s lies in the data directory that it is to save: give another place, best on another disk", o.Dir)
	}
	before, unlock, err := o.open()
	if err != nil {
		return nil, err
	}
	m, copied, err := o.make(ctx, before)
	if err = errors.Join(err, unlock()); err != nil {
		return nil, err
	}
	return &BackupReport{Manifest: m, Copied: copied, Size: m.size(), Since: before.Last}, nil
}

// open takes the directory for this backup and returns the one that is in it, which has
// nothing at first.
func (o *BackupOptions) open() (before *Manifest, unlock func() error, err error) {
	if !IsBackup(o.Dir) {
		if name, err := occupant(o.Dir); err != nil {
			return nil, nil, err
		} else if name != "" {
			return nil, nil, fmt.Errorf("%s holds no backup, but %s: give an empty directory or a new one", o.Dir, name)
		}
	}
	if unlock, err = eventlog.LockDir(o.Dir); err != nil {
		return nil, nil, fmt.Errorf("cannot use %s for a backup: %w", o.Dir, err)
	}
	before, err = ReadManifest(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		before = &Manifest{Format: manifestFormat}
		err = before.write(o.Dir) // from now on the directory is known as a backup's
	}
	if err == nil {
		err = before.settle(o.Dir)
	}
	if err != nil {
		return nil, nil, errors.Join(err, unlock())
	}
	return before, unlock, nil
}

// occupant names something in a directory that is not nothing, "" for none.
func occupant(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot look into %s: %w", dir, err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "LOCK" && name != "lost+found" { // of a try, and of a disk's root
			return name, nil
		}
	}
	return "", nil
}

// make brings the backup up to date.
func (o *BackupOptions) make(ctx context.Context, before *Manifest) (m *Manifest, copied int64, err error) {
	if o.Where == nil {
		unlock, err := eventlog.LockDir(o.Data)
		if err != nil {
			return nil, 0, fmt.Errorf("cannot save the log of a stopped server: %w", err)
		}
		defer unlock()
	}
	// Files before the log: a signed checkpoint among them is then of what is saved.
	files, err := o.files()
	if err != nil {
		return nil, 0, err
	}
	m = &Manifest{
		Format: manifestFormat, Running: o.Where != nil, Roomlog: o.Version, NATSServer: eventlog.ServerVersion,
		WithoutSecrets: o.WithoutSecrets,
	}
	if err := o.locate(ctx, m); err != nil {
		return nil, 0, err
	}
	if before.Epoch != "" && before.Epoch != m.Epoch {
		return nil, 0, fmt.Errorf("%s holds a backup of another log (epoch %s, and this one's is %s): give another directory", o.Dir, before.Epoch, m.Epoch)
	}
	m.Blocks, copied, err = eventlog.CopyEvents(ctx, o.Data, o.Dir, before.Blocks, m.Last, o.Progress)
	if errors.Is(err, eventlog.ErrDiverged) {
		err = fmt.Errorf("%w: the server has lost records that the backup in %s has; keep that, and give another directory", err, o.Dir)
	}
	if err != nil {
		return nil, copied, err
	}
	var noted int64
	if m.Admin, noted, err = eventlog.CopyAdmin(ctx, o.Data, o.Dir, before.Admin, m.Last); err != nil {
		return nil, copied, err
	}
	m.count()
	m.Made = time.Now().UTC().Truncate(time.Millisecond)
	o.reach(BackupCopied)
	return m, copied + noted, o.commit(before, m, files)
}

// locate asks where the log ends.
func (o *BackupOptions) locate(ctx context.Context, m *Manifest) (err error) {
	if o.Where != nil {
		m.Epoch, m.Last, err = o.Where(ctx)
		return err
	}
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: o.Data}, 0)
	if err != nil {
		return err
	}
	m.Epoch, m.Last = log.Epoch(), log.Durable()
	return log.Close()
}

// count sums the blocks up.
func (m *Manifest) count() {
	for _, b := range m.Blocks {
		m.Records += b.Records
		if m.First == 0 {
			m.First = b.First
		}
	}
}

// commit puts the new backup in the place of the one before.
func (o *BackupOptions) commit(before, m *Manifest, files map[string][]byte) error {
	if err := m.stage(o.Dir, files); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	o.reach(BackupStaged)
	if err := m.write(o.Dir); err != nil {
		return fmt.Errorf("writing the backup's manifest: %w", err)
	}
	o.reach(BackupCommitted)
	if err := m.settle(o.Dir); err != nil {
		return err
	}
	return o.clear(before, m)
}

// clear removes what the backup no longer consists of: an admin stream that was copied
// anew, and secrets that are left out now.
func (o *BackupOptions) clear(before, m *Manifest) error {
	gone := before.names()
	for _, pattern := range o.Secrets {
		for _, pattern := range []string{pattern, pattern + nextSuffix} {
			paths, err := filepath.Glob(filepath.Join(o.Dir, pattern))
			if err != nil {
				return err
			}
			for _, path := range paths {
				gone = append(gone, filepath.Base(path))
			}
		}
	}
	has := m.names()
	for _, name := range gone {
		if slices.Contains(has, name) {
			continue
		}
		if err := os.Remove(filepath.Join(o.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the backup is made, but %s, which it no longer holds, could not be removed: %w", name, err)
		}
	}
	return nil
}

func (o *BackupOptions) reach(p BackupPoint) {
	if o.At != nil {
		o.At(p)
	}
}
