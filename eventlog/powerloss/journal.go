package powerloss

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// keepContent is the size up to which the journal keeps a synced file's content,
// to be able to bring it back when the file is replaced afterwards.
const keepContent = 4096

// noContent stands in a note for content that is not kept.
const noContent = "-"

// Journal notes what was made durable. Each note is one write to a file, which
// outlives the process that is killed. It must lie outside the directory that is
// struck. Its methods may be called from any goroutine.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	err  error
}

// Open opens the journal in file, and makes it where it is missing.
func Open(file string) (*Journal, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return &Journal{file: f}, nil
}

// Synced notes that the first length bytes of a file are durable or, with length
// -1, that its name is durable in its folder.
func (j *Journal) Synced(path string, length int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // removed since: nothing of it can be missed
	}
	if err == nil {
		content := noContent
		if length > 0 && length <= keepContent {
			var b []byte
			b, err = os.ReadFile(path)
			content = base64.StdEncoding.EncodeToString(b[:min(int64(len(b)), length)])
		}
		if err == nil {
			_, err = fmt.Fprintf(j.file, "%d %d %q %s\n", length, inode(info), path, content)
		}
	}
	j.err = errors.Join(j.err, err)
}

// Close closes the journal and returns the first trouble it had.
func (j *Journal) Close() error { return errors.Join(j.err, j.file.Close()) }

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// durable is what is known of one path.
type durable struct {
	inode   uint64 // of the file that was synced last
	length  int64
	content []byte // whole, when it is small
	named   bool   // the name is durable in its folder
}

// load reads a journal. A last line that was cut short by the kill is passed over:
// its writer had not gone on.
func load(file string) (map[string]*durable, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	notes := make(map[string]*durable)
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return notes, nil
		}
		var length int64
		var ino uint64
		var path, content string
		if _, err := fmt.Sscanf(line, "%d %d %q %s", &length, &ino, &path, &content); err != nil {
			return nil, fmt.Errorf("journal line %q: %w", line, err)
		}
		d := notes[path]
		if d == nil {
			d = &durable{}
			notes[path] = d
		}
		if length < 0 {
			d.named = true
			continue
		}
		d.inode, d.length, d.content = ino, length, nil
		if content == noContent {
			continue
		}
		if d.content, err = base64.StdEncoding.DecodeString(content); err != nil {
			return nil, fmt.Errorf("journal line %q: %w", line, err)
		}
	}
}

// baseline writes a journal anew: all that is in dir now is on disk.
func baseline(dir, file string) error {
	if err := os.Truncate(file, 0); err != nil {
		return err
	}
	j, err := Open(file)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type().IsRegular() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			j.Synced(path, info.Size())
		}
		j.Synced(path, -1)
		return nil
	})
	return errors.Join(err, j.Close())
}
