package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sort"
	"strconv"

	"github.com/minio/highwayhash"
)

// blockReader reads durable records straight from the embedded server's block
// files: through a consumer each message costs the server as much again as it costs
// us (BenchmarkRead has both). What is in a block file is:
//
//	length(4) sequence(8) timestamp(8) subject length(2) subject
//	[header length(4) header] body checksum(8)
//
// all in little endian; the length counts the whole record, and its highest bit says
// that there is a header. Read in filestore.go of v2.15.3. Anything else is an error,
// after which the caller reads through the server, which knows best.
//
// A record that is durable is whole in its file and never changes, so it can be read
// while the server writes behind it. For one goroutine.
type blockReader struct {
	stream string
	msgs   string // folder
	next   uint64 // no record before it is wanted
	strict bool   // a record that does not come after the one before it is an error
	last   uint64 // sequence of the message read last

	damaged int // bytes of the message that does not have its checksum

	index int // of the open block
	file  *os.File
	sum   hash.Hash64
	chunk []byte // read from the file; every fill writes over it
	rest  []byte // of it, not yet handed out
}

// The layout's constants.
const (
	blockHeader   = 4 + 8 + 8 + 2 // bytes before the subject
	blockChecksum = 8
	blockHasHdr   = 1 << 31 // in the length
	blockNoRecord = 1 << 63 // in the sequence: a place that was given up
	blockDeleted  = 1 << 62 // in the sequence: a tombstone
)

// blockChunk is how much of a file is read at a time.
const blockChunk = 128 << 10

func (l *Log) newBlockReader(stream string, from uint64) (*blockReader, error) {
	r := &blockReader{stream: stream, msgs: blockFolder(l.cfg.Dir, stream), next: from, strict: l.sealed}
	blocks, err := blockIndexes(r.msgs)
	if err != nil {
		return nil, err
	}
	var failed error
	after := sort.Search(len(blocks), func(i int) bool {
		first, _, err := firstOfBlock(blockPath(r.msgs, blocks[i]))
		if err != nil {
			failed = err
		}
		return first > from
	})
	if failed != nil {
		return nil, failed
	}
	return r, r.open(blocks[max(after-1, 0)])
}

// firstOfBlock returns the sequence that a block begins with and when that was
// stored, in nanoseconds; the highest there are for one that is empty.
func firstOfBlock(path string) (seq uint64, time int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var head [blockHeader]byte
	switch _, err := io.ReadFull(f, head[:]); err {
	case nil:
		return binary.LittleEndian.Uint64(head[4:]) &^ (blockNoRecord | blockDeleted), int64(binary.LittleEndian.Uint64(head[12:])), nil
	case io.EOF, io.ErrUnexpectedEOF:
		return math.MaxUint64, math.MaxInt64, nil
	default:
		return 0, 0, err
	}
}

func (r *blockReader) open(index int) error {
	f, err := os.Open(blockPath(r.msgs, index))
	if err != nil {
		return err
	}
	sum, err := blockSum(r.stream, index)
	if err != nil {
		f.Close()
		return err
	}
	r.close()
	r.index, r.file, r.sum, r.rest = index, f, sum, nil
	return nil
}

// blockSum is the hash from which messages of a block have their checksums.
func blockSum(stream string, index int) (hash.Hash64, error) {
	key := sha256.Sum256([]byte(stream + "-" + strconv.Itoa(index)))
	return highwayhash.New64(key[:])
}

func (r *blockReader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// errEndOfBlocks says that the last block has no more.
var errEndOfBlocks = errors.New("the block files end")

// read returns the next records up to to, which must be durable. With an error come
// those before it.
func (r *blockReader) read(ctx context.Context, into []Record, most int, to uint64) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	records := slices.Grow(into[:0], min(most, readBatch))
	for len(records) < most && r.next <= to {
		m, err := r.message()
		switch {
		case err == io.EOF:
			if err = r.open(r.index + 1); errors.Is(err, fs.ErrNotExist) {
				return records, fmt.Errorf("%w: no record %d", errEndOfBlocks, r.next)
			} else if err != nil {
				return records, fmt.Errorf("no record %d in the block files: %w", r.next, err)
			}
		case err != nil:
			return records, fmt.Errorf("block %d at record %d: %w", r.index, r.place(), err)
		case m.seq&(blockNoRecord|blockDeleted) != 0:
			// A place without a record.
		case r.strict && m.seq <= r.last:
			return records, fmt.Errorf("%w: block %d has record %d behind record %d", ErrDamaged, r.index, m.seq, r.last)
		case m.seq < r.next:
			r.last = m.seq // before those wanted
		case m.seq > to:
			r.rest, r.next = m.from, to+1 // the records between are gone
		default:
			r.last = m.seq
			records = append(records, Record{Seq: m.seq})
			records[len(records)-1].decodeRaw(m.subject, m.header, m.body)
			r.next = m.seq + 1
		}
	}
	return records, nil
}

