package eventlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server/avl"
)

// streamIndex is what a stream's index.db says: where the stream stood at one moment. The
// server writes one every two minutes and when it stops, and begins with it. One that is
// older than the last block it drops, and then reads every block twice: ten million records
// took it half a minute. But blocks of EVENTS only ever grow, so that an older index and
// what was written since make the index of now: see catchUp.
//
// In the file, behind the two bytes of indexVersion, are integers of variable length as
// encoding/binary has them, in the order of the fields below; times are signed, and those
// of blocks there relative to firstTime. The number of subjects, and that of blocks, comes before
// the first of them. The end is a hash of all before it. Read in filestore.go of v2.15.3,
// recoverFullState; TestStreamIndexIsTheServers fails when a version behaves otherwise.
type streamIndex struct {
	records, bytes uint64
	firstSeq       uint64
	firstTime      int64 // nanoseconds
	lastSeq        uint64
	lastTime       int64
	subjects       []indexedSubject
	blocks         []indexedBlock      // never none
	lastBlock      uint64              // index of the last of blocks
	checksum       [blockChecksum]byte // of the last record

	written time.Time // when the file was
	upTo    uint64    // lastBlock as it says there
}

type indexedSubject struct {
	name        string
	records     uint64
	first, last uint64 // blocks
}

type indexedBlock struct {
	index, bytes        uint64
	firstSeq            uint64
	firstTime           int64 // 0 while nothing but tombstones is in it
	lastSeq             uint64
	lastTime            int64
	deleted             uint64
	places              []byte // of those, as the server encodes them; none when deleted is 0
	expiring, scheduled uint64 // records with a time to live, with a schedule
}

const indexName = "index.db"

var indexVersion = [2]byte{11, 4} // magic number and version

// errNoIndex says why an index is not used: the server knows what to do.
var errNoIndex = errors.New("no index to go on from")

func readIndex(msgs, stream string) (*streamIndex, error) {
	path := filepath.Join(msgs, indexName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) < len(indexVersion)+blockChecksum || [2]byte(b) != indexVersion {
		return nil, fmt.Errorf("%w: another version", errNoIndex)
	}
	b, sum := b[:len(b)-blockChecksum], b[len(b)-blockChecksum:]
	if want, err := indexSum(stream, b); err != nil || !bytes.Equal(sum, want) {
		return nil, errors.Join(fmt.Errorf("%w: not its checksum", errNoIndex), err)
	}
	d := &indexDecoder{rest: b[len(indexVersion):]}
	x := d.index()
	if d.short || len(d.rest) > 0 || len(x.blocks) == 0 {
		return nil, fmt.Errorf("%w: not as expected", errNoIndex)
	}
	x.written, x.upTo = info.ModTime(), x.lastBlock
	return x, nil
}

func indexSum(stream string, b []byte) ([]byte, error) {
	key := sha256.Sum256([]byte(stream))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, err
	}
	sum.Write(b)
	return sum.Sum(nil), nil
}

type indexDecoder struct {
	rest  []byte
	short bool
}

func (d *indexDecoder) unsigned() uint64 {
	v, n := binary.Uvarint(d.rest)
	return take(d, v, n)
}

func (d *indexDecoder) signed() int64 {
	v, n := binary.Varint(d.rest)
	return take(d, v, n)
}

func take[T uint64 | int64](d *indexDecoder, v T, n int) T {
	if n <= 0 {
		d.short, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *indexDecoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.short, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *indexDecoder) index() *streamIndex {
	x := &streamIndex{
		records: d.unsigned(), bytes: d.unsigned(),
		firstSeq: d.unsigned(), firstTime: d.signed(), lastSeq: d.unsigned(), lastTime: d.signed(),
	}
	for range d.count() {
		name := string(d.bytes(d.unsigned()))
		x.subjects = append(x.subjects, indexedSubject{name, d.unsigned(), d.unsigned(), d.unsigned()})
	}
	for range d.count() {
		k := indexedBlock{
			index: d.unsigned(), bytes: d.unsigned(),
			firstSeq: d.unsigned(), firstTime: d.signed(), lastSeq: d.unsigned(), lastTime: d.signed(),
			deleted: d.unsigned(), expiring: d.unsigned(), scheduled: d.unsigned(),
		}
		k.firstTime += x.firstTime
		k.lastTime += x.firstTime
		if k.deleted > 0 {
			k.places = d.places()
		}
		x.blocks = append(x.blocks, k)
	}
	x.lastBlock = d.unsigned()
	copy(x.checksum[:], d.bytes(blockChecksum))
	return x
}

// places returns an encoded set of sequences.
func (d *indexDecoder) places() []byte {
	_, n, err := avl.Decode(d.rest)
	if err != nil {
		d.short, d.rest = true, nil
		return nil
	}
	return d.bytes(uint64(n))
}

// count is unsigned for a number of things, each of which takes a byte at least.
func (d *indexDecoder) count() uint64 {
	n := d.unsigned()
	if n > uint64(len(d.rest)) {
		d.short, d.rest = true, nil
		return 0
	}
	return n
}

// write puts the index in the place of the one that is there.
func (x *streamIndex) write(msgs, stream string) error {
	b := indexVersion[:]
	unsigned := func(values ...uint64) {
		for _, v := range values {
			b = binary.AppendUvarint(b, v)
		}
	}
	signed := func(v int64) { b = binary.AppendVarint(b, v) }
	unsigned(x.records, x.bytes, x.firstSeq)
	signed(x.firstTime)
	unsigned(x.lastSeq)
	signed(x.lastTime)
	unsigned(uint64(len(x.subjects)))
	for _, s := range x.subjects {
		unsigned(uint64(len(s.name)))
		b = append(b, s.name...)
		unsigned(s.records, s.first, s.last)
	}
	unsigned(uint64(len(x.blocks)))
	for _, k := range x.blocks {
		unsigned(k.index, k.bytes, k.firstSeq)
		signed(k.firstTime - x.firstTime)
		unsigned(k.lastSeq)
		signed(k.lastTime - x.firstTime)
		unsigned(k.deleted, k.expiring, k.scheduled)
		b = append(b, k.places...)
	}
	unsigned(x.lastBlock)
	b = append(b, x.checksum[:]...)
	sum, err := indexSum(stream, b)
	if err != nil {
		return err
	}
	path := filepath.Join(msgs, indexName)
	err = os.WriteFile(path+".tmp", append(b, sum...), 0o600)
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		os.Remove(path + ".tmp") // the disk may be full
	}
	return err
}

