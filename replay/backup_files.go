package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"roomlog/eventlog"
)

// Files that change as a whole, such as a signed checkpoint, are written beside the old
// ones, as NAME.next, before the manifest that names them. They take their places behind
// it. Until then a file is the one of both that has the digest in the manifest.

// files reads what is saved beside the log.
func (o *BackupOptions) files() (map[string][]byte, error) {
	files, err := eventlog.MetaFiles(o.Data)
	if err != nil {
		return nil, err
	}
	patterns := o.Files
	if !o.WithoutSecrets {
		patterns = append(slices.Clone(patterns), o.Secrets...)
	}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(o.Data, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("cannot save %s: %w", path, err)
			}
			files[filepath.Base(path)] = content
		}
	}
	return files, nil
}

// stage makes files part of the backup that m is to be: those that are new or have
// changed are written beside what is there.
func (m *Manifest) stage(dir string, files map[string][]byte) error {
	for name, content := range files {
		f := File{File: name, Bytes: int64(len(content)), SHA256: digest(content)}
		m.Files = append(m.Files, f)
		path := filepath.Join(dir, name)
		if f.isAt(path) {
			continue
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := writeDurable(path, content); err != nil { // nothing waits for its place
				return err
			}
			continue
		}
		if err := errors.Join(writeSynced(path+nextSuffix, content), syncFolder(filepath.Dir(path))); err != nil {
			return err
		}
	}
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.File, b.File) })
	return nil
}

// settle puts the backup's files in their places.
func (m *Manifest) settle(dir string) error {
	for _, f := range m.Files {
		path, err := f.find(dir)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, f.File)
		if path == to {
			continue
		}
		if err := os.Rename(path, to); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(to)); err != nil {
			return err
		}
	}
	return nil
}

// find returns where in the backup the file is.
func (f File) find(dir string) (path string, err error) {
	path = filepath.Join(dir, f.File)
	for _, path := range []string{path, path + nextSuffix} {
		if f.isAt(path) {
			return path, nil
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the backup is damaged: %s is not there; make another one in a new directory", path)
	}
	return "", fmt.Errorf("the backup is damaged: %s is not what was saved; make another one in a new directory", path)
}

// isAt reports whether path has the file's content.
func (f File) isAt(path string) bool {
	content, err := os.ReadFile(path)
	return err == nil && int64(len(content)) == f.Bytes && digest(content) == f.SHA256
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
