package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// A restored directory is made beside the one that it replaces and then renamed, in two
// steps: what was there goes aside, and the new one comes. Between the two the data
// directory is missing; whoever looks next, a server or another restore, makes the
// second step.

const (
	restoringSuffix = ".restoring"
	asideSuffix     = ".before-restore-"
	markName        = "restore.json"
)

// mark is a note in a restored directory, until it is in its place.
type mark struct {
	Complete bool // all of it is there, on disk
	Manifest string
	RestoreReport
}

func readMark(dir string) (m mark, there bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, true, fmt.Errorf("reading what a restore left: %w", err)
	}
	return m, true, nil
}

func (m mark) write(dir string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeDurable(filepath.Join(dir, markName), text)
}

// FinishRestore ends a restore that was cut short between its last two steps: it puts
// the restored directory in the place of data. done is nil when there is nothing to end.
// It is called before a data directory is made or opened for writing.
func FinishRestore(data string) (done *RestoreReport, err error) {
	m, err := finishRestore(resolved(data))
	if m == nil {
		return nil, err
	}
	return &m.RestoreReport, err
}

func finishRestore(data string) (*mark, error) {
	beside := data + restoringSuffix
	if _, err := os.Lstat(data); errors.Is(err, fs.ErrNotExist) {
		m, there, err := readMark(beside)
		if err != nil || !there || !m.Complete {
			return nil, err
		}
		if err := os.Rename(beside, data); err != nil {
			return nil, fmt.Errorf("cannot put the restored data directory in place: %w", err)
		}
	}
	m, there, err := readMark(data)
	if err != nil || !there {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(data)); err != nil {
		return nil, err
	}
	return &m, os.Remove(filepath.Join(data, markName))
}

// swap puts the restored directory in the place of data and moves what was there to
// aside, "" when nothing was.
func (o *RestoreOptions) swap(data, aside string) error {
	if _, err := os.Lstat(data); err == nil {
		if err := moveAside(data, aside); err != nil {
			return fmt.Errorf("cannot move the data directory aside: %w", err)
		}
		if err := syncFolder(filepath.Dir(data)); err != nil {
			return err
		}
	}
	o.reach(RestoreAside)
	if err := os.Rename(data+restoringSuffix, data); err != nil {
		return fmt.Errorf("cannot put the restored data directory in place, it is in %s: %w", data+restoringSuffix, err)
	}
	o.reach(RestoreSwapped)
	_, err := finishRestore(data)
	return err
}

// moveAside renames data, or removes it when it was empty but for its lock.
func moveAside(data, aside string) error {
	if aside != "" {
		return os.Rename(data, aside)
	}
	if err := os.Remove(filepath.Join(data, "LOCK")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(data)
}

// asideName returns a free name for what is replaced.
func asideName(data string) string {
	for n := 1; ; n++ {
		name := data + asideSuffix + strconv.Itoa(n)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// canRename says early that a directory cannot be renamed, since a disk is mounted on it.
func canRename(dir string) error {
	here, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	above, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	a, okA := here.Sys().(*syscall.Stat_t)
	b, okB := above.Sys().(*syscall.Stat_t)
	if okA && okB && a.Dev != b.Dev {
		return fmt.Errorf("%s is where a disk is mounted, so that nothing can take its place: restore into a directory on it, such as %s, and serve from there", dir, filepath.Join(dir, "data"))
	}
	return nil
}