// catchUp adds to the index what the block files have beyond it, and reports whether that
// is anything: it reads no more than that, from the beginning of the index's last block.
// It fails when the files are not those of the index with records behind them, whole and in
// order: the index is spoilt then.
func (x *streamIndex) catchUp(ctx context.Context, msgs, stream string, blocks []int) (grew bool, err error) {
	if len(blocks) < len(x.blocks) || x.blocks[len(x.blocks)-1].index != x.lastBlock {
		return false, fmt.Errorf("%w: a block is missing", errNoIndex)
	}
	for i, k := range x.blocks {
		info, err := os.Stat(blockPath(msgs, blocks[i]))
		if err != nil {
			return false, err
		}
		if uint64(blocks[i]) != k.index || uint64(info.Size()) < k.bytes {
			return false, fmt.Errorf("%w: block %d is another one", errNoIndex, blocks[i])
		}
	}
	r := &blockReader{stream: stream, msgs: msgs}
	defer r.close()
	rest := blocks[len(x.blocks)-1:]
	if err := r.open(rest[0]); err != nil {
		return false, err
	}
	if len(rest) == 1 && x.endsWith(r.file) {
		return false, nil
	}
	if err := x.passKnown(ctx, r); err != nil {
		return false, err
	}
	if err := x.addBlock(ctx, r); err != nil {
		return false, err
	}
	for _, index := range rest[1:] {
		if uint64(index) != x.lastBlock+1 {
			return false, fmt.Errorf("%w: block %d is missing", errNoIndex, x.lastBlock+1)
		}
		if err := r.open(index); err != nil {
			return false, err
		}
		if err := x.addBlock(ctx, r); err != nil {
			return false, err
		}
	}
	return true, nil
}

// endsWith reports whether the last record of a block is that of the index, which is all
// that the server asks.
func (x *streamIndex) endsWith(block *os.File) bool {
	info, err := block.Stat()
	if err != nil || info.Size() < blockChecksum {
		return false
	}
	var sum [blockChecksum]byte
	_, err = block.ReadAt(sum[:], info.Size()-blockChecksum)
	return err == nil && sum == x.checksum
}

// passKnown reads up to the last record that the index knows.
func (x *streamIndex) passKnown(ctx context.Context, r *blockReader) error {
	for ctx.Err() == nil {
		m, err := r.message()
		if err != nil {
			return err // it does not come
		}
		if m.checksum() == x.checksum {
			return nil
		}
	}
	return context.Cause(ctx)
}

// addBlock adds the records of the open block from here to its end.
func (x *streamIndex) addBlock(ctx context.Context, r *blockReader) error {
	for ctx.Err() == nil {
		m, err := r.message()
		switch {
		case err == io.EOF && len(r.rest) == 0:
			return nil
		case err != nil:
			return err // torn or damaged
		case m.seq != x.lastSeq+1:
			return fmt.Errorf("%w: record %d behind record %d", errNoIndex, m.seq, x.lastSeq)
		}
		x.add(&m, uint64(r.index))
	}
	return context.Cause(ctx)
}

func (x *streamIndex) add(m *stored, block uint64) {
	size := uint64(m.size())
	if x.records == 0 {
		x.firstSeq, x.firstTime = m.seq, m.time
	}
	x.records++
	x.bytes += size
	x.lastSeq, x.lastTime = m.seq, m.time
	x.checksum = m.checksum()
	if block != x.lastBlock {
		x.lastBlock = block
		x.blocks = append(x.blocks, indexedBlock{index: block})
	}
	k := &x.blocks[len(x.blocks)-1]
	if k.firstTime == 0 { // the server goes by that: with it, it would begin the block anew at its next record
		k.firstSeq, k.firstTime = m.seq, m.time
	}
	k.bytes += size
	k.lastSeq, k.lastTime = m.seq, m.time
	for i := range x.subjects {
		if s := &x.subjects[i]; s.name == string(m.subject) {
			s.records++
			s.last = block
			return
		}
	}
	x.subjects = append(x.subjects, indexedSubject{string(m.subject), 1, block, block})
}
