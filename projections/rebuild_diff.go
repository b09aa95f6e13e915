package projections

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
)

// Difference is how two files differ in one read model.
type Difference struct {
	Projection string    `json:"projection"`
	Rows       int       `json:"rows"` // that differ
	Shown      []RowDiff `json:"shown"`
}

// RowDiff is a row that differs, as people can read it.
type RowDiff struct {
	Table   string `json:"table"`
	Key     Fields `json:"key"`
	Live    Fields `json:"live,omitzero"`    // nil for no such row
	Rebuilt Fields `json:"rebuilt,omitzero"` // nil for no such row
}

func differing(live, rebuilt Digest) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if live.Projections[name] != rebuilt.Projections[name] {
			names = append(names, name)
		}
	}
	return names
}

// diff compares projections row by row. Of each it shows the first so many.
func diff(ctx context.Context, live, rebuilt *bolt.Tx, names []string, show int) ([]Difference, error) {
	var all []Difference
	for _, name := range names {
		d := Difference{Projection: name}
		tables := map[string]bool{}
		for _, tx := range []*bolt.Tx{live, rebuilt} {
			if err := tx.Bucket([]byte(name)).ForEachBucket(func(table []byte) error {
				tables[string(table)] = true
				return nil
			}); err != nil {
				return nil, err
			}
		}
		for _, table := range slices.Sorted(maps.Keys(tables)) {
			a, b := rowsOf(live, name, table), rowsOf(rebuilt, name, table)
			if err := d.table(ctx, table, a, b, show); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// rows walks a table that may not be there.
type rows struct {
	cursor     *bolt.Cursor
	key, value []byte // nil at the end
}

func rowsOf(tx *bolt.Tx, projection, table string) *rows {
	r := &rows{}
	if bucket := tx.Bucket([]byte(projection)).Bucket([]byte(table)); bucket != nil {
		r.cursor = bucket.Cursor()
		r.key, r.value = r.cursor.First()
	}
	return r
}

func (r *rows) next() { r.key, r.value = r.cursor.Next() }

func (d *Difference) table(ctx context.Context, name string, live, rebuilt *rows, show int) error {
	for n := 1; live.key != nil || rebuilt.key != nil; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		order := bytes.Compare(live.key, rebuilt.key)
		switch {
		case live.key == nil:
			order = 1
		case rebuilt.key == nil:
			order = -1
		}
		row := RowDiff{Table: name}
		differ := order != 0 || !bytes.Equal(live.value, rebuilt.value)
		shown := differ && len(d.Shown) < show
		if order <= 0 {
			if shown {
				row.Key, row.Live = describe(d.Projection, name, live.key, live.value)
			}
			live.next()
		}
		if order >= 0 {
			if shown {
				row.Key, row.Rebuilt = describe(d.Projection, name, rebuilt.key, rebuilt.value)
			}
			rebuilt.next()
		}
		if differ {
			d.Rows++
		}
		if shown {
			d.Shown = append(d.Shown, row)
		}
	}
	return nil
}

// maxReadable is how much of a key or a value is shown, in bytes.
const maxReadable = 96

// readable shows bytes: printable text as it is, others as \x00, long ones cut.
func readable(b []byte) string {
	cut := b
	if len(b) > maxReadable {
		cut = b[:maxReadable]
		for len(cut) > 0 && !utf8.RuneStart(b[len(cut)]) {
			cut = cut[:len(cut)-1]
		}
	}
	text := strconv.Quote(string(cut))
	if len(cut) < len(b) {
		text += fmt.Sprintf("… (%d bytes)", len(b))
	}
	return text
}
