package replay

import (
	"context"
	"errors"
	"fmt"

	"roomlog/eventlog"
)

// CheckBackup reads all of the backup in dir and returns its manifest, or an error that
// names what of it is damaged: every file against its digest, every record against its
// checksum and its place, and the log as a whole, from its first record to its last, as
// those who open it by its files read it. step, unless nil, is told of the bytes read.
func CheckBackup(ctx context.Context, dir string, step func(done, total int64)) (*Manifest, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Made.IsZero() {
		return nil, fmt.Errorf("the first backup into %s was never finished: make it again", dir)
	}
	if err := m.check(ctx, dir, step); err != nil {
		return nil, fmt.Errorf("the backup in %s cannot be used: %w", dir, err)
	}
	return m, nil
}

func (m *Manifest) check(ctx context.Context, dir string, step func(done, total int64)) error {
	for _, f := range m.Files {
		if _, err := f.find(dir); err != nil {
			return err
		}
	}
	var before, total int64 = 0, m.size()
	for _, blocks := range [][]eventlog.Block{m.Blocks, m.Admin} {
		err := eventlog.CheckCopy(ctx, dir, blocks, func(done int64) {
			if step != nil {
				step(before+done, total)
			}
		})
		if err != nil {
			return err
		}
		for _, b := range blocks {
			before += b.Bytes
		}
	}
	sums := Manifest{Blocks: m.Blocks}
	if sums.count(); sums.Records != m.Records || sums.First != m.First || lastOf(m.Blocks) != m.Last {
		return fmt.Errorf("%w: its manifest says that it has %d records from %d to %d, and its blocks have %d", eventlog.ErrDamaged, m.Records, m.First, m.Last, sums.Records)
	}
	return m.read(ctx, dir)
}

// read reads the log as a whole.
func (m *Manifest) read(ctx context.Context, dir string) error {
	log, err := m.open(dir)
	if err != nil {
		return err
	}
	defer log.Close()
	var records uint64
	if m.Last > 0 {
		for _, err := range log.Read(ctx, 1, m.Last) {
			if err != nil {
				return err
			}
			records++
		}
	}
	if records != m.Records {
		return fmt.Errorf("%w: %d of its %d records can be read", eventlog.ErrDamaged, records, m.Records)
	}
	return nil
}

// open opens the backup's log for reading, up to where it ends by the manifest.
func (m *Manifest) open(dir string) (*eventlog.Log, error) {
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: dir}, m.Last)
	if err != nil {
		return nil, err
	}
	if log.Epoch() != m.Epoch {
		err = fmt.Errorf("%w: its manifest says that its epoch is %s, and its log says %s", eventlog.ErrDamaged, m.Epoch, log.Epoch())
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

func lastOf(blocks []eventlog.Block) (last uint64) {
	for _, b := range blocks {
		last = max(last, b.Last)
	}
	return last
}
