package projections

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// table is one nested bucket behind a write buffer. Reads see the buffer first, then
// what is being written behind (see pipeline), then the file; flush writes a buffer
// in key order. Without flush nothing is written, which is how Check throws its
// writes away. Keys and values that get and scan return are valid until the batch
// ends and must not be changed.
type table struct {
	projector, name string
	fill            float64
	batch           *batch
	bucket          *bolt.Bucket // nil until first used in this transaction
	cursor          *bolt.Cursor // of bucket, for get: a bucket's own Get makes a new one each time
	buffer
	behind buffer // of the batch before this one while it is written; not changed any more
}

// buffer holds rows that a batch has read or written.
type buffer struct {
	rows  map[string]*entry
	dirty []*entry // in the order they were first written
}

// entry is a row that this batch has read or written.
type entry struct {
	key   string
	value []byte // nil: no such row
	dirty bool
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
	spare []entry  // entries are made many at a time
	inDB  bool     // a bbolt call is under way: a panic now is the file's fault
}

// change is how a row was before the current projector wrote it.
type change struct {
	table *table
	entry *entry
	fresh bool // the buffer did not have it
	value []byte
}

// rollback takes back what was written since the last settle.
func (b *batch) rollback() {
	for _, c := range slices.Backward(b.undo) {
		if c.fresh {
			delete(c.table.rows, c.entry.key)
			c.entry.dirty = false
		} else {
			c.entry.value = c.value
		}
	}
	b.settle()
}

// settle makes what was written final, as far as this transaction goes.
func (b *batch) settle() {
	clear(b.undo)
	b.undo = b.undo[:0]
}

func (b *batch) newEntry(key string) *entry {
	if len(b.spare) == 0 {
		b.spare = make([]entry, 64)
	}
	e := &b.spare[0]
	b.spare = b.spare[1:]
	e.key = key
	return e
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
	if e := t.find(key); e != nil {
		return e.value
	}
	t.batch.inDB = true
	value := t.stored(key)
	t.batch.inDB = false
	if t.batch.keeps {
		t.remember(string(key)).value = value
	}
	return value
}

// find returns the row of a key as the buffers have it, nil when they do not.
func (t *table) find(key []byte) *entry {
	if e, ok := t.rows[string(key)]; ok {
		return e
	}
	return t.behind.rows[string(key)]
}

// stored returns the row of a key as the file has it. Nothing is written before
// flush, so the cursor stays good until then.
func (t *table) stored(key []byte) []byte {
	t.open()
	if k, v := t.cursor.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

func (t *table) has(key []byte) bool { return t.get(key) != nil }

// put writes a row. The table keeps value, which must not be empty.
func (t *table) put(key, value []byte) {
	e, ok := t.rows[string(key)]
	if !ok {
		e = t.remember(string(key))
	}
	t.batch.undo = append(t.batch.undo, change{t, e, !ok, e.value})
	e.value = value
	if !e.dirty {
		e.dirty = true
		t.dirty = append(t.dirty, e)
	}
}

// remove deletes a row; one that is not there is no error.
func (t *table) remove(key []byte) { t.put(key, nil) }

func (t *table) remember(key string) *entry {
	if t.rows == nil {
		t.rows = make(map[string]*entry)
	}
	e := t.batch.newEntry(key)
	t.rows[key] = e
	return e
}

// scan yields the rows whose keys start with prefix, in key order from the first
// key not before from. It costs a pass over the whole buffer.
func (t *table) scan(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		if bytes.Compare(from, prefix) < 0 {
			from = prefix
		}
		buffered := t.buffered(string(prefix), string(from))
		c := t.open().Cursor()
		k, v := c.Seek(from)
		for {
			stored := k != nil && bytes.HasPrefix(k, prefix)
			switch {
			case len(buffered) > 0 && (!stored || buffered[0].key <= string(k)):
				e := buffered[0]
				buffered = buffered[1:]
				if stored && e.key == string(k) {
					k, v = c.Next()
				}
				if e.value != nil && !yield([]byte(e.key), e.value) {
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

func (t *table) buffered(prefix, from string) []*entry {
	var found []*entry
	for key, e := range t.rows {
		if strings.HasPrefix(key, prefix) && key >= from {
			found = append(found, e)
		}
	}
	for key, e := range t.behind.rows {
		if strings.HasPrefix(key, prefix) && key >= from && t.rows[key] == nil {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, byKey)
	return found
}

func byKey(a, b *entry) int { return strings.Compare(a.key, b.key) }

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
			if e := t.find(key); e != nil {
				row = e.value
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
// keeps bbolt on the page it is at.
func (t *table) flush(b *buffer, bucket *bolt.Bucket) error {
	slices.SortFunc(b.dirty, byKey)
	bucket.FillPercent = t.fill
	for _, e := range b.dirty {
		var err error
		switch {
		case !e.dirty:
		case e.value == nil:
			err = bucket.Delete([]byte(e.key))
		default:
			err = bucket.Put([]byte(e.key), e.value)
		}
		if err != nil {
			return fmt.Errorf("writing %s/%s: %w", t.projector, t.name, err)
		}
	}
	return nil
}

// forget empties a buffer, but keeps its room.
func (b *buffer) forget() {
	clear(b.rows)
	clear(b.dirty)
	b.dirty = b.dirty[:0]
}

// release lets go of the transaction that ended.
func (t *table) release() { t.bucket, t.cursor = nil, nil }
