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

// prepareBlocks gets the block files ready for the server. It brings their index up to
// date, so that the server reads no block anew: it would read the whole log, and cut off
// what follows a damaged record. Where there is no index to go on from the server does
// that, and all that is known of the log is read before. With one, only blocks are that
// were written to since, other than by records behind those that the index knows.
func (l *Log) prepareBlocks(ctx context.Context) error {
	msgs := blockFolder(l.cfg.Dir, streamEvents)
	blocks, err := blockIndexes(msgs)
	if err != nil {
		return nil // there is no log yet
	}
	index, outdated, err := l.currentIndex(ctx, msgs, blocks)
	if err != nil {
		return err
	}
	s := &scan{to: l.cfg.Known, bare: true, r: &blockReader{stream: streamEvents, msgs: msgs}}
	defer s.r.close()
	for _, block := range blocks {
		if l.cfg.Known == 0 {
			break
		}
		if index != nil {
			touched, err := index.touched(msgs, block)
			if err != nil {
				return err
			}
			if !touched {
				continue
			}
			outdated = true
		}
		if err := s.known(ctx, block); err != nil {
			return err
		}
	}
	if index != nil && outdated && !s.damaged {
		return index.write(msgs, streamEvents)
	}
	return nil
}

// currentIndex returns the index brought up to date, and whether it is another one than the
// server's for that; nil when there is none to go on from. When the machine went down since
// it was written, it may say more than there is in the files.
func (l *Log) currentIndex(ctx context.Context, msgs string, blocks []int) (index *streamIndex, grew bool, err error) {
	index, err = readIndex(msgs, streamEvents)
	if err == nil {
		grew, err = index.catchUp(ctx, msgs, streamEvents, blocks)
	}
	if err == nil && grew && !l.sameBoot() {
		err = fmt.Errorf("%w: the machine went down", errNoIndex)
	}
	if err != nil {
		l.log.Debug("the server reads the whole log anew", "reason", err)
		return nil, false, ctx.Err()
	}
	return index, grew, nil
}

// touched reports whether a block that the index knew of was written to since.
func (x *streamIndex) touched(msgs string, block int) (bool, error) {
	info, err := os.Stat(blockPath(msgs, block))
	if err != nil {
		return false, err
	}
	// The kernel's clock for files ticks in milliseconds: equal says nothing.
	return uint64(block) <= x.upTo && !info.ModTime().Before(x.written), nil
}

// known reads a block and fails with ErrCut when what is asked for of it cannot be read.
func (s *scan) known(ctx context.Context, block int) (err error) {
	first, _, err := firstOfBlock(blockPath(s.r.msgs, block))
	if err != nil {
		return err
	}
	if first <= maxSequence {
		s.last = max(s.last, first-1)
	}
	var damage error
	s.yield = func(r Record, err error) bool {
		s.damaged = s.damaged || err != nil
		if err != nil && r.Seq <= s.to {
			damage = fmt.Errorf("%w: record %d: %w", ErrCut, r.Seq, err)
		}
		return damage == nil
	}
	if err := s.block(ctx, block); err != nil && !errors.Is(err, errScanned) {
		return err
	}
	return damage
}

// bootName is the file that names the boot in which all of the log was made durable last.
// In that boot its files are as they were written, however the process ended.
const bootName = "log.boot"

func (l *Log) sameBoot() bool {
	note, err := os.ReadFile(filepath.Join(l.cfg.Dir, bootName))
	boot := BootID()
	return err == nil && boot != "" && string(note) == boot
}

// noteBoot need not make the note durable: without it the log is read whole at the next
// start.
func (l *Log) noteBoot() error {
	if l.sameBoot() {
		return nil
	}
	return os.WriteFile(filepath.Join(l.cfg.Dir, bootName), []byte(BootID()), 0o600)
}
