package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sort"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"roomlog/eventlog"
)

// tree is the Merkle tree of RFC 6962 over the log: the record at place n is its leaf
// n-1. Its root at a size stands for all records up to that place, and is what
// checkpoints sign.
//
// A place without a record, lost to damage or to a power loss before anybody was told
// of it, has the leaf of MissingLeaf, so that places and leaves never drift apart.
//
// Of the nodes above the leaves only those of 256 and of 65,536 leaves are stored, once
// they are complete: a root or a proof needs some hundred rows at a million records, and
// no row is ever written twice.
type tree struct {
	leaves table // place → hash of its leaf
	tiles  table // number of a complete subtree of tileSize leaves, from 0 → its hash
	spans  table // the same of tileSize tiles
}

const (
	tileHeight = 8
	tileSize   = 1 << tileHeight
)

// LeafHash returns the hash of a record's leaf, the zero hash for one that was not read
// from a log.
func LeafHash(r *eventlog.Record) (hash tlog.Hash) {
	buf := leafBuffers.Get().(*[]byte)
	*buf = r.AppendLeaf(append((*buf)[:0], 0)) // that of a leaf begins with 0, of a node with 1
	if len(*buf) > 1 {
		hash = sha256.Sum256(*buf)
	}
	leafBuffers.Put(buf)
	return hash
}

var leafBuffers = sync.Pool{New: func() any { return new([]byte) }}

// MissingLeaf returns the hash that a place has in the tree at which the log has no
// record: that of the place alone, eight bytes in big endian, which no record's leaf
// consists of.
func MissingLeaf(seq uint64) tlog.Hash {
	var place [8]byte
	binary.BigEndian.PutUint64(place[:], seq)
	return tlog.RecordHash(place[:])
}

func (t *tree) observe(r *record, _ *verdict) error {
	if r.Seq > 1 && !t.leaves.has(seqKey(r.Seq-1)) {
		t.pass(r.Seq)
	}
	t.add(r.Seq, r.leaf)
	return nil
}

// pass adds the leaves of the places between the last one and the one at seq.
func (t *tree) pass(seq uint64) {
	first := 1 + uint64(sort.Search(int(seq-1), func(i int) bool { return !t.leaves.has(seqKey(uint64(i) + 1)) }))
	for missing := first; missing < seq; missing++ {
		t.add(missing, MissingLeaf(missing))
	}
}

func (t *tree) add(seq uint64, leaf tlog.Hash) {
	t.leaves.put(seqKey(seq), leaf[:])
	if seq%tileSize != 0 {
		return
	}
	tile := seq/tileSize - 1
	hash := t.hashOf(&t.leaves, seq-tileSize+1, tileSize)
	t.tiles.put(seqKey(tile), hash[:])
	if (tile+1)%tileSize == 0 {
		hash := t.hashOf(&t.tiles, tile-tileSize+1, tileSize)
		t.spans.put(seqKey(tile/tileSize), hash[:])
	}
}

// hashOf returns the hash of a complete subtree that consists of rows of a table.
func (t *tree) hashOf(rows *table, first, count uint64) tlog.Hash {
	hashes := make([]tlog.Hash, 0, count)
	for row := range rows.numbered(nil, first, first+count-1) {
		hashes = append(hashes, hashIn(row))
	}
	if uint64(len(hashes)) != count {
		panic(damage("the log's tree lacks a hash"))
	}
	return SubtreeHash(hashes)
}

func hashIn(row []byte) tlog.Hash {
	if len(row) != tlog.HashSize {
		panic(damage("a row of the log's tree is no hash"))
	}
	return tlog.Hash(row)
}

// SubtreeHash returns the hash of the complete subtree above hashes, whose number is a
// power of two. It spoils hashes.
func SubtreeHash(hashes []tlog.Hash) tlog.Hash {
	for n := len(hashes) / 2; n > 0; n /= 2 {
		for i := range n {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
	}
	return hashes[0]
}

// ReadHashes makes the tree a tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		rows, first := &t.leaves, uint64(1)
		switch {
		case level >= 2*tileHeight:
			rows, first, level = &t.spans, 0, level-2*tileHeight
		case level >= tileHeight:
			rows, first, level = &t.tiles, 0, level-tileHeight
		}
		hashes[i] = t.hashOf(rows, first+uint64(n)<<level, 1<<level)
	}
	return hashes, nil
}

// has reports whether a place has such a leaf.
func (t *tree) has(seq uint64, leaf tlog.Hash) bool {
	return string(t.leaves.get(seqKey(seq))) == string(leaf[:])
}

// TreeRoot returns the root of the log's tree over the places 1 to size, which must not
// lie past Seq.
func (v *View) TreeRoot(size uint64) (tlog.Hash, error) {
	if err := v.inTree(size); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(int64(size), &v.state.tree)
}

// ProveRecord proves that the record at seq is in the tree of a size.
func (v *View) ProveRecord(size, seq uint64) (tlog.RecordProof, error) {
	if err := v.inTree(size); err != nil {
		return nil, err
	}
	if seq == 0 || seq > size {
		return nil, fmt.Errorf("place %d is not in a tree of size %d", seq, size)
	}
	return tlog.ProveRecord(int64(size), int64(seq-1), &v.state.tree)
}

// ProveTree proves that the tree of a size begins with that of an older one, which is
// not empty.
func (v *View) ProveTree(size, older uint64) (tlog.TreeProof, error) {
	if err := v.inTree(size); err != nil {
		return nil, err
	}
	return tlog.ProveTree(int64(size), int64(older), &v.state.tree)
}

// Leaves fills into with the hashes of the leaves from a place on, and says how many of
// them there are.
func (v *View) Leaves(from uint64, into []tlog.Hash) int { return v.state.tree.read(from, into) }

func (v *View) inTree(size uint64) error {
	if seq := v.Seq(); size > seq {
		return fmt.Errorf("a tree of size %d reaches past the read models, which are at %d", size, seq)
	}
	return nil
}
