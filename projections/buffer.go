package projections

import (
	"bytes"
	"hash/maphash"
	"iter"
	"math"
)

// buffer holds rows that a batch has read or written: a hash table by key that keeps
// its bytes in slabs and points to them by offsets. A load holds millions of rows, and
// one whole pass of the garbage collector over as many pointers would cost as much as
// deciding their records does.
//
// What it returns is valid until forget.
type buffer struct {
	slots   []slot // a power of two, at most half full
	rows    []row
	dirty   []uint32          // rows that were written, in the order they first were
	last    map[string]uint32 // 1 + the last row of each owner, of a table that lists
	slabs   [][]byte
	used    int // bytes of the last slab
	current int // index of the last slab
}

// slot points to a row: the upper half of its key's hash, then 1 + its index. 0 points to
// none. Most slots that are passed by are told by their hashes, without a look at rows
// that lie elsewhere in memory.
type slot uint64

func slotOf(hash uint64, i int) slot { return slot(hash&^math.MaxUint32) | slot(i+1) }

func (s slot) index() int { return int(uint32(s)) - 1 }

func (s slot) may(hash uint64) bool { return uint64(s)>>32 == hash>>32 }

// home is where the search for a hash begins.
func (b *buffer) home(hash uint64) int { return int(hash>>32) & (len(b.slots) - 1) }

// row is one row of a buffer. Offsets count through all slabs, each of which stands for
// 1<<slabBits, however long it is.
type row struct {
	key, value       uint64 // offsets
	keyLen, valueLen uint32
	before           uint32 // 1 + the row before this one of the same owner, 0 for none
	known            bool   // false: what the file has is not known, as if it were not here
	there            bool   // false: no such row
	dirty            bool
}

const (
	slabBits = 32
	slabSize = 1 << 20
)

// find returns the index of the row of a key, -1 for none that is known.
func (b *buffer) find(hash uint64, key []byte) int {
	if i := b.index(hash, key); i >= 0 && b.rows[i].known {
		return i
	}
	return -1
}

// index returns the index of a key's row, known or not, -1 for none.
func (b *buffer) index(hash uint64, key []byte) int {
	if len(b.slots) == 0 {
		return -1
	}
	for at := b.home(hash); ; at = (at + 1) & (len(b.slots) - 1) {
		s := b.slots[at]
		if s == 0 {
			return -1
		}
		if s.may(hash) && bytes.Equal(b.key(s.index()), key) {
			return s.index()
		}
	}
}

// insert adds a row for a key that has none, with nothing known of it.
func (b *buffer) insert(hash uint64, key []byte) int {
	if 2*(len(b.rows)+1) > len(b.slots) {
		b.grow()
	}
	i := len(b.rows)
	b.rows = append(b.rows, row{key: b.keep(key), keyLen: uint32(len(key))})
	b.place(slotOf(hash, i))
	return i
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
	old := b.slots
	b.slots = make([]slot, max(64, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			b.place(s)
		}
	}
}

// set gives a row a value, nil for no such row.
func (b *buffer) set(i int, value []byte) {
	r := &b.rows[i]
	r.known, r.there = true, value != nil
	r.value, r.valueLen = b.keep(value), uint32(len(value))
}

// chain adds a row to those of its owner.
func (b *buffer) chain(i int) {
	if b.last == nil {
		b.last = make(map[string]uint32)
	}
	owner := ownerOf(b.key(i))
	b.rows[i].before = b.last[string(owner)]
	b.last[string(owner)] = uint32(i + 1)
}

// ofOwner yields the rows of the owner that a prefix begins with.
func (b *buffer) ofOwner(prefix []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := b.last[string(ownerOf(prefix))]; i != 0 && yield(int(i-1)); {
			i = b.rows[i-1].before
		}
	}
}

// ownerOf returns the part of a list's key that says whose it is.
func ownerOf(key []byte) []byte {
	owner, _, _ := bytes.Cut(key, []byte{0})
	return owner
}

func (b *buffer) key(i int) []byte { return b.slice(b.rows[i].key, b.rows[i].keyLen) }

// value returns a row's value, nil for no such row.
func (b *buffer) value(i int) []byte {
	r := &b.rows[i]
	if !r.there {
		return nil
	}
	return b.slice(r.value, r.valueLen)
}

// keep copies bytes into the slabs.
func (b *buffer) keep(data []byte) uint64 {
	if len(b.slabs) == 0 || b.used+len(data) > len(b.slabs[b.current]) {
		b.nextSlab(len(data))
	}
	at := uint64(b.current)<<slabBits | uint64(b.used)
	b.used += copy(b.slabs[b.current][b.used:], data)
	return at
}

// nextSlab begins a slab that has room for so many bytes: one that was used before
// forget, or a new one. The first ones are small, for batches are.
func (b *buffer) nextSlab(room int) {
	for b.current+1 < len(b.slabs) {
		b.current, b.used = b.current+1, 0
		if len(b.slabs[b.current]) >= room {
			return
		}
	}
	size := min(slabSize, 4096<<min(len(b.slabs), 16))
	b.slabs = append(b.slabs, make([]byte, max(size, room)))
	b.current, b.used = len(b.slabs)-1, 0
}

func (b *buffer) slice(offset uint64, length uint32) []byte {
	at := offset & math.MaxUint32
	end := at + uint64(length)
	return b.slabs[offset>>slabBits][at:end:end]
}

// held is how many bytes the buffer takes, about.
func (b *buffer) held() int {
	const rowCost = 32 + 3*8 + 4 // the row, its slots and its mark
	return b.current*slabSize + b.used + len(b.rows)*rowCost
}

// wipes makes forget overwrite what it forgets: tests then see who still holds it.
var wipes bool

// forget empties a buffer. The room that a live batch needs it keeps for the next one.
func (b *buffer) forget() {
	if wipes && len(b.slabs) > 0 {
		for _, slab := range append(b.slabs[:b.current:b.current], b.slabs[b.current][:b.used]) {
			for i := range slab {
				slab[i] = 0xA5
			}
		}
	}
	if len(b.rows) > 1<<16 || len(b.slabs) > 16 {
		*b = buffer{}
		return
	}
	clear(b.slots)
	clear(b.last)
	b.rows, b.dirty = b.rows[:0], b.dirty[:0]
	b.current, b.used = 0, 0
}

var hashSeed = maphash.MakeSeed()

func hashOf(key []byte) uint64 { return maphash.Bytes(hashSeed, key) }
