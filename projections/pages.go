package projections

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"iter"
	"maps"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// pageFile writes a whole bbolt file front to back: rows that are at hand in the order
// of their keys become full pages one after the other, and the pages above them as they
// fill. Bucket.Put finds a row's place, keeps its page in memory and splits it, which
// costs several times as much. What is written follows bbolt's file format 2, in the
// machine's byte order as bbolt does:
//
//	page 0, 1   where the tree begins, twice
//	page 2      the free pages: none
//	page 3...   leaf and branch pages, those of a bucket before those of the one it is in
//
// After an error nothing more is written, and close returns it. A file is not valid
// before close.
type pageFile struct {
	file     *os.File
	pageSize int
	buf      []byte // used bytes of it are pages that are not written yet
	used     int
	next     uint64 // id of the next page
	err      error
}

// See internal/common/page.go, meta.go and bucket.go of bbolt.
const (
	pageHeader   = 16 // id, kind, elements, how many pages more it takes
	pageElement  = 16 // of a row or a branch
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10
	ofBucket     = 0x01 // an element's flag

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	firstPage   = 3 // behind those that every file has
)

const pageBuffer = 256 << 10 // what a processor keeps close by

// createPages begins a file, over one that may be there.
func createPages(path string) (*pageFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	f := &pageFile{file: file, pageSize: os.Getpagesize(), next: firstPage}
	f.buf = make([]byte, max(pageBuffer, firstPage*f.pageSize))
	_, f.err = file.Seek(int64(firstPage*f.pageSize), 0)
	return f, nil
}

// rows writes a bucket's rows, whose keys ascend, and returns the page it begins with.
// Pages are filled up to fill of their size; a row that is larger has pages of its own.
// Keys and values must stay as they are until it returns.
func (f *pageFile) rows(fill float64, rows iter.Seq2[[]byte, []byte]) (root uint64) {
	t := btree{file: f, fill: int(fill * float64(f.pageSize)), levels: make([]level, 1, 8)}
	for key, value := range rows {
		switch {
		case len(key) > bolt.MaxKeySize:
			f.fail(bolterrors.ErrKeyTooLarge)
		case len(value) > bolt.MaxValueSize:
			f.fail(bolterrors.ErrValueTooLarge)
		}
		if f.err != nil {
			return 0
		}
		t.add(0, element{key: key, value: value})
	}
	return t.finish()
}

// buckets writes a bucket that holds others, by name with the pages they begin with.
func (f *pageFile) buckets(roots map[string]uint64) (root uint64) {
	t := btree{file: f, fill: f.pageSize / 2, levels: make([]level, 1, 8)}
	for _, name := range slices.Sorted(maps.Keys(roots)) {
		value := binary.NativeEndian.AppendUint64(nil, roots[name])
		value = binary.NativeEndian.AppendUint64(value, 0) // its sequence
		t.add(0, element{key: []byte(name), value: value, flags: ofBucket})
	}
	return t.finish()
}

// close ends the file with the bucket that holds all others. synced: it is on disk then.
func (f *pageFile) close(root uint64, synced bool) error {
	f.write()
	head := make([]byte, firstPage*f.pageSize)
	for id := range uint64(2) {
		f.meta(head[id*uint64(f.pageSize):], id, root)
	}
	putHeader(head[2*f.pageSize:], 2, freelistPage, 0, 0)
	if f.err == nil {
		_, f.err = f.file.WriteAt(head, 0)
	}
	if f.err == nil && synced {
		f.err = f.file.Sync()
	}
	return errors.Join(f.err, f.file.Close())
}

// meta is the page that says where all begins. bbolt goes by the one of the two whose
// transaction is later.
func (f *pageFile) meta(page []byte, id, root uint64) {
	putHeader(page, id, metaPage, 0, 0)
	b := page[pageHeader:pageHeader]
	for _, n := range []uint32{boltMagic, boltVersion, uint32(f.pageSize), 0} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	const sequence, freelist = 0, 2
	for _, n := range []uint64{root, sequence, freelist, f.next, id} {
		b = binary.NativeEndian.AppendUint64(b, n)
	}
	sum := fnv.New64a()
	sum.Write(b)
	binary.NativeEndian.AppendUint64(b, sum.Sum64())
}

// room returns the bytes of the next page, which is so long, and its id. What they hold
// is not zero.
func (f *pageFile) room(size int) (page []byte, id uint64) {
	pages := (size + f.pageSize - 1) / f.pageSize
	size = pages * f.pageSize
	if f.used+size > len(f.buf) {
		f.write()
		if size > len(f.buf) {
			f.buf = make([]byte, size)
		}
	}
	id = f.next
	f.next += uint64(pages)
	page = f.buf[f.used : f.used+size]
	f.used += size
	return page, id
}

