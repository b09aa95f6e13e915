package projections

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
)

// The read models are not synced while they are open: the log has it all, and
// two fsyncs a batch were most of what an ack waited for (measured: a batch of 1
// takes 0.27 ms without them and 1.0 ms with them, one of 64 takes 5 ms and not
// 11). What the kernel was given survives the end of this process, however it
// ends, but not the end of the machine. So a file that is open has a note beside
// it that names the boot; a note of another boot means that the machine went down
// meanwhile, and that the file may be anything: it is made anew from the log.

// suffixDirty is behind the name of the note.
const suffixDirty = ".dirty"

// bootID is a variable for tests that take the machine's power. Where there is no telling,
// every batch is synced.
var bootID = eventlog.BootID

// wentDown reports whether the machine went down while the file was open.
func wentDown(path string) (bool, error) {
	note, err := os.ReadFile(path + suffixDirty)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the note beside the read models: %w", err)
	}
	return string(note) != bootID(), nil
}

// markDirty leaves the note, durably, before the first write that is not synced.
// It reports whether there need be none.
func markDirty(path string) (noSync bool, err error) {
	boot := bootID()
	if boot == "" {
		return false, nil
	}
	f, err := os.OpenFile(path+suffixDirty, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, fmt.Errorf("leaving a note beside the read models: %w", err)
	}
	_, err = f.WriteString(boot)
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(path)); err != nil {
		return false, fmt.Errorf("leaving a note beside the read models: %w", err)
	}
	return true, nil
}

// closeClean makes the file durable and takes the note away.
func closeClean(db *bolt.DB, path string) error {
	if err := db.Sync(); err != nil {
		return errors.Join(fmt.Errorf("syncing the read models: %w", err), db.Close())
	}
	return errors.Join(db.Close(), removeAll(path+suffixDirty), syncDir(path))
}
