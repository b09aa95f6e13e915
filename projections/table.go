package projections

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// table is one nested bucket behind a write buffer. Reads see the buffer first, then
// the one that is being written behind (see writer), then the file; flush writes a
// buffer in key order. Without flush nothing is written, which is how Check throws its
// writes away. What get and scan return is valid until that row changes or the batch
// ends, and must not be changed.
type table struct {
	projector, name string
	fill            float64
	lists           bool // keys begin with an owner and a zero byte, and scan is asked for an owner's
	batch           *batch
	bucket          *bolt.Bucket // nil until first used in this transaction
	cursor          *bolt.Cursor // of bucket, for get: a bucket's own Get makes a new one each time
	stored          *filter      // of the keys that may be in the file; nil: ask the file
	sought          []byte       // by cursor
	buffer
	behind buffer // of what was decided before it; not changed any more
}

// How full pages are left when they split. Rows whose keys ascend are never
// followed by an insert between them; the others are.
const (
	ascending = 0.95
	scattered = 0.6
)

// batch is what the tables of one transaction share.
type batch struct {
	tx    *bolt.Tx // that reads
	keeps bool     // what is read is kept in the buffers: it will be asked for again
	undo  []change // of the projector at work, on the record at work
	was   []byte   // values that undo restores
	gone  []change // rows that were removed and need not be kept
	inDB  bool     // a bbolt call is under way: a panic now is the file's fault
	blank []byte   // see table.blank
}

// change is how a row was before the current projector wrote it.
type change struct {
	table *table
	row   row
	flags byte
	was   int // length of its value, which ends batch.was up to here
}

// rollback takes back what was written since the last settle.
func (b *batch) rollback() {
	for _, c := range slices.Backward(b.undo) {
		var value []byte
		if rest := len(b.was) - c.was; c.flags&exists != 0 {
			value, b.was = b.was[rest:], b.was[:rest]
		}
		c.table.set(c.row, value)
		c.table.setFlags(c.row, c.flags|c.table.flags(c.row)&listed)
	}
	b.gone = b.gone[:0]
	b.settle()
}

// settle makes what was written final, as far as this transaction goes.
func (b *batch) settle() {
	for _, c := range b.gone {
		switch flags := c.table.flags(c.row); {
		case flags&(fresh|exists) != fresh:
		case c.table.lists: // a row of its chain is dropped by who walks along it
			c.table.setFlags(c.row, flags|gone)
		default:
			c.table.drop(c.row)
		}
	}
	b.undo, b.was, b.gone = b.undo[:0], b.was[:0], b.gone[:0]
}

// open returns the table's bucket.
func (t *table) open() *bolt.Bucket {
	if t.bucket == nil {
		t.bucket = t.bucketIn(t.batch.tx)
		t.cursor = t.bucket.Cursor()
	}
	return t.bucket
}

// bucketIn returns the table's bucket in a transaction.
func (t *table) bucketIn(tx *bolt.Tx) (bucket *bolt.Bucket) {
	if top := tx.Bucket([]byte(t.projector)); top != nil {
		bucket = top.Bucket([]byte(t.name))
	}
	if bucket == nil {
		panic(damage("bucket " + t.projector + "/" + t.name + " is missing"))
	}
	return bucket
}

// get returns the row of a key, or nil.
func (t *table) get(key []byte) []byte {
	if r := t.again(key); r != 0 && t.is(r, known) {
		return t.value(r)
	}
	if t.taken+t.behind.taken == 0 && t.stored != nil && t.stored.empty() {
		return nil
	}
	hash := hashOf(key)
	if value, ok := t.remembered(hash, key); ok {
		return value
	}
	value, asked := t.fetch(hash, key)
	if !asked || !t.batch.keeps {
		return value
	}
	r := t.rowOf(hash, key, len(value))
	t.set(r, value)
	return t.value(r)
}