// write gives the file what is in the buffer.
func (f *pageFile) write() {
	if f.err == nil {
		_, f.err = f.file.Write(f.buf[:f.used])
	}
	f.used = 0
}

func (f *pageFile) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func putHeader(page []byte, id uint64, kind uint16, elements, more int) {
	binary.NativeEndian.PutUint64(page, id)
	binary.NativeEndian.PutUint16(page[8:], kind)
	binary.NativeEndian.PutUint16(page[10:], uint16(elements))
	binary.NativeEndian.PutUint32(page[12:], uint32(more))
}

// btree is the tree of one bucket while it is written: of every level the page that is
// being filled.
type btree struct {
	file   *pageFile
	fill   int // bytes up to which a page is filled
	levels []level
	last   []byte // the last key of the last page of rows
}

// level is the page that is being filled of one level; the lowest holds rows.
type level struct {
	elements []element
	size     int // of the page with all elements
	cut      int // elements of them fill a page; 0: more may come
	cutSize  int // of that page
}

// element is a row, or the first key of a page below.
type element struct {
	key, value []byte
	flags      uint32
	page       uint64 // of a branch
}

func (e *element) size() int { return pageElement + len(e.key) + len(e.value) }

// minElements is how many elements a page has at least, but for a bucket's only one: bbolt
// does not expect a branch with a single page below it.
func minElements(depth int) int {
	if depth == 0 {
		return 1
	}
	return 2
}

// add puts an element on a level. A full page is written as soon as there are enough
// elements for one behind it.
func (t *btree) add(depth int, e element) {
	if depth == len(t.levels) {
		t.levels = append(t.levels, level{})
	}
	l := &t.levels[depth]
	if l.size == 0 {
		l.size = pageHeader
	}
	if n := len(l.elements); l.cut == 0 && n >= minElements(depth) && l.size+e.size() > t.fill {
		l.cut, l.cutSize = n, l.size
	}
	l.elements = append(l.elements, e)
	l.size += e.size()
	if l.cut > 0 && len(l.elements)-l.cut >= minElements(depth) {
		t.split(depth)
	}
}

// split writes the page that is full of a level, and leaves the rest.
func (t *btree) split(depth int) {
	l := &t.levels[depth]
	first := l.elements[0].key
	page := t.page(depth, l.elements[:l.cut], l.cutSize)
	l.elements = l.elements[:copy(l.elements, l.elements[l.cut:])]
	l.size -= l.cutSize - pageHeader
	l.cut, l.cutSize = 0, 0
	t.add(depth+1, element{key: first, page: page})
}

// finish writes what is left of every level, and returns the page at the top.
func (t *btree) finish() (root uint64) {
	for depth := 0; ; depth++ {
		l := &t.levels[depth]
		page := t.page(depth, l.elements, max(l.size, pageHeader))
		if depth == len(t.levels)-1 {
			return page
		}
		t.add(depth+1, element{key: l.elements[0].key, page: page})
	}
}

// page writes a page and returns its id.
func (t *btree) page(depth int, elements []element, size int) uint64 {
	page, id := t.file.room(size)
	kind := uint16(leafPage)
	if depth > 0 {
		kind = branchPage
	}
	putHeader(page, id, kind, len(elements), len(page)/t.file.pageSize-1)
	at, data := pageHeader, pageHeader+pageElement*len(elements)
	for i := range elements {
		e := &elements[i]
		head := page[at : at+pageElement]
		if kind == leafPage {
			if bytes.Compare(t.last, e.key) >= 0 {
				t.file.fail(errors.New("rows are not in the order of their keys"))
			}
			t.last = e.key
			binary.NativeEndian.PutUint32(head, e.flags)
			binary.NativeEndian.PutUint32(head[4:], uint32(data-at))
			binary.NativeEndian.PutUint32(head[8:], uint32(len(e.key)))
			binary.NativeEndian.PutUint32(head[12:], uint32(len(e.value)))
		} else {
			binary.NativeEndian.PutUint32(head, uint32(data-at))
			binary.NativeEndian.PutUint32(head[4:], uint32(len(e.key)))
			binary.NativeEndian.PutUint64(head[8:], e.page)
		}
		at += pageElement
		data += copy(page[data:], e.key)
		data += copy(page[data:], e.value)
	}
	clear(page[data:])
	return id
}
