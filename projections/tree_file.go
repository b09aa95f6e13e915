package projections

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the log's tree as the read models of a server that does not run have it, open
// for reading alone. It is for one goroutine.
type Tree struct {
	Epoch string // of the log that it is of
	Size  uint64 // up to which place

	db *bolt.DB
}

// OpenTree opens the tree in a file of read models and changes nothing. It fails while
// a server has the file open, and for one that this release's projectors would make
// anew.
func OpenTree(path string) (*Tree, error) {
	if down, err := wentDown(path); err != nil {
		return nil, err
	} else if down {
		return nil, errors.New("the machine went down while they were open")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	t := &Tree{}
	err := reading(func() (err error) {
		t.db, err = bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 100 * time.Millisecond})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return errors.New("a server has them open")
		}
		if err != nil {
			return fmt.Errorf("%w: %v", errDamaged, err)
		}
		return errors.Join(inspect(t.db, path), t.db.View(t.begin))
	})
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tree) begin(tx *bolt.Tx) error {
	at, err := readCheckpoint(tx)
	if err == nil && at.Versions["tree"] != versions["tree"] {
		err = errors.New("another release's projectors wrote them")
	}
	t.Epoch, t.Size = at.Epoch, at.Seq
	return err
}

// Leaves fills into with the hashes of the leaves from a place on, and says how many of
// them there are.
func (t *Tree) Leaves(from uint64, into []tlog.Hash) (n int, err error) {
	err = reading(func() error {
		return t.db.View(func(tx *bolt.Tx) error {
			n = newState(tx).tree.read(from, into)
			return nil
		})
	})
	return n, err
}

// Close closes the file.
func (t *Tree) Close() error {
	if t.db == nil {
		return nil
	}
	return t.db.Close()
}

func (t *tree) read(from uint64, into []tlog.Hash) (n int) {
	for key, row := range t.leaves.scan(nil, seqKey(from)) {
		if n == len(into) || seqOf(key) != from+uint64(n) {
			break
		}
		into[n] = hashIn(row)
		n++
	}
	return n
}
