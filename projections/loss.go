package projections

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
)

// Loss says that the log does not have what it had: records that were applied, and so
// were durable, are not there, or others are in their places. To go on would give their
// places to other records under the same epoch, and clients would take these for what
// they know. So Open fails with it, until the log is whole again or another epoch begins
// (eventlog.Log.BeginEpoch): then the read models start from nothing.
type Loss struct {
	Reason  string
	Applied uint64 // up to where the log was known
	Durable uint64 // where it ends
}

func (l *Loss) Error() string {
	return fmt.Sprintf("the log has lost records: %s; it was known up to seq %d and ends at seq %d", l.Reason, l.Applied, l.Durable)
}

// lost says what the log lacks of what a file's tree has of it, "" for nothing: at the
// places without a record, which are known without reading the log, and where the file
// stands.
func (m *Models) lost(ctx context.Context, db *bolt.DB, at checkpoint, last *eventlog.Record) (what string, err error) {
	if at.Versions["tree"] != versions["tree"] {
		return "", nil
	}
	missing, err := m.cfg.Log.Missing(ctx, at.Seq)
	if errors.Is(err, eventlog.ErrReadOnly) {
		return "", nil // who only reads shows what there is; verify says what is not
	}
	if err != nil {
		return "", err
	}
	err = reading(func() error {
		return db.View(func(tx *bolt.Tx) error {
			tree := &newState(tx).tree
			for _, seq := range missing {
				if !tree.has(seq, MissingLeaf(seq)) {
					what = fmt.Sprintf("the log does not have the record at %d any more", seq)
					return nil
				}
			}
			if !tree.has(last.Seq, LeafHash(last)) {
				what = "the log has another record where they stand"
			}
			return nil
		})
	})
	return what, err
}
