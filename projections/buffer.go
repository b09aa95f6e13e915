package projections

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"slices"
)

// buffer holds rows that a batch has read or written: a hash table by key that keeps
// its bytes in slabs and points to them by numbers. A load holds millions of rows, and
// a pass of the garbage collector over as many pointers would cost as much as deciding
// their records does; and as much again would looks at memory that is in no cache. So a
// row is one piece, found by one slot, and a value that changes is changed in its place.
//
// What it returns is valid until that row changes, or forget.
type buffer struct {
	slots   []slot // a power of two, at most half full
	slotted []byte // the memory that they are in
	taken   int    // slots that are
	recent  row    // that was found last: what is read is mostly written next
	loose   []row  // that chain has not seen, of a table that lists
	marked  []row  // rows that were, in the order in which they first were
	slabs   [][]byte
	current int                // index of the slab that is filling
	used    int                // bytes of it
	full    int                // bytes of the slabs before it
	free    [freeClasses][]row // pieces of rows that were dropped, by their sizes
}

// row is where a row begins, in steps of rowStep bytes through all slabs; 0 is none.
// What is there is a header, the key and the value, which lies elsewhere once it has
// outgrown its room.
//
// The root of an owner's rows, in a table that lists, is a row with no value that is
// known, but a list of theirs; its key has no zero byte, which those of lists have.
type row uint32

const (
	rowStep  = 8
	slabBits = 22                  // of a row's number: steps in a slab, however long that is
	slabSize = rowStep << slabBits // 32 MiB
)

// The header of a row.
const (
	atValue  = 0 // where the value lies, as rows do
	atLength = 4 // of the value, in bytes
	atRoom   = 8 // for the value
	atKeyLen = 12
	atFlags  = 14
	atKey    = 16
)

// The flags of a row.
const (
	known  = 1 << iota // otherwise: what the file has is not known, as if it were not here
	exists             // otherwise: no such row
	dirty              // the file is to be told
	listed             // in buffer.marked
	fresh              // the file does not have it, nor will
	gone               // and neither does anybody: ofOwner drops it
)

// Pieces are kept for new rows in classes of freeStep bytes.
const (
	freeStep    = 64
	freeClasses = 32
)

// slot points to a row: the upper half of its key's hash, then the row. 0 points to none.
// Slots that are passed by are told by their hashes, without a look at rows that lie
// elsewhere in memory.
type slot uint64

func slotOf(hash uint64, r row) slot { return slot(hash&^math.MaxUint32) | slot(r) }

func (s slot) row() row { return row(s) }

func (s slot) may(hash uint64) bool { return uint64(s)>>32 == hash>>32 }

// home is where the search for a hash begins.
func (b *buffer) home(hash uint64) int { return int(hash>>32) & (len(b.slots) - 1) }

// at returns the bytes that begin at a row.
func (b *buffer) at(r row) []byte {
	return b.slabs[r>>slabBits][(r&(1<<slabBits-1))*rowStep:]
}

// find returns the row of a key, 0 for none that is known.
func (b *buffer) find(hash uint64, key []byte) row {
	if r := b.row(hash, key); r != 0 && b.is(r, known) {
		return r
	}
	return 0
}

// row returns a key's row, known or not, 0 for none.
func (b *buffer) row(hash uint64, key []byte) row {
	if b.taken == 0 {
		return 0
	}
	for at := b.home(hash); ; at = (at + 1) & (len(b.slots) - 1) {
		s := b.slots[at]
		if s == 0 {
			return 0
		}
		if s.may(hash) && bytes.Equal(b.key(s.row()), key) {
			b.recent = s.row()
			return b.recent
		}
	}
}

// insert adds a row for a key that has none, with nothing known of it and room for a
// value.
func (b *buffer) insert(hash uint64, key []byte, room int) row {
	if 2*(b.taken+1) > len(b.slots) {
		b.grow()
	}
	r, data := b.piece(atKey + len(key) + room)
	clear(data[:atFlags])
	data[atFlags] &= listed // what was dropped may be
	binary.LittleEndian.PutUint16(data[atKeyLen:], uint16(len(key)))
	copy(data[atKey:], key)
	binary.LittleEndian.PutUint32(data[atRoom:], uint32(len(data)-atKey-len(key)))
	b.place(slotOf(hash, r))
	b.taken++
	b.recent = r
	return r
}

// again returns the row of a key if it is the one that was found last, else 0.
func (b *buffer) again(key []byte) row {
	if b.recent != 0 && bytes.Equal(b.key(b.recent), key) {
		return b.recent
	}
	return 0
}

// piece returns room for a new row: that of one that was dropped, or new one.
func (b *buffer) piece(size int) (row, []byte) {
	class := (size + freeStep - 1) / freeStep
	if class >= freeClasses || len(b.free[class]) == 0 {
		r, data := b.take(size)
		data[atFlags] = 0
		return r, data
	}
	last := len(b.free[class]) - 1
	r := b.free[class][last]
	b.free[class] = b.free[class][:last]
	return r, b.at(r)[:b.size(r)]
}

