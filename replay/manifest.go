package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"roomlog/eventlog"
)

// ManifestName is the file that makes a directory a backup.
const ManifestName = "manifest.json"

// manifestFormat rises when an older release could misread a manifest.
const manifestFormat = 1

// Manifest says what a backup consists of. Whatever else is in its directory does not
// belong to it: a backup that was not finished, or the end of one.
type Manifest struct {
	Format     int       `json:"format"`
	Epoch      string    `json:"epoch"`      // of the log
	Made       time.Time `json:"made"`       // zero while the first backup into a directory is under way
	Running    bool      `json:"running"`    // the server ran, and may have stored more since
	Roomlog    string    `json:"roomlog"`    // version that made it
	NATSServer string    `json:"natsServer"` // version that wrote the blocks

	First   uint64 `json:"firstSeq"` // of the log; 0 when it is empty
	Last    uint64 `json:"lastSeq"`
	Records uint64 `json:"records"`

	Blocks []eventlog.Block `json:"blocks"` // of the log
	Admin  []eventlog.Block `json:"admin"`  // of the admin stream
	Files  []File           `json:"files"`  // the rest
	// WithoutSecrets says that the server's secrets were left out on purpose.
	WithoutSecrets bool `json:"withoutSecrets,omitempty"`
}

// File is a file of a backup that was copied whole.
type File struct {
	File   string `json:"file"` // below the directory
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hex
}

// IsBackup reports whether a directory holds a backup, finished or not.
func IsBackup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ManifestName))
	return err == nil
}

// ReadManifest reads the manifest of the backup in dir. It is an ErrNotExist when there
// is none.
func ReadManifest(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no backup in %s: %w", dir, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the backup's manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("the backup's manifest %s is damaged: %w", filepath.Join(dir, ManifestName), err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("the backup in %s has format %d, and this roomlog reads format %d: use the roomlog that made it (%s)", dir, m.Format, manifestFormat, m.Roomlog)
	}
	for _, name := range m.names() {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("the backup's manifest names %q, which lies outside of the backup", name)
		}
	}
	return &m, nil
}

// size is that of all blocks, in bytes.
func (m *Manifest) size() (n int64) {
	for _, b := range m.blocks() {
		n += b.Bytes
	}
	return n
}

func (m *Manifest) blocks() []eventlog.Block { return slices.Concat(m.Blocks, m.Admin) }

// names lists all files of the backup but the manifest.
func (m *Manifest) names() (names []string) {
	for _, b := range m.blocks() {
		names = append(names, b.File)
	}
	for _, f := range m.Files {
		names = append(names, f.File)
	}
	return names
}

// write puts the manifest in the place of the one before, durably. That is the moment
// from which on the backup is the new one.
func (m *Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeDurable(filepath.Join(dir, ManifestName), append(text, '\n'))
}

// nextSuffix is behind the name of a file that takes its place when it is complete.
const nextSuffix = ".next"

// writeDurable puts content in the place of a file, durably: at every moment the old
// content or the new one is there.
func writeDurable(path string, content []byte) error {
	if err := writeSynced(path+nextSuffix, content); err != nil {
		return err
	}
	if err := os.Rename(path+nextSuffix, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	path, dir = resolved(path), resolved(dir)
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}

// resolved is a path without links, as far as it exists.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}