// hold returns the row of a key, in the buffer: with write it is a get and a put for
// one search. One that is new has room for a value.
func (t *table) hold(hash uint64, key []byte, room int) row {
	r := t.find(hash, key)
	if r == 0 {
		var value []byte
		if older := t.behind.find(hash, key); older != 0 {
			value = t.behind.value(older)
		} else {
			value, _ = t.fetch(hash, key)
		}
		r = t.rowOf(hash, key, max(room, len(value)))
		t.set(r, value)
	}
	return r
}

// fetch returns the row of a key as the file has it, if it need be asked.
func (t *table) fetch(hash uint64, key []byte) (value []byte, asked bool) {
	if t.stored != nil && !t.stored.has(hash) {
		return nil, false
	}
	t.batch.inDB = true
	value = t.lookup(key)
	t.batch.inDB = false
	return value, true
}

// remembered returns the row of a key as the buffers have it, if they do.
func (t *table) remembered(hash uint64, key []byte) (value []byte, ok bool) {
	if r := t.find(hash, key); r != 0 {
		return t.value(r), true
	}
	if r := t.behind.find(hash, key); r != 0 {
		return t.behind.value(r), true
	}
	return nil, false
}

// lookup returns the row of a key as the file has it. Nothing is written before
// flush, so the cursor stays good until then.
func (t *table) lookup(key []byte) []byte {
	t.open()
	t.sought = append(t.sought[:0], key...) // which keeps key off the heap
	if k, v := t.cursor.Seek(t.sought); bytes.Equal(k, key) {
		return v
	}
	return nil
}

func (t *table) has(key []byte) bool { return t.get(key) != nil }

// put writes a row, of which it keeps a copy. value must not be empty.
func (t *table) put(key, value []byte) {
	r := t.again(key)
	if r == 0 {
		r = t.rowOf(hashOf(key), key, len(value)+len(value)/4)
	}
	t.write(r, value)
}

// write is put for a row in the buffer.
func (t *table) write(r row, value []byte) {
	b, was := t.batch, t.value(r)
	b.undo, b.was = append(b.undo, change{t, r, t.flags(r), len(was)}), append(b.was, was...)
	t.set(r, value)
	t.mark(r)
}

// blank is room to write the value for a put in.
func (t *table) blank() []byte {
	if t.batch.blank == nil {
		t.batch.blank = make([]byte, 0, 4096)
	}
	return t.batch.blank
}

// remove deletes a row; one that is not there is no error. Of one that the file does
// not have nothing is left.
func (t *table) remove(key []byte) { t.erase(t.rowOf(hashOf(key), key, 0)) }

// erase is remove for a row in the buffer.
func (t *table) erase(r row) {
	t.write(r, nil)
	if c := t.batch.undo[len(t.batch.undo)-1]; t.is(c.row, fresh) {
		t.batch.gone = append(t.batch.gone, c)
	}
}

// rowOf returns a key's row in the buffer, which may be a new one with room for a value.
func (t *table) rowOf(hash uint64, key []byte, room int) row {
	if r := t.row(hash, key); r != 0 {
		return r
	}
	r := t.insert(hash, key, room)
	if t.lists {
		t.loose = append(t.loose, r)
	}
	if t.stored != nil && !t.stored.has(hash) && t.behind.row(hash, key) == 0 {
		t.setFlags(r, t.flags(r)|fresh)
	}
	return r
}

// scan yields the rows whose keys start with prefix, in key order from the first
// key not before from. It costs a pass over the whole buffer, but for a table that
// lists: over the owner's part of it.
func (t *table) scan(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		if bytes.Compare(from, prefix) < 0 {
			from = prefix
		}
		buffered := t.buffered(prefix, from)
		var c *bolt.Cursor
		var k, v []byte
		if t.mayStore(prefix) {
			c = t.open().Cursor()
			k, v = c.Seek(from)
		}
		for {
			stored := k != nil && bytes.HasPrefix(k, prefix)
			order := 1 // of the two, the file's comes first
			if len(buffered) > 0 {
				order = -1
				if stored {
					order = bytes.Compare(buffered[0].key, k)
				}
			}
			switch {
			case order <= 0:
				next := buffered[0]
				buffered = buffered[1:]
				if order == 0 {
					k, v = c.Next()
				}
				if next.value != nil && !yield(next.key, next.value) {
					return
				}
			case stored:
				if !yield(k, v) {
					return
				}
				k, v = c.Next()
			default:
				return
			}
		}
	}
}

