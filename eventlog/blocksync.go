package eventlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// This file is the only one that knows how nats-server lays out a file stream:
//
//	jetstream/ROOMLOG/streams/EVENTS/meta.inf, meta.sum   its configuration
//	jetstream/ROOMLOG/streams/EVENTS/msgs/1.blk, 2.blk …  the records, appended
//	jetstream/ROOMLOG/streams/EVENTS/msgs/index.db        a cache, see streamindex.go
//
// A record is written to the last block before it is acked; a full block is
// followed by the next number and not written again (EVENTS has no deletes, no
// limits and no compression, so nothing compacts it). Read in filestore.go of
// v2.15.3; TestBlockFileLayout fails when a version behaves otherwise.

// errLayout says that the files are not as described above.
var errLayout = errors.New("unknown layout of the NATS server's files")

// blockSync makes the records of EVENTS durable: an fsync of the block files
// that were written since the last one, for everything acked so far. For the
// committer's goroutine alone.
type blockSync struct {
	folder *os.File   // …/EVENTS/msgs
	blocks []*blkFile // those that may have data not yet synced; the last one stays open
	cfg    Config
}

// blkFile is a block file, open from the moment it appears so that no error of the
// kernel's own write-back goes unseen.
type blkFile struct {
	*os.File
	index  int
	synced int64 // bytes on disk
}

func streamFolder(dir, stream string) string {
	return filepath.Join(dir, "jetstream", account, "streams", stream)
}

// blockFolder is where a stream's records are.
func blockFolder(dir, stream string) string { return filepath.Join(streamFolder(dir, stream), "msgs") }

// openBlocks makes the whole store durable, with every folder from the block files
// up to the data directory's own entry, and opens the last block.
func openBlocks(cfg Config) (*blockSync, error) {
	if cfg.test.unknownLayout {
		return nil, errLayout
	}
	stream := streamFolder(cfg.Dir, streamEvents)
	for _, name := range []string{"meta.inf", "meta.sum"} {
		if info, err := os.Stat(filepath.Join(stream, name)); err != nil || info.Size() == 0 {
			return nil, fmt.Errorf("%w: no %s in %s", errLayout, name, stream)
		}
	}
	b := &blockSync{cfg: cfg}
	msgs := blockFolder(cfg.Dir, streamEvents)
	blocks, err := blockIndexes(msgs)
	if err != nil {
		return nil, err
	}
	last := blocks[len(blocks)-1]
	if b.folder, err = os.Open(msgs); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(blockPath(msgs, last), os.O_RDWR, 0)
	if err != nil {
		b.folder.Close()
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.blocks = []*blkFile{{File: f, index: last, synced: info.Size()}}
	if err := b.syncTree(); err != nil {
		return nil, errors.Join(fmt.Errorf("making the store durable: %w", err), b.close())
	}
	return b, nil
}

func blockPath(msgs string, index int) string {
	return filepath.Join(msgs, strconv.Itoa(index)+".blk")
}

// blockIndex returns the number of a block file, ok false for another file.
func blockIndex(msgs, name string) (index int, ok bool, err error) {
	digits, ok := strings.CutSuffix(name, ".blk")
	if !ok {
		return 0, false, nil
	}
	if index, err = strconv.Atoi(digits); err != nil {
		return 0, false, fmt.Errorf("%w: %s in %s", errLayout, name, msgs)
	}
	return index, true, nil
}

// commit makes everything durable that the server has acked. At least bytes more
// than at the last commit must be in the files: that is how a server which acks
// before it writes, or writes elsewhere, would be found out.
func (b *blockSync) commit(bytes int64) error {
	appeared, err := b.openNew()
	if err != nil {
		return err
	}
	sizes := make([]int64, len(b.blocks))
	for i, f := range b.blocks {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		sizes[i] = info.Size()
		bytes -= sizes[i] - f.synced
	}
	if bytes > 0 {
		return fmt.Errorf("%w: acked records are missing %d bytes in %s", errLayout, bytes, b.folder.Name())
	}
	for i, f := range b.blocks {
		if sizes[i] == f.synced {
			continue
		}
		if err := b.syncFile(f.File, sizes[i]); err != nil {
			return err
		}
		f.synced = sizes[i]
	}
	if !appeared {
		return nil
	}
	if err := b.syncFolder(b.folder); err != nil {
		return err
	}
	return b.closeFull()
}

// openNew opens the blocks that appeared after the last one.
func (b *blockSync) openNew() (appeared bool, err error) {
	for {
		next := b.blocks[len(b.blocks)-1].index + 1
		f, err := os.OpenFile(blockPath(b.folder.Name(), next), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return appeared, nil
		}
		if err != nil {
			return appeared, err
		}
		b.blocks = append(b.blocks, &blkFile{File: f, index: next})
		appeared = true
	}
}

// closeFull lets go of all blocks but the last: they are synced and final.
func (b *blockSync) closeFull() error {
	var errs []error
	last := len(b.blocks) - 1
	for _, f := range b.blocks[:last] {
		errs = append(errs, f.Close())
	}
	b.blocks = append(b.blocks[:0], b.blocks[last])
	return errors.Join(errs...)
}

func (b *blockSync) close() error {
	errs := []error{b.folder.Close()}
	for _, f := range b.blocks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// syncTree syncs every file and folder of the store, innermost first, then the
// folders above up to the one that holds the data directory.
func (b *blockSync) syncTree() error {
	store := filepath.Join(b.cfg.Dir, "jetstream")
	if err := b.syncBelow(store); err != nil {
		return err
	}
	for _, dir := range []string{b.cfg.Dir, filepath.Dir(b.cfg.Dir)} {
		if err := b.syncPath(dir); err != nil {
			return err
		}
	}
	return nil
}

func (b *blockSync) syncBelow(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			err = b.syncBelow(path)
		case e.Type().IsRegular():
			err = b.syncPath(path)
		}
		if err != nil {
			return err
		}
	}
	return b.syncPath(dir)
}