// size returns how many bytes a row has whose value is where it was first.
func (b *buffer) size(r row) int {
	data := b.at(r)
	return atKey + int(binary.LittleEndian.Uint16(data[atKeyLen:])) + int(binary.LittleEndian.Uint32(data[atRoom:]))
}

// drop removes a row altogether.
func (b *buffer) drop(r row) {
	mask := len(b.slots) - 1
	hole := b.home(hashOf(b.key(r)))
	for b.slots[hole].row() != r {
		hole = (hole + 1) & mask
	}
	for at := hole; ; { // the search for those behind it must not end at the hole
		at = (at + 1) & mask
		s := b.slots[at]
		if s == 0 {
			break
		}
		if (at-b.home(uint64(s)))&mask >= (at-hole)&mask {
			b.slots[hole] = s
			hole = at
		}
	}
	b.slots[hole] = 0
	b.taken--
	b.recent = 0
	data := b.at(r)
	data[atFlags] &= listed
	if class := b.size(r) / freeStep; class < freeClasses && binary.LittleEndian.Uint32(data[atValue:]) == 0 {
		b.free[class] = append(b.free[class], r)
	}
}

// place puts a slot where the search for its hash comes by.
func (b *buffer) place(s slot) {
	at := b.home(uint64(s))
	for b.slots[at] != 0 {
		at = (at + 1) & (len(b.slots) - 1)
	}
	b.slots[at] = s
}

// grow doubles the slots.
func (b *buffer) grow() {
	old, memory := b.slots, b.slotted
	b.slots, b.slotted = newSlots(max(64, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			b.place(s)
		}
	}
	freeMemory(memory)
}

// set gives a row a value, nil for no such row.
func (b *buffer) set(r row, value []byte) {
	data := b.at(r)
	if wipes {
		overwrite(b.value(r))
	}
	flags := data[atFlags]&^(exists|gone) | known
	if value != nil {
		flags |= exists
		if wipes || uint32(len(value)) > binary.LittleEndian.Uint32(data[atRoom:]) {
			moved, room := b.take(max(2*len(value), 32))
			binary.LittleEndian.PutUint32(data[atValue:], uint32(moved))
			binary.LittleEndian.PutUint32(data[atRoom:], uint32(len(room)))
		}
		binary.LittleEndian.PutUint32(data[atLength:], uint32(len(value)))
		copy(b.room(data), value)
	}
	data[atFlags] = flags
}

// room returns where a row's value is, and what there is behind it.
func (b *buffer) room(data []byte) []byte {
	if moved := row(binary.LittleEndian.Uint32(data)); moved != 0 {
		return b.at(moved)
	}
	return data[atKey+int(binary.LittleEndian.Uint16(data[atKeyLen:])):]
}

func (b *buffer) key(r row) []byte {
	data := b.at(r)
	end := atKey + int(binary.LittleEndian.Uint16(data[atKeyLen:]))
	return data[atKey:end:end]
}

// value returns a row's value, nil for no such row.
func (b *buffer) value(r row) []byte {
	data := b.at(r)
	if data[atFlags]&exists == 0 {
		return nil
	}
	length := binary.LittleEndian.Uint32(data[atLength:])
	return b.room(data)[:length:length]
}

// is reports whether a row has all of some flags.
func (b *buffer) is(r row, flags byte) bool { return b.at(r)[atFlags]&flags == flags }

func (b *buffer) flags(r row) byte { return b.at(r)[atFlags] }

func (b *buffer) setFlags(r row, flags byte) { b.at(r)[atFlags] = flags }

// mark notes that a row is written.
func (b *buffer) mark(r row) {
	flags := b.flags(r)
	if flags&listed == 0 {
		b.marked = append(b.marked, r)
	}
	b.setFlags(r, flags|dirty|listed)
}

// chain lists the rows that came since with their owners. These are lists of numbers,
// for a walk from row to row would wait for each in turn, wherever it is in memory.
func (b *buffer) chain() {
	for _, r := range b.loose {
		owner := ownerOf(b.key(r))
		hash := hashOf(owner)
		root := b.row(hash, owner)
		if root == 0 {
			root = b.insert(hash, owner, rootRoom)
		}
		b.enlist(root, r)
	}
	b.loose = b.loose[:0]
}

// rootRoom is room for a few rows.
const rootRoom = 16

// enlist adds a row to the list of a root.
func (b *buffer) enlist(root, r row) {
	data := b.at(root)
	list := b.list(root)
	if room := binary.LittleEndian.Uint32(data[atRoom:]); uint32(len(list)+4) > room {
		moved, larger := b.take(2 * int(room))
		copy(larger, list)
		binary.LittleEndian.PutUint32(data[atValue:], uint32(moved))
		binary.LittleEndian.PutUint32(data[atRoom:], uint32(len(larger)))
	}
	binary.LittleEndian.PutUint32(b.room(data)[len(list):], uint32(r))
	binary.LittleEndian.PutUint32(data[atLength:], uint32(len(list)+4))
}

// list returns the list of a root, four bytes a row.
func (b *buffer) list(root row) []byte {
	data := b.at(root)
	return b.room(data)[:binary.LittleEndian.Uint32(data[atLength:])]
}

