package eventlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
)

// ADMIN forgets by age, so its files are not only appended to. A copy of it is written
// anew, message by message, as the server would have: with their places and the times
// at which they were stored. A server that finds such files takes them over, goes on
// behind them, and forgets them when they are old enough.

// copiedAdminBlock is from which size on a block of the copy is followed by another.
const copiedAdminBlock = 4 << 20

// CopyAdmin brings the copy of ADMIN in dst up to date, as CopyEvents does for EVENTS:
// what moderators did up to the record of EVENTS at to, and what the server noted. What
// ADMIN forgot stays in the copy. Where a power loss took its newest entries and others
// have their places now, blocks comes back with other files, and those of had are no
// longer needed.
//
// What is damaged in src is passed over: no fact is lost by it, for these are in EVENTS.
func CopyAdmin(ctx context.Context, src, dst string, had []Block, to uint64) (blocks []Block, copied int64, err error) {
	c := &adminCopy{dst: dst, to: to}
	if err := c.begin(ctx, src, had); err != nil {
		return nil, 0, fmt.Errorf("copying the admin stream: %w", err)
	}
	if err := os.MkdirAll(blockFolder(dst, streamAdmin), 0o700); err != nil {
		return nil, 0, fmt.Errorf("copying the admin stream: %w", err)
	}
	if err = eachAdmin(ctx, src, c.take); err == nil || err == errBeyond {
		err = c.flush()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("copying the admin stream: %w", err)
	}
	return c.blocks, c.copied, syncUp(blockFolder(dst, streamAdmin), dst)
}

// adminCopy is a copy of ADMIN under way.
type adminCopy struct {
	dst    string
	to     uint64
	blocks []Block // the last one is under way
	copied int64

	index   int    // of the last block
	content []byte // of it
	sum     hash.Hash64
}

// begin opens the copy's last block, or a first one.
func (c *adminCopy) begin(ctx context.Context, src string, had []Block) error {
	if len(had) == 0 {
		return c.next(1)
	}
	last := had[len(had)-1]
	stream, index, err := blockOf(last.File)
	if err != nil {
		return err
	}
	content, err := last.read(c.dst)
	if err != nil {
		return err
	}
	var end inBlock
	for m, err := range messages(stream, index, content) {
		if err != nil {
			return fmt.Errorf("%s: %w", last.File, err)
		}
		end = m
	}
	goesOn, err := adminGoesOn(ctx, src, end.stored)
	if err != nil {
		return err
	}
	if !goesOn {
		return c.next(index + 1)
	}
	c.blocks = append(c.blocks, had...)
	c.index, c.content = index, content
	c.sum, err = blockSum(streamAdmin, index)
	return err
}

// next begins a block.
func (c *adminCopy) next(index int) (err error) {
	c.index, c.content = index, nil
	c.blocks = append(c.blocks, Block{File: blockFile(streamAdmin, index), SHA256: digestOf(nil)})
	c.sum, err = blockSum(streamAdmin, index)
	return err
}

// errBeyond ends a copy at what is not durable yet.
var errBeyond = errors.New("beyond what is copied")

// take adds a message that the copy does not have.
func (c *adminCopy) take(m stored) error {
	if m.seq <= lastOf(c.blocks) {
		return nil
	}
	if r := m.record(); r.Origin > c.to {
		return errBeyond
	}
	if len(c.content) >= copiedAdminBlock {
		if err := c.flush(); err != nil {
			return err
		}
		if err := c.next(c.index + 1); err != nil {
			return err
		}
	}
	c.content = appendStored(c.content, c.sum, m)
	b := &c.blocks[len(c.blocks)-1]
	if b.Records == 0 {
		b.First = m.seq
	}
	b.Records++
	b.Last = m.seq
	return nil
}

// flush makes the block durable.
func (c *adminCopy) flush() error {
	b := &c.blocks[len(c.blocks)-1]
	if err := appendFile(filepath.Join(c.dst, b.File), b.Bytes, c.content[b.Bytes:]); err != nil {
		return err
	}
	c.copied += int64(len(c.content)) - b.Bytes
	b.Bytes, b.SHA256 = int64(len(c.content)), digestOf(c.content)
	return nil
}

// adminGoesOn reports whether ADMIN goes on behind the last message of its copy: has it
// at its place, or has forgotten it and what came before.
func adminGoesOn(ctx context.Context, src string, last stored) (bool, error) {
	if last.seq == 0 {
		return true, nil
	}
	departs := false
	var highest uint64
	err := eachAdmin(ctx, src, func(m stored) error {
		highest = m.seq
		departs = departs || m.seq == last.seq &&
			!(bytes.Equal(m.subject, last.subject) && bytes.Equal(m.header, last.header) && bytes.Equal(m.body, last.body))
		return nil
	})
	return !departs && (highest == 0 || highest >= last.seq), err
}

// eachAdmin calls visit with what the files of ADMIN hold, in order, until it returns
// an error. What cannot be read is passed over.
func eachAdmin(ctx context.Context, src string, visit func(stored) error) error {
	msgs := blockFolder(src, streamAdmin)
	if _, err := os.Stat(msgs); errors.Is(err, fs.ErrNotExist) {
		return nil // there is no such stream yet
	}
	indexes, err := blockIndexes(msgs)
	if err != nil {
		return err
	}
	var last uint64
	for _, index := range indexes {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		block, err := os.ReadFile(blockPath(msgs, index))
		if errors.Is(err, fs.ErrNotExist) {
			continue // forgotten a moment ago
		}
		if err != nil {
			return err
		}
		sum, err := blockSum(streamAdmin, index)
		if err != nil {
			return err
		}
		r := &blockReader{stream: streamAdmin, index: index, sum: sum, rest: block}
		for {
			m, err := r.message()
			if errors.Is(err, ErrDamaged) {
				r.rest = r.rest[r.damaged:]
				continue
			}
			if err != nil {
				break // the end, a torn write, or no length to go on by
			}
			if m.seq&(blockNoRecord|blockDeleted) != 0 || m.seq <= last {
				continue
			}
			last = m.seq
			if err := visit(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendStored appends a message as a block file holds it, see blockReader.
func appendStored(b []byte, sum hash.Hash64, m stored) []byte {
	from := len(b)
	size := uint32(blockHeader + len(m.subject) + len(m.body) + blockChecksum)
	if len(m.header) > 0 {
		size = (size + 4 + uint32(len(m.header))) | blockHasHdr
	}
	b = binary.LittleEndian.AppendUint32(b, size)
	b = binary.LittleEndian.AppendUint64(b, m.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.time))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.subject)))
	b = append(b, m.subject...)
	if len(m.header) > 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.header)))
		b = append(b, m.header...)
	}
	b = append(b, m.body...)
	sum.Reset()
	sum.Write(b[from+4 : from+4+16])
	sum.Write(m.subject)
	sum.Write(m.header)
	sum.Write(m.body)
	return binary.LittleEndian.AppendUint64(b, sum.Sum64())
}
