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
	if blocks, err = dropUnwritten(msgs, blocks); err != nil {
		return err
	}
	index, grew, err := l.currentIndex(ctx, msgs, blocks)
	if err != nil {
		return err
	}
	if index != nil {
		if fit, err := l.finishIndex(ctx, index, grew, msgs, blocks); fit || err != nil {
			return err
		}
	}
	_, err = l.readKnown(ctx, msgs, blocks)
	return err
}

// finishIndex reads what was written to of the blocks that the index knew, and writes it.
// It reports whether the server will go on from the index that is there then.
func (l *Log) finishIndex(ctx context.Context, index *streamIndex, grew bool, msgs string, blocks []int) (fit bool, err error) {
	touched, err := index.touched(msgs, blocks)
	if err != nil {
		return false, err
	}
	if l.cfg.Known == 0 {
		touched = nil // nothing is looked for
	}
	damaged, err := l.readKnown(ctx, msgs, touched)
	if err != nil {
		return false, err
	}
	var unfit error
	switch {
	case damaged && grew:
		unfit = fmt.Errorf("%w: a block is damaged behind what is known", errNoIndex)
	case !damaged && (grew || len(touched) > 0):
		unfit = index.write(msgs, streamEvents)
	}
	if unfit != nil && grew {
		l.readAnew(unfit)
		return false, nil
	}
	return true, nil
}

// dropUnwritten removes a last block that has nothing in it: the process ended when it had
// made it and not written to it yet. The server would drop the index for it, and then it.
func dropUnwritten(msgs string, blocks []int) ([]int, error) {
	last := len(blocks) - 1
	if last == 0 {
		return blocks, nil // there is no log yet, or nothing is left of it
	}
	path := blockPath(msgs, blocks[last])
	if info, err := os.Stat(path); err != nil || info.Size() > 0 {
		return blocks, err
	}
	return blocks[:last], os.Remove(path)
}

// readKnown reads blocks and fails with ErrCut when what is known of them cannot be read.
// It reports whether anything else cannot.
func (l *Log) readKnown(ctx context.Context, msgs string, blocks []int) (damaged bool, err error) {
	if l.cfg.Known == 0 {
		return false, nil
	}
	s := &scan{to: l.cfg.Known, bare: true, r: &blockReader{stream: streamEvents, msgs: msgs}}
	defer s.r.close()
	for _, block := range blocks {
		if err := s.known(ctx, block); err != nil {
			return s.damaged, err
		}
	}
	return s.damaged, nil
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
		l.readAnew(err)
		return nil, false, ctx.Err()
	}
	return index, grew, nil
}

func (l *Log) readAnew(reason error) {
	l.log.Debug("the server reads the whole log anew", "reason", reason)
}

// touched returns the blocks that the index knew of and that were written to since.
func (x *streamIndex) touched(msgs string, blocks []int) (touched []int, err error) {
	for _, block := range blocks {
		info, err := os.Stat(blockPath(msgs, block))
		if err != nil {
			return nil, err
		}
		// The kernel's clock for files ticks in milliseconds: equal says nothing.
		if uint64(block) <= x.upTo && !info.ModTime().Before(x.written) {
			touched = append(touched, block)
		}
	}
	return touched, nil
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