func (b *blockSync) syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return ignoreGone(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return b.syncFolder(f)
	}
	return b.syncFile(f, info.Size())
}

// ignoreGone passes over files that the server removed in the meantime: only its
// temporary ones and aged signals can go.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncFile makes the file's first size bytes durable.
func (b *blockSync) syncFile(f *os.File, size int64) error {
	if b.cfg.test.noSync {
		return nil
	}
	if err := b.fsync(f); err != nil {
		return err
	}
	if b.cfg.OnSync != nil {
		b.cfg.OnSync(f.Name(), size)
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func (b *blockSync) syncFolder(f *os.File) error {
	if b.cfg.test.noSync {
		return nil
	}
	var names []os.DirEntry
	if b.cfg.OnSync != nil {
		var err error
		if names, err = os.ReadDir(f.Name()); err != nil { // before the fsync: it covers at least these
			return err
		}
	}
	if err := b.fsync(f); err != nil {
		return err
	}
	for _, e := range names {
		b.cfg.OnSync(filepath.Join(f.Name(), e.Name()), -1)
	}
	return nil
}

func (b *blockSync) fsync(f *os.File) error {
	if b.cfg.test.fsync != nil {
		return b.cfg.test.fsync(f)
	}
	return f.Sync()
}

// clearRemains makes way for a stream that the server does not know though its
// folder is there: its meta files were lost, damaged or, at a power loss, never
// written out. A folder without records goes. Of SIGNALS and ADMIN only the meta
// files go, and the stream made anew takes its records over. EVENTS is refused:
// its epoch stood in the meta file.
func clearRemains(dir, stream string) error {
	folder := streamFolder(dir, stream)
	holds, err := holdsRecords(folder)
	if err != nil {
		return err
	}
	if !holds {
		return os.RemoveAll(folder)
	}
	if stream == streamEvents {
		return fmt.Errorf("%w: %s holds records but its meta files cannot be read; restore the data directory from a backup", ErrDamaged, folder)
	}
	return errors.Join(
		ignoreGone(os.Remove(filepath.Join(folder, "meta.inf"))),
		ignoreGone(os.Remove(filepath.Join(folder, "meta.sum"))))
}

// holdsRecords reports whether a stream's folder has a block file with anything in it.
func holdsRecords(folder string) (bool, error) {
	blocks, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
	if err != nil {
		return false, err
	}
	for _, path := range blocks {
		info, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		if info.Size() > 0 {
			return true, nil
		}
	}
	return false, nil
}
