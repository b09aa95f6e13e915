package replay

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Evidence is what a log is held against.
type Evidence struct {
	Checkpoints []Known   // signed by keys that are trusted
	Findings    []Finding // about those that are not

	Leaves Leaves // a tree that was made of the log before; nil for none
	Size   uint64 // of that tree
}

// Known is a checkpoint that somebody kept.
type Known struct {
	Checkpoint
	Source string // the file that it was in, for people
}

func (k *Known) String() string { return fmt.Sprintf("%s, signed %s", k.Source, k.Time) }

// Leaves are the hashes of a tree's leaves.
type Leaves interface {
	// Leaves fills into with those from a place on, and says how many there are.
	Leaves(from uint64, into []tlog.Hash) (int, error)
}

// LoadKeys reads the verifier keys that a data directory publishes. Whoever can change
// the log can change these as well: an auditor keeps their own.
func LoadKeys(dir string) (*Keys, error) {
	keys, err := loadKeys(dir)
	if err == nil && len(keys.list) == 0 {
		err = fmt.Errorf("there is no %s in %s to tell by who may sign: give --key", pubFile, dir)
	}
	return keys, err
}

// HasCheckpoints reports whether a data directory holds any.
func HasCheckpoints(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, newestFile))
	_, errHistory := os.Stat(filepath.Join(dir, historyFile))
	return err == nil || errHistory == nil
}

// ReadCheckpoints reads the checkpoints of a data directory, "" for none, and those in
// files, each of which may hold several. Keys come to trust the next keys that they
// name, in whichever order they are. What no key has signed is a finding.
func (e *Evidence) ReadCheckpoints(dir string, files []string, keys *Keys) error {
	var all []Known
	if dir != "" {
		for _, name := range []string{historyFile, newestFile} {
			more, err := readNotes(filepath.Join(dir, name), name)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			all = append(all, more...)
		}
	}
	for _, file := range files {
		more, err := readNotes(file, file)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	var failed error
	for open := len(all) + 1; len(all) > 0 && len(all) < open; { // until no key is added any more
		open = len(all)
		all = slices.DeleteFunc(all, func(k Known) bool {
			c, err := keys.Open(k.Note)
			if err != nil {
				failed = err
				return false
			}
			e.add(Known{c, k.Source})
			return true
		})
	}
	for _, k := range all {
		_, failed = keys.Open(k.Note)
		e.Findings = append(e.Findings, Finding{Kind: Forged, Text: fmt.Sprintf("a checkpoint in %s counts for nothing: %v", k.Source, failed)})
	}
	slices.SortStableFunc(e.Checkpoints, func(a, b Known) int { return cmp.Compare(a.Size, b.Size) })
	return nil
}

// add adds a checkpoint unless there is one that says the same.
func (e *Evidence) add(k Known) {
	for i := range e.Checkpoints {
		other := &e.Checkpoints[i]
		if other.Size == k.Size && other.Origin == k.Origin && other.Epoch == k.Epoch {
			if other.Root != k.Root {
				e.Findings = append(e.Findings, Finding{Kind: Split, Text: fmt.Sprintf(
					"two checkpoints over %d records differ (%s; %s): whoever has the key has signed two histories", k.Size, other, &k)})
				break
			}
			return
		}
	}
	e.Checkpoints = append(e.Checkpoints, k)
}

// readNotes reads the checkpoints in a file, whoever signed them.
func readNotes(path, source string) ([]Known, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a checkpoint: %w", err)
	}
	notes := splitNotes(text)
	if len(notes) == 0 {
		return nil, fmt.Errorf("there is no checkpoint in %s", path)
	}
	all := make([]Known, len(notes))
	for i, n := range notes {
		all[i].Source, all[i].Note = source, n
	}
	return all, nil
}
