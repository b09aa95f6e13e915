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
// writes away. Keys and values that get and scan return are valid until the batch
// ends and must not be changed.
type table struct {
	projector, name string
	fill            float64
	lists           bool // keys begin with an owner and a zero byte, and scan is asked for an owner's
	batch           *batch
	bucket          *bolt.Bucket // nil until first used in this transaction
	cursor          *bolt.Cursor // of bucket, for get: a bucket's own Get makes a new one each time
	stored          *filter      // of the keys that may be in the file; nil: ask the file
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
	inDB  bool     // a bbolt call is under way: a panic now is the file's fault
}

// change is how a row was before the current projector wrote it.
type change struct {
	table *table
	index int
	was   row
}

// rollback takes back what was written since the last settle.
func (b *batch) rollback() {
	for _, c := range slices.Backward(b.undo) {
		c.table.rows[c.index] = c.was
	}
	b.settle()
}

// settle makes what was written final, as far as this transaction goes.
func (b *batch) settle() { b.undo = b.undo[:0] }

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
	hash := hashOf(key)
	if value, ok := t.remembered(hash, key); ok {
		return value
	}
	if t.stored != nil && !t.stored.has(hash) {
		return nil
	}
	t.batch.inDB = true
	value := t.lookup(key)
	t.batch.inDB = false
	if !t.batch.keeps {
		return value
	}
	i := t.rowOf(hash, key)
	t.set(i, value)
	return t.value(i)
}

// remembered returns the row of a key as the buffers have it, if they do.
func (t *table) remembered(hash uint64, key []byte) (value []byte, ok bool) {
	if i := t.find(hash, key); i >= 0 {
		return t.value(i), true
	}
	if i := t.behind.find(hash, key); i >= 0 {
		return t.behind.value(i), true
	}
	return nil, false
}

// lookup returns the row of a key as the file has it. Nothing is written before
// flush, so the cursor stays good until then.
func (t *table) lookup(key []byte) []byte {
	t.open()
	if k, v := t.cursor.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

func (t *table) has(key []byte) bool { return t.get(key) != nil }

// put writes a row, of which it keeps a copy. value must not be empty.
func (t *table) put(key, value []byte) {
	i := t.rowOf(hashOf(key), key)
	r := &t.rows[i]
	t.batch.undo = append(t.batch.undo, change{t, i, *r})
	t.set(i, value)
	if !r.dirty {
		r.dirty = true
		t.dirty = append(t.dirty, uint32(i))
	}
}

// remove deletes a row; one that is not there is no error.
func (t *table) remove(key []byte) { t.put(key, nil) }

// rowOf returns the index of a key's row in the buffer, which may be a new one.
func (t *table) rowOf(hash uint64, key []byte) int {
	if i := t.index(hash, key); i >= 0 {
		return i
	}
	i := t.insert(hash, key)
	if t.lists {
		t.chain(i)
	}
	return i
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
		c := t.open().Cursor()
		k, v := c.Seek(from)
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

// scanned is a row of a buffer, by its bytes.
type scanned struct{ key, value []byte }

// buffered returns the rows that the buffers have for scan, removed ones too.
func (t *table) buffered(prefix, from []byte) (found []scanned) {
	wanted := func(b *buffer, i int) bool {
		key := b.key(i)
		return b.rows[i].known && bytes.HasPrefix(key, prefix) && bytes.Compare(key, from) >= 0
	}
	for i := range t.candidates(&t.buffer, prefix) {
		if wanted(&t.buffer, i) {
			found = append(found, scanned{t.key(i), t.value(i)})
		}
	}
	for i := range t.candidates(&t.behind, prefix) {
		if key := t.behind.key(i); wanted(&t.behind, i) && t.find(hashOf(key), key) < 0 {
			found = append(found, scanned{key, t.behind.value(i)})
		}
	}
	slices.SortFunc(found, func(a, b scanned) int { return bytes.Compare(a.key, b.key) })
	return found
}

// candidates yields the rows of a buffer whose keys may start with prefix.
func (t *table) candidates(b *buffer, prefix []byte) iter.Seq[int] {
	if t.lists {
		return b.ofOwner(prefix)
	}
	return func(yield func(int) bool) {
		for i := range b.rows {
			if !yield(i) {
				return
			}
		}
	}
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
	for _, i := range b.inOrder() {
		key, value := b.key(int(i)), b.value(int(i))
		switch {
		case !b.rows[i].dirty:
			continue
		case value == nil:
			err = bucket.Delete(key)
		default:
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
	for _, i := range b.dirty {
		if b.rows[i].dirty && b.rows[i].there && !t.stored.add(hashOf(b.key(int(i)))) {
			t.stored = nil
			return
		}
	}
}

// release lets go of the transaction that ended.
func (t *table) release() { t.bucket, t.cursor = nil, nil }
