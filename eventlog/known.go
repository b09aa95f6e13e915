package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrCut means that the server was not started, since it would have cut off records that
// are known to have been durable.
var ErrCut = errors.New("a record that was durable cannot be read any more, and starting on it would cut off those behind it")

// checkKnown reads the blocks that the server will read anew when it starts, before it
// does: what follows a damaged record in a block it cuts off. They are those that were
// written since its index, and all of them when there is none.
func (l *Log) checkKnown(ctx context.Context) error {
	msgs := blockFolder(l.cfg.Dir, streamEvents)
	blocks, err := blockIndexes(msgs)
	if l.cfg.Known == 0 || err != nil {
		return nil // nothing is known, or there is no log yet
	}
	index, err := os.Stat(filepath.Join(msgs, "index.db"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var damage error
	s := &scan{to: l.cfg.Known, r: &blockReader{stream: streamEvents, msgs: msgs}}
	s.yield = func(r Record, err error) bool {
		if err != nil && r.Seq <= l.cfg.Known {
			damage = fmt.Errorf("%w: record %d: %w", ErrCut, r.Seq, err)
		}
		return damage == nil
	}
	defer s.r.close()
	for _, block := range blocks {
		path := blockPath(msgs, block)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if index != nil && info.ModTime().Before(index.ModTime()) {
			continue // the kernel's clock for files ticks in milliseconds: equal says nothing
		}
		first, _, err := firstOfBlock(path)
		if err != nil {
			return err
		}
		if first <= maxSequence {
			s.last = max(s.last, first-1)
		}
		if err := s.block(ctx, block); err != nil && !errors.Is(err, errScanned) {
			return err
		}
		if damage != nil {
			return damage
		}
	}
	return nil
}
