package replay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"roomlog/eventlog"
	"roomlog/projections"
)

// The files of tamper evidence in a data directory. Each is replaced as a whole, so that
// a power loss leaves the old or the new one.
const (
	keyFile     = "log.key"     // the key that signs: whoever has it can sign another history
	pubFile     = "log.pub"     // the verifier keys of all that ever signed here, newest first
	newestFile  = "checkpoint"  // the newest checkpoint
	historyFile = "checkpoints" // those before, oldest first, and the newest
)

// maxHistory bounds how many checkpoints are kept. Beyond it, every other one of the
// older half goes: those long ago lie further apart, and all of them bracket where a log
// went wrong.
const maxHistory = 1024

// history is the checkpoints of a data directory, oldest first.
type history []Checkpoint

// newest returns the last checkpoint, nil for none.
func (h history) newest() *Checkpoint {
	if len(h) == 0 {
		return nil
	}
	return &h[len(h)-1]
}

// with returns the history with one more checkpoint. Those that name a next key are kept
// for ever: without them nobody who has an old key can trust the new one.
func (h history) with(c Checkpoint) history {
	h = append(h, c)
	if len(h) <= maxHistory {
		return h
	}
	kept := make(history, 0, maxHistory)
	for i := range h {
		if i >= len(h)/2 || i%2 == 0 || h[i].NextKey != "" {
			kept = append(kept, h[i])
		}
	}
	return kept
}

func (h history) file() []byte {
	var b bytes.Buffer
	for i := range h {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.Write(h[i].Note)
	}
	return b.Bytes()
}

// loadHistory reads the checkpoints of a data directory, which keys must have signed.
// The newest file may be ahead of the history by what a crash left out.
func loadHistory(dir string, keys *Keys) (history, error) {
	var h history
	for _, name := range []string{historyFile, newestFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the log's checkpoints: %w", err)
		}
		for _, one := range splitNotes(text) {
			c, err := keys.Open(one)
			if err != nil {
				return nil, fmt.Errorf("a checkpoint in %s is not one that this log's keys have signed: %w; see what roomlog verify says, and bring the file back from a backup or move it away",
					filepath.Join(dir, name), err)
			}
			newest := h.newest()
			if newest == nil || c.Size > newest.Size || c.Size == newest.Size && c.NextKey != newest.NextKey {
				h = append(h, c)
			}
		}
	}
	return h, nil
}

// loadKeys reads the verifier keys of a data directory, none where there are none.
func loadKeys(dir string) (*Keys, error) {
	text, err := os.ReadFile(filepath.Join(dir, pubFile))
	if errors.Is(err, os.ErrNotExist) {
		return &Keys{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log's verifier keys: %w", err)
	}
	keys, err := ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the log's verifier keys in %s: %w", filepath.Join(dir, pubFile), err)
	}
	return keys, nil
}

// CheckLoss returns a *projections.Loss when the last checkpoint of a data directory is
// over records that the log does not have, or of another log.
func CheckLoss(dir string, log *eventlog.Log) error {
	keys, err := loadKeys(dir)
	if err != nil {
		return err
	}
	h, err := loadHistory(dir, keys)
	last := h.newest()
	if err != nil || last == nil {
		return err
	}
	switch {
	case last.Epoch != log.Epoch():
		return lossOf(last, log, "it is of epoch "+log.Epoch()+" and that one of epoch "+last.Epoch)
	case last.Size > log.Durable():
		return lossOf(last, log, fmt.Sprintf("what followed seq %d is gone", log.Durable()))
	}
	return nil
}

// KnownUpTo returns the place up to which a data directory's checkpoints and read models
// know the log; 0 when they do not. Nothing is checked: it is for who looks, before
// anything is opened, whether that is still there.
func KnownUpTo(dir, models string) (seq uint64) {
	if text, err := os.ReadFile(filepath.Join(dir, newestFile)); err == nil {
		if c, err := parseCheckpoint(text); err == nil {
			seq = c.Size
		}
	}
	if tree, err := projections.OpenTree(filepath.Join(dir, models)); err == nil {
		seq = max(seq, tree.Size)
		tree.Close()
	}
	return seq
}

// lossOf says that a log is not as it was signed.
func lossOf(c *Checkpoint, log *eventlog.Log, why string) *projections.Loss {
	return &projections.Loss{
		Reason:  fmt.Sprintf("the log is not as the checkpoint of %s signed it: %s", c.Time, why),
		Applied: c.Size,
		Durable: log.Durable(),
	}
}

// SetAside renames the checkpoints of a data directory, for a log that is to go on
// without what they are over. Auditors who kept one are not fooled.
func SetAside(dir string) error {
	for n := 1; ; n++ {
		aside := ".lost-" + strconv.Itoa(n)
		if _, err := os.Lstat(filepath.Join(dir, historyFile+aside)); err == nil {
			continue
		}
		for _, name := range []string{newestFile, historyFile} {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+aside)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("setting the checkpoints aside: %w", err)
			}
		}
		return syncFolder(dir)
	}
}

// synced is told what was made durable; see eventlog.Config.OnSync.
type synced func(path string, length int64)

// replace writes a file of its owner's as a whole, durably.
func (s synced) replace(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		s.tell(f.Name(), int64(len(content)))
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	s.tell(path, int64(len(content)))
	s.tell(path, -1)
	return nil
}

func (s synced) tell(path string, length int64) {
	if s != nil {
		s(path, length)
	}
}
