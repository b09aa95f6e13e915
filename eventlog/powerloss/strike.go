package powerloss

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Strike is a power loss. Paths given to its functions are relative to the
// directory.
type Strike struct {
	Dir     string // the data directory of the killed process
	Journal string // what that process made durable
	Rand    *rand.Rand
	// Spare says of a file that the strike leaves it alone, because its owner syncs
	// it without telling the journal. nil: none.
	Spare func(path string) bool
	// Lose says of a file that it may be gone although it was synced: a cache that
	// its owner must be able to do without. nil: none.
	Lose func(path string) bool
}

// Report counts what a strike did.
type Report struct {
	Removed  int // files and folders
	Cut      int // files that ended early
	Zeroed   int // files with zeros at their end
	Garbled  int // files with noise at their end
	Reverted int // files that were replaced and are back as they were
	Kept     int // files with all they had, synced or not
}

func (r Report) String() string {
	return fmt.Sprintf("%d removed, %d cut, %d zeroed, %d garbled, %d reverted, %d kept",
		r.Removed, r.Cut, r.Zeroed, r.Garbled, r.Reverted, r.Kept)
}

// Do rolls the directory back. Afterwards the journal says that what is left is on
// disk, so that the next process can go on with it.
func (s Strike) Do() (Report, error) {
	notes, err := load(s.Journal)
	if err != nil {
		return Report{}, fmt.Errorf("reading the journal: %w", err)
	}
	var report Report
	err = filepath.WalkDir(s.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == s.Dir {
			return err
		}
		return s.roll(&report, notes, path, e)
	})
	if err != nil {
		return report, fmt.Errorf("rolling back %s: %w", s.Dir, err)
	}
	return report, baseline(s.Dir, s.Journal)
}

// roll decides the fate of one file or folder.
func (s Strike) roll(report *Report, notes map[string]*durable, path string, e fs.DirEntry) error {
	known := notes[path]
	relative, err := filepath.Rel(s.Dir, path)
	if err != nil {
		return err
	}
	if s.Spare != nil && s.Spare(relative) {
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	if known == nil {
		known = &durable{}
	}
	lost := !known.named && !s.chance(4)
	if s.Lose != nil && s.Lose(relative) {
		lost = lost || s.chance(2)
	}
	switch {
	case lost:
		report.Removed++
		if err := os.RemoveAll(path); err != nil || !e.IsDir() {
			return err
		}
		return fs.SkipDir
	case e.IsDir():
		return nil
	case known.content != nil && known.inode != inode(info) && s.chance(2):
		report.Reverted++
		return errors.Join(os.Remove(path), os.WriteFile(path, known.content, 0o600))
	case known.inode != inode(info):
		return s.tear(report, path, syncedBefore(notes, path, inode(info)), info.Size())
	default:
		return s.tear(report, path, known.length, info.Size())
	}
}

// syncedBefore returns what of a file was made durable under the name that it had before
// it took the place of another one: path.something.
func syncedBefore(notes map[string]*durable, path string, inode uint64) (length int64) {
	for name, d := range notes {
		if d.inode == inode && strings.HasPrefix(name, path+".") {
			length = max(length, d.length)
		}
	}
	return length
}

// tear damages a file somewhere behind its first synced bytes.
func (s Strike) tear(report *Report, path string, synced, size int64) error {
	if size <= synced {
		report.Kept++
		return nil
	}
	at := synced // often exactly there: nothing of the rest made it
	if s.chance(2) {
		at += s.Rand.Int64N(size - synced)
	}
	switch s.Rand.IntN(4) {
	case 0:
		report.Kept++
		return nil
	case 1:
		report.Cut++
		return os.Truncate(path, at)
	case 2:
		report.Zeroed++
		return errors.Join(os.Truncate(path, at), os.Truncate(path, size))
	default:
		report.Garbled++
		return s.garble(path, at, size)
	}
}

func (s Strike) garble(path string, from, to int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	noise := make([]byte, to-from)
	for i := range noise {
		noise[i] = byte(s.Rand.Uint32())
	}
	_, err = f.WriteAt(noise, from)
	return errors.Join(err, f.Close())
}

// chance is true once in n times.
func (s Strike) chance(n int) bool { return s.Rand.IntN(n) == 0 }