// ofOwner yields the rows of the owner that a prefix begins with. Rows that are gone it
// drops first, unless the buffer is not to change any more.
func (b *buffer) ofOwner(prefix []byte, final bool) iter.Seq[row] {
	return func(yield func(row) bool) {
		if len(b.loose) > 0 {
			b.chain()
		}
		owner := ownerOf(prefix)
		root := b.row(hashOf(owner), owner)
		if root == 0 {
			return
		}
		if !final {
			b.dropGone(root)
		}
		for list := b.list(root); len(list) > 0; list = list[4:] {
			if !yield(row(binary.LittleEndian.Uint32(list))) {
				return
			}
		}
	}
}

// dropGone drops the rows of a root's list that are gone.
func (b *buffer) dropGone(root row) {
	list := b.list(root)
	left := list[:0]
	for ; len(list) > 0; list = list[4:] {
		if r := row(binary.LittleEndian.Uint32(list)); b.is(r, gone) {
			b.drop(r)
		} else {
			left = append(left, list[:4]...)
		}
	}
	binary.LittleEndian.PutUint32(b.at(root)[atLength:], uint32(len(left)))
}

// rows yields all rows, in no order.
func (b *buffer) rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, s := range b.slots {
			if s != 0 && !yield(s.row()) {
				return
			}
		}
	}
}

// ownerOf returns the part of a list's key that says whose it is.
func ownerOf(key []byte) []byte {
	owner, _, _ := bytes.Cut(key, []byte{0})
	return owner
}

// take takes so many bytes of the slabs, and what is left of the last step.
func (b *buffer) take(size int) (row, []byte) {
	size = (size + rowStep - 1) &^ (rowStep - 1)
	if len(b.slabs) == 0 || b.used >= slabSize || b.used+size > len(b.slabs[b.current]) {
		b.nextSlab(size) // a row that began past slabSize would have a number of the next slab's
	}
	r := row(b.current<<slabBits | b.used/rowStep)
	data := b.slabs[b.current][b.used : b.used+size : b.used+size]
	b.used += size
	return r, data
}

// nextSlab begins a slab that has room for so many bytes: one that was used before
// forget, or a new one. The first ones are small, for batches are.
func (b *buffer) nextSlab(room int) {
	b.full += b.used
	for b.current+1 < len(b.slabs) {
		b.current, b.used = b.current+1, 0
		if len(b.slabs[b.current]) >= room {
			return
		}
	}
	b.used = 0
	if len(b.slabs) == 0 {
		b.used = rowStep // row 0 is none
	}
	b.slabs = append(b.slabs, newMemory(max(slabOf(len(b.slabs)), b.used+room)))
	b.current = len(b.slabs) - 1
}

// slabOf is how large the nth slab of a buffer is made.
func slabOf(n int) int {
	if n < 6 {
		return 4096 << n
	}
	return min(mapped<<((n-6)/2), slabSize)
}

// held is how many bytes the buffer takes, about.
func (b *buffer) held() int { return b.full + b.used + len(b.slots)*8 + cap(b.marked)*4 }

// wipes has what changes or is forgotten overwritten: tests then see who still holds it.
var wipes bool

func overwrite(data []byte) {
	for n := copy(data, "\xA5"); n > 0 && n < len(data); n *= 2 {
		copy(data[n:], data[:n])
	}
}

// forget empties a buffer. The room that a live batch needs it keeps for the next one.
func (b *buffer) forget() {
	if wipes && len(b.slabs) > 0 {
		for _, slab := range b.slabs[:b.current] {
			overwrite(slab)
		}
		overwrite(b.slabs[b.current][:b.used])
	}
	if b.held() > mapped {
		b.discard()
		return
	}
	if b.taken > 0 {
		clear(b.slots)
	}
	b.taken, b.recent, b.marked, b.loose = 0, 0, b.marked[:0], b.loose[:0]
	for class := range b.free {
		b.free[class] = b.free[class][:0]
	}
	b.current, b.used, b.full = 0, rowStep, 0
}

// discard empties a buffer, and keeps nothing.
func (b *buffer) discard() {
	freeMemory(b.slotted)
	for _, slab := range b.slabs {
		freeMemory(slab)
	}
	*b = buffer{}
}

// giveBack is for an empty buffer that may not be used again: the collector does not
// know of room beside the heap.
func (b *buffer) giveBack() {
	if len(b.slotted) >= mapped || slices.ContainsFunc(b.slabs, func(slab []byte) bool { return len(slab) >= mapped }) {
		b.discard()
	}
}

var hashSeed = maphash.MakeSeed()

// hashOf returns the hash of a key. The slots of eight places in a row lie side by side,
// in one line of the caches, for records come in order.
func hashOf(key []byte) uint64 {
	if len(key) == 8 && key[0] == 0 { // a place: no id has a zero byte
		n := binary.BigEndian.Uint64(key)
		return n>>3*filterMix&^(7<<32) | n&7<<32
	}
	return maphash.Bytes(hashSeed, key)
}
