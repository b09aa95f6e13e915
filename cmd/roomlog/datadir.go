package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

func makeDataDir(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w; give another --data", err)
	}
	if err := closeToOthers(dir, log); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be written to: %w; change its owner or give another --data", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// closeToOthers takes from everybody but the owner what they may do in the data
// directory, which holds secrets and everyone's messages: in a directory that was
// made by hand, restored from a backup or copied.
func closeToOthers(dir string, log *slog.Logger) error {
	const others = 0o077
	if info, err := os.Stat(dir); err == nil && info.Mode()&others != 0 {
		log.Warn("the data directory could be read by others than its owner, and is closed to them now; if they are not trusted, change the secrets in it",
			"data", dir, "mode", info.Mode().Perm().String())
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("cannot look into the data directory: %w; give another --data", err)
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a server that runs here, as the lock will tell, is at work
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot look through the data directory: %w; change its owner or give another --data", err)
		}
		info, err := entry.Info()
		if err != nil || info.Mode()&fs.ModeSymlink != 0 || info.Mode()&others == 0 {
			return nil
		}
		if err := os.Chmod(path, info.Mode().Perm()&^others); err != nil {
			return fmt.Errorf("others can read %s, and that cannot be changed: %w; change its owner or give another --data", path, err)
		}
		return nil
	})
}