// place is where the message stands that comes next, as far as that is known.
func (r *blockReader) place() uint64 {
	if r.last == 0 {
		return r.next
	}
	return r.last + 1
}

// stored is a message as a block file holds it. Its bytes are those of the chunk, which
// are good until the next message.
type stored struct {
	seq                   uint64
	time                  int64 // when the server stored it, in nanoseconds
	subject, header, body []byte
	from                  []byte // the chunk from it on
}

// size is how many bytes the message has in the file.
func (m *stored) size() int {
	return int(binary.LittleEndian.Uint32(m.from) &^ blockHasHdr)
}

func (m *stored) checksum() [blockChecksum]byte {
	return [blockChecksum]byte(m.from[m.size()-blockChecksum:])
}

// record decodes the message.
func (m *stored) record() Record {
	r := Record{Seq: m.seq}
	r.decodeRaw(m.subject, m.header, m.body)
	return r
}

// message returns the next message of the open block, io.EOF at its end.
func (r *blockReader) message() (m stored, err error) {
	if len(r.rest) < blockHeader {
		if err := r.fill(blockHeader); err != nil {
			return m, err
		}
	}
	length := binary.LittleEndian.Uint32(r.rest)
	hasHeader := length&blockHasHdr != 0
	size := int(length &^ blockHasHdr)
	subject := int(binary.LittleEndian.Uint16(r.rest[20:]))
	least := blockHeader + subject + blockChecksum
	if hasHeader {
		least += 4
	}
	if size < least || size > maxMessage {
		return m, fmt.Errorf("%w: a message of %d bytes", errLayout, size)
	}
	if len(r.rest) < size {
		if err := r.fill(size); err == io.EOF {
			return m, io.ErrUnexpectedEOF
		} else if err != nil {
			return m, err
		}
	}
	b := r.rest[:size:size]
	content := b[blockHeader+subject : size-blockChecksum]
	r.sum.Reset()
	r.sum.Write(b[4 : 4+16])
	r.sum.Write(b[blockHeader : blockHeader+subject])
	header := 0
	if hasHeader {
		header = int(binary.LittleEndian.Uint32(content))
		if content = content[4:]; header > len(content) {
			return m, fmt.Errorf("%w: a header of %d bytes", errLayout, header)
		}
	}
	r.sum.Write(content)
	if r.sum.Sum64() != binary.LittleEndian.Uint64(b[size-blockChecksum:]) {
		r.damaged = size
		return m, fmt.Errorf("%w: a message does not have its checksum", ErrDamaged)
	}
	m = stored{
		seq:     binary.LittleEndian.Uint64(b[4:]),
		time:    int64(binary.LittleEndian.Uint64(b[12:])),
		subject: b[blockHeader : blockHeader+subject],
		header:  content[:header:header],
		body:    content[header:len(content):len(content)],
		from:    r.rest,
	}
	r.rest = r.rest[size:]
	return m, nil
}

// fill reads on until at least size bytes are there. It returns io.EOF when the file
// ends before them: behind the last record, or within one that is being written.
func (r *blockReader) fill(size int) error {
	if r.file == nil {
		return io.EOF // the whole block is in memory
	}
	if size > len(r.chunk) {
		r.chunk = make([]byte, max(size, blockChunk))
	}
	have := copy(r.chunk, r.rest)
	n, err := io.ReadAtLeast(r.file, r.chunk[have:], size-have)
	r.rest = r.chunk[:have+n]
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}

// blockIndexes returns the numbers of the block files in order.
func blockIndexes(msgs string) ([]int, error) {
	entries, err := os.ReadDir(msgs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLayout, err)
	}
	var indexes []int
	for _, e := range entries {
		index, ok, err := blockIndex(msgs, e.Name())
		if err != nil {
			return nil, err
		}
		if ok {
			indexes = append(indexes, index)
		}
	}
	if len(indexes) == 0 {
		return nil, fmt.Errorf("%w: no block file in %s", errLayout, msgs)
	}
	slices.Sort(indexes)
	return indexes, nil
}
