package eventlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/minio/highwayhash"
)

// A copy of a log has the layout of the data directory that it was made of, so that
// OpenFiles reads it and a server can be started on it. Blocks of EVENTS are only ever
// appended to, so a copy is brought up to date by what it does not have yet, and what
// it had before is there at every moment.

// ErrDiverged means that a log does not go on where its copy ends: it is another log,
// or has lost records that the copy has.
var ErrDiverged = errors.New("the log does not go on where its copy ends")

// Block is a block file of a copy.
type Block struct {
	File    string `json:"file"`    // below the data directory
	Bytes   int64  `json:"bytes"`   // that count: more may be in the file
	SHA256  string `json:"sha256"`  // of these, in hex
	Records uint64 `json:"records"` // in them
	First   uint64 `json:"first"`   // their first sequence, 0 for none
	Last    uint64 `json:"last"`    // their last
}

// CopyEvents brings the copy of EVENTS in the directory dst up to the record at to,
// which must be durable, from the files in the data directory src, whether its server
// runs or not. had is what the last CopyEvents into dst returned, nil at first. Every
// record is held against its checksum on the way. When it returns, all of the copy is on
// disk; copied is what was written of it, in bytes. After an error dst still has what
// had says.
//
// ErrDamaged says what of src or dst is damaged; ErrDiverged that the copy is of another
// log. One copies into dst at a time. step, unless nil, is told what is written so far,
// and about how much there is to write.
func CopyEvents(ctx context.Context, src, dst string, had []Block, to uint64, step func(done, total int64)) (blocks []Block, copied int64, err error) {
	indexes, err := blockIndexes(blockFolder(src, streamEvents))
	if err != nil {
		return nil, 0, fmt.Errorf("copying the log: %w", err)
	}
	last := lastOf(had)
	if last > to || len(had) > 0 && !slices.ContainsFunc(indexes, func(i int) bool { return blockFile(streamEvents, i) == had[len(had)-1].File }) {
		return nil, 0, fmt.Errorf("%w: it ends at %d, and the copy at %d", ErrDiverged, to, last)
	}
	if err := os.MkdirAll(blockFolder(dst, streamEvents), 0o700); err != nil {
		return nil, 0, fmt.Errorf("copying the log: %w", err)
	}
	total := sizeOf(blockFolder(src, streamEvents), indexes)
	for _, b := range had {
		total -= b.Bytes
	}
	for _, index := range indexes {
		if err := ctx.Err(); err != nil {
			return nil, copied, context.Cause(ctx)
		}
		have := Block{File: blockFile(streamEvents, index)}
		if len(blocks) < len(had) {
			have = had[len(blocks)]
		}
		if len(blocks) < len(had)-1 { // it is full and never changes
			blocks = append(blocks, have)
			continue
		}
		b, err := copyBlock(src, dst, index, have, lastOf(blocks), to)
		if err != nil {
			return nil, copied, fmt.Errorf("copying the log: %w", err)
		}
		copied += b.Bytes - have.Bytes
		blocks = append(blocks, b)
		if step != nil {
			step(copied, max(total, copied))
		}
		if b.Last >= to {
			break
		}
	}
	if last := lastOf(blocks); last < to {
		return nil, copied, fmt.Errorf("%w: its files end at record %d, and it had %d", ErrDamaged, last, to)
	}
	return blocks, copied, syncUp(blockFolder(dst, streamEvents), dst)
}

// copyBlock brings one block of the copy up to the record at to.
func copyBlock(src, dst string, index int, have Block, after, to uint64) (Block, error) {
	block, err := os.ReadFile(filepath.Join(src, have.File))
	if err != nil {
		return have, err
	}
	b := Block{File: have.File}
	for m, err := range messages(streamEvents, index, block) {
		if err != nil {
			return have, fmt.Errorf("%s behind record %d: %w", filepath.Join(src, have.File), max(b.Last, after), err)
		}
		if m.seq > to {
			break
		}
		if err := b.add(m, max(b.Last, after)); err != nil {
			return have, err
		}
		if m.seq == to {
			break
		}
	}
	if b.Bytes < have.Bytes {
		return have, fmt.Errorf("%w: %s has %d bytes, and its copy %d", ErrDiverged, have.File, b.Bytes, have.Bytes)
	}
	kept, err := have.read(dst)
	if err != nil {
		return have, err
	}
	if !bytes.Equal(kept, block[:have.Bytes]) {
		return have, fmt.Errorf("%w: %s differs from its copy", ErrDiverged, have.File)
	}
	b.SHA256 = digestOf(block[:b.Bytes])
	return b, appendFile(filepath.Join(dst, b.File), have.Bytes, block[have.Bytes:b.Bytes])
}

// add counts a message that comes next in the block.
func (b *Block) add(m inBlock, after uint64) error {
	b.Bytes = m.end
	if m.seq&(blockNoRecord|blockDeleted) != 0 {
		return nil
	}
	if m.seq <= after {
		return fmt.Errorf("%w: %s has record %d behind record %d", ErrDamaged, b.File, m.seq, after)
	}
	if b.Records == 0 {
		b.First = m.seq
	}
	b.Records++
	b.Last = m.seq
	return nil
}

