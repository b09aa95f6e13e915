package projections

import (
	"encoding/binary"

	"roomlog/schema"
)

// Rows are sequences of fields: unsigned integers and moments as varints, texts
// with their length before them. What a row holds stands at the type that has
// its encode method; a change of it raises the projector's version. Bytes of what a row
// is decoded to are a part of the row, and good until that is written.

// damage is the panic of a row that cannot be read: the file is damaged, which
// no projector can help.
type damage string

func appendText[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendTime(b []byte, t schema.Time) []byte {
	return binary.AppendVarint(b, int64(t))
}

// fields reads the fields of a row in order. It panics with damage at the end.
type fields struct{ rest []byte }

func (f *fields) uint() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 {
		panic(damage("a row ends within a number"))
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) time() schema.Time {
	n, size := binary.Varint(f.rest)
	if size <= 0 {
		panic(damage("a row ends within a time"))
	}
	f.rest = f.rest[size:]
	return schema.Time(n)
}

func (f *fields) bytes() []byte {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		panic(damage("a row ends within a text"))
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) text() string { return string(f.bytes()) }

// part is text as a part of the whole row, which keeps that in memory.
func (f *fields) part(whole string) string {
	n := len(f.bytes())
	end := len(whole) - len(f.rest)
	return whole[end-n : end]
}

// keyRoom is room for most keys, on the stack of who looks them up: the functions that
// make them are small enough to be inlined, and tables keep copies.
const keyRoom = 96

// pair is the key of a relation: all of a's lie together, in the order of b. No
// id holds a zero byte.
func pair(a, b string) []byte {
	return append(append(append(make([]byte, 0, keyRoom), a...), 0), b...)
}

// place is the key of an entry in a list of owner's, in the order of the log.
func place(owner string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(owned(owner), seq)
}

// owned is the prefix of all keys that pair and place make for owner.
func owned(owner string) []byte {
	return append(append(make([]byte, 0, keyRoom), owner...), 0)
}

// seqKey is the key of what one record made.
func seqKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), seq)
}

// within is the key of what one record made in something else.
func within(outer, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), outer), seq)
}

// by is the key of what a user did to what one record made.
func by(seq uint64, user string) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, keyRoom), seq), user...)
}

// seqOf reads the place at the end of a key.
func seqOf(key []byte) uint64 {
	if len(key) < 8 {
		panic(damage("a key is too short for a place in the log"))
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