// mayStore reports whether the file may have rows whose keys start with prefix.
func (t *table) mayStore(prefix []byte) bool {
	return t.stored == nil || !t.lists || t.stored.has(hashOf(ownerOf(prefix)))
}

// scanned is a row of a buffer, by its bytes.
type scanned struct{ key, value []byte }

// buffered returns the rows that the buffers have for scan, removed ones too.
func (t *table) buffered(prefix, from []byte) (found []scanned) {
	wanted := func(b *buffer, r row) bool {
		key := b.key(r)
		return b.is(r, known) && bytes.HasPrefix(key, prefix) && bytes.Compare(key, from) >= 0
	}
	for r := range t.candidates(&t.buffer, prefix, false) {
		if wanted(&t.buffer, r) {
			found = append(found, scanned{t.key(r), t.value(r)})
		}
	}
	for r := range t.candidates(&t.behind, prefix, true) {
		if key := t.behind.key(r); wanted(&t.behind, r) && t.find(hashOf(key), key) == 0 {
			found = append(found, scanned{key, t.behind.value(r)})
		}
	}
	slices.SortFunc(found, func(a, b scanned) int { return bytes.Compare(a.key, b.key) })
	return found
}

// candidates yields the rows of a buffer whose keys may start with prefix.
func (t *table) candidates(b *buffer, prefix []byte, final bool) iter.Seq[row] {
	if t.lists {
		return b.ofOwner(prefix, final)
	}
	return b.rows()
}

// numbered yields the rows, as far as there are any, whose keys are prefix with a
// number from first to last behind it. Unlike scan it costs no pass over the
// buffer, and unlike get it keeps nothing in it.
func (t *table) numbered(prefix []byte, first, last uint64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		key := binary.BigEndian.AppendUint64(slices.Clip(prefix), first)
		c := t.open().Cursor()
		k, v := c.Seek(key)
		for n := first; n <= last; n++ {
			var row []byte
			binary.BigEndian.PutUint64(key[len(prefix):], n)
			if bytes.Equal(k, key) {
				row = v
				k, v = c.Next()
			}
			if value, ok := t.remembered(hashOf(key), key); ok {
				row = value
			}
			if row != nil && !yield(row) {
				return
			}
		}
	}
}

// before yields the stored rows whose keys start with prefix and lie before
// bound, last first. It is for queries: it does not look into the buffer.
func (t *table) before(prefix, bound []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		c := t.open().Cursor()
		for k, v := seekBefore(c, bound); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Prev() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// seekBefore moves c to the last row before bound.
func seekBefore(c *bolt.Cursor, bound []byte) (key, value []byte) {
	if k, _ := c.Seek(bound); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// flush writes what a buffer changed into the table's bucket, in key order, which
// keeps bbolt on the page it is at. It returns how many rows that were, and their bytes.
func (t *table) flush(b *buffer, bucket *bolt.Bucket) (rows, size int, err error) {
	bucket.FillPercent = t.fill
	for key, value := range b.written() {
		if value == nil {
			err = bucket.Delete(key)
		} else {
			err = bucket.Put(key, value)
		}
		if err != nil {
			return rows, size, fmt.Errorf("writing %s/%s: %w", t.projector, t.name, err)
		}
		rows++
		size += len(key) + len(value)
	}
	return rows, size, nil
}

// noteStored has the filter know what a buffer's flush will have written.
func (t *table) noteStored(b *buffer) {
	if t.stored == nil {
		return
	}
	for _, r := range b.marked {
		if !b.is(r, dirty|exists) {
			continue
		}
		key := b.key(r)
		room := t.stored.add(hashOf(key))
		if owner := hashOf(ownerOf(key)); t.lists && !t.stored.has(owner) {
			room = t.stored.add(owner) && room
		}
		if !room {
			t.stored = nil
			return
		}
	}
}

// release lets go of the transaction that ended.
func (t *table) release() { t.bucket, t.cursor = nil, nil }