// read returns the bytes of the block that count, when they are what was copied.
func (b Block) read(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, b.File))
	if errors.Is(err, os.ErrNotExist) && b.Bytes == 0 {
		return nil, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is not there", ErrDamaged, b.File)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content := make([]byte, b.Bytes)
	if _, err := io.ReadFull(f, content); err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%w: %s is shorter than %d bytes", ErrDamaged, b.File, b.Bytes)
	} else if err != nil {
		return nil, err
	}
	if b.Bytes > 0 && digestOf(content) != b.SHA256 {
		return nil, fmt.Errorf("%w: %s is not what was copied: its digest is another", ErrDamaged, b.File)
	}
	return content, nil
}

// CheckCopy reads the blocks that a copy in dir consists of and returns an ErrDamaged
// that names the first one which is not what was copied: its bytes, and every record in
// it, whole and in order. step, unless nil, is told of the bytes read so far.
func CheckCopy(ctx context.Context, dir string, blocks []Block, step func(bytes int64)) error {
	var after uint64
	var done int64
	for _, want := range blocks {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		stream, index, err := blockOf(want.File)
		if err != nil {
			return err
		}
		content, err := want.read(dir)
		if err != nil {
			return err
		}
		have := Block{File: want.File, SHA256: want.SHA256}
		for m, err := range messages(stream, index, content) {
			if err == nil {
				err = have.add(m, max(have.Last, after))
			}
			if err != nil {
				return fmt.Errorf("%s behind record %d: %w", want.File, max(have.Last, after), err)
			}
		}
		if have != want {
			return fmt.Errorf("%w: %s has %d records from %d to %d, and not %d from %d to %d", ErrDamaged,
				want.File, have.Records, have.First, have.Last, want.Records, want.First, want.Last)
		}
		after = max(after, have.Last)
		if done += want.Bytes; step != nil {
			step(done)
		}
	}
	return nil
}

// MetaFiles returns the files, below the data directory dir, that say how EVENTS and
// ADMIN are configured and which epoch the log has, with their content.
func MetaFiles(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, stream := range []string{streamEvents, streamAdmin} {
		meta, sum, err := readMeta(dir, stream)
		if err != nil && stream == streamAdmin {
			break // it is made anew, over its records
		}
		if err != nil {
			return nil, fmt.Errorf("reading the log's files: %w", err)
		}
		files[filepath.Join(streamFolder("", stream), "meta.inf")] = meta
		files[filepath.Join(streamFolder("", stream), "meta.sum")] = sum
	}
	return files, nil
}

// readMeta reads a stream's meta files, which must belong together.
func readMeta(dir, stream string) (meta, sum []byte, err error) {
	if meta, err = os.ReadFile(filepath.Join(streamFolder(dir, stream), "meta.inf")); err != nil {
		return nil, nil, err
	}
	if sum, err = os.ReadFile(filepath.Join(streamFolder(dir, stream), "meta.sum")); err != nil {
		return nil, nil, err
	}
	key := sha256.Sum256([]byte(stream))
	hash, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, nil, err
	}
	hash.Write(meta)
	if hex.EncodeToString(hash.Sum(nil)) != string(sum) {
		return nil, nil, fmt.Errorf("%w: meta.inf of %s does not have its checksum", ErrDamaged, stream)
	}
	return meta, sum, nil
}

// inBlock is a message and where in its block it ends.
type inBlock struct {
	stored
	end int64
}

// messages returns the messages of a block that is in memory. It ends with one error
// when the block does not end behind a message.
func messages(stream string, index int, block []byte) iter.Seq2[inBlock, error] {
	return func(yield func(inBlock, error) bool) {
		sum, err := blockSum(stream, index)
		r := &blockReader{stream: stream, index: index, sum: sum, rest: block}
		for err == nil {
			var m stored
			if m, err = r.message(); err == nil && !yield(inBlock{m, int64(len(block) - len(r.rest))}, nil) {
				return
			}
		}
		switch {
		case err == io.EOF && len(r.rest) == 0:
			return
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			err = fmt.Errorf("%w: it ends within a record", ErrDamaged)
		case errors.Is(err, errLayout):
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		yield(inBlock{}, err)
	}
}

// blockFile is a block's path below the data directory.
func blockFile(stream string, index int) string { return blockPath(blockFolder("", stream), index) }

// blockOf is the inverse of blockFile.
func blockOf(file string) (stream string, index int, err error) {
	folder, name := filepath.Split(file)
	for _, stream := range []string{streamEvents, streamAdmin} {
		if index, ok, err := blockIndex(folder, name); ok && err == nil && blockFile(stream, index) == file {
			return stream, index, nil
		}
	}
	return "", 0, fmt.Errorf("%w: %q is no block of a log", ErrDamaged, file)
}

// sizeOf returns the size of block files, as far as there are such.
func sizeOf(msgs string, indexes []int) (size int64) {
	for _, index := range indexes {
		if info, err := os.Stat(blockPath(msgs, index)); err == nil {
			size += info.Size()
		}
	}
	return size
}

// lastOf returns the last sequence of the blocks, 0 for none.
func lastOf(blocks []Block) (last uint64) {
	for _, b := range blocks {
		last = max(last, b.Last)
	}
	return last
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// appendFile makes content durable as what follows the first size bytes of a file.
func appendFile(path string, size int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		_, err = f.WriteAt(content, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncUp makes the names in a folder durable, and those in the folders above it up to
// the one that holds top.
func syncUp(folder, top string) error {
	for ; ; folder = filepath.Dir(folder) {
		f, err := os.Open(folder)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("making %s durable: %w", folder, err)
		}
		if folder == filepath.Dir(filepath.Clean(top)) || folder == filepath.Dir(folder) {
			return nil
		}
	}
}
