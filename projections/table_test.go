package projections

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// A table behaves like a map over any series of transactions: what is written is
// read back at once, also while what came before it is being written; rollback takes
// back what one projector wrote, a transaction that is given up leaves nothing.
func TestTableIsAMap(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.StringMatching(`[ab]{1,3}`)
		lists := rapid.Bool().Draw(t, "lists")
		if lists {
			texts = rapid.StringMatching(`[ab]{1,2}\x00[ab]{0,2}`)
		}
		err := db.Update(func(tx *bolt.Tx) error {
			if tx.Bucket([]byte("p")) != nil {
				if err := tx.DeleteBucket([]byte("p")); err != nil {
					return err
				}
			}
			p, err := tx.CreateBucket([]byte("p"))
			if err == nil {
				_, err = p.CreateBucket([]byte("t"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		b := &batch{keeps: true}
		tab := &table{projector: "p", name: "t", fill: scattered, batch: b, lists: lists}
		if rapid.Bool().Draw(t, "filtered") {
			tab.stored = &filter{}
		}
		stored := map[string]string{}
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			b.tx, err = db.Begin(true)
			if err != nil {
				t.Fatal(err)
			}
			now := useTable(t, tab, maps.Clone(stored), texts)
			if rapid.Bool().Draw(t, "goes on") {
				tab.noteStored(&tab.buffer)
				tab.chain()
				tab.buffer, tab.behind = tab.behind, tab.buffer
				now = useTable(t, tab, now, texts)
			}
			commit := rapid.Bool().Draw(t, "commit")
			if commit {
				tab.noteStored(&tab.buffer)
				for _, written := range []*buffer{&tab.behind, &tab.buffer} {
					if _, _, err := tab.flush(written, tab.bucketIn(b.tx)); err != nil {
						t.Fatal(err)
					}
				}
				err = b.tx.Commit()
				stored = now
			} else {
				err = b.tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
			tab.forget()
			tab.behind.forget()
			tab.release()
		}
		if b.tx, err = db.Begin(false); err != nil {
			t.Fatal(err)
		}
		defer b.tx.Rollback()
		checkTable(t, tab, stored, texts)
		checkBackwards(t, tab, stored, texts)
	})
}

// useTable lets a few projectors write, some of which fail.
func useTable(t *rapid.T, tab *table, now map[string]string, texts *rapid.Generator[string]) map[string]string {
	for range rapid.IntRange(1, 4).Draw(t, "projectors") {
		then := maps.Clone(now)
		for range rapid.IntRange(0, 6).Draw(t, "writes") {
			key, value := texts.Draw(t, "key"), ""
			if rapid.IntRange(0, 2).Draw(t, "remove") > 0 {
				value = texts.Draw(t, "value")
			}
			write(t, tab, now[key], key, value)
			if now[key] = value; value == "" {
				delete(now, key)
			}
			checkTable(t, tab, now, texts)
		}
		if rapid.Bool().Draw(t, "fails") {
			tab.batch.rollback()
			now = then
		} else {
			tab.batch.settle()
		}
		checkTable(t, tab, now, texts)
	}
	return now
}

// write puts a value or, if that is "", removes the row, which holds was; with or without
// holding it first.
func write(t *rapid.T, tab *table, was, key, value string) {
	held := row(0)
	if rapid.Bool().Draw(t, "hold") {
		held = tab.hold(hashOf([]byte(key)), []byte(key), rapid.IntRange(0, 4).Draw(t, "room"))
		if got := tab.value(held); string(got) != was || (got != nil) != (was != "") {
			t.Fatalf("held, %q holds %q, want %q", key, got, was)
		}
	}
	switch {
	case held == 0 && value == "":
		tab.remove([]byte(key))
	case held == 0:
		tab.put([]byte(key), []byte(value))
	case value == "":
		tab.erase(held)
	default:
		tab.write(held, []byte(value))
	}
}

func checkTable(t *rapid.T, tab *table, want map[string]string, texts *rapid.Generator[string]) {
	key := texts.Draw(t, "get")
	value, ok := want[key]
	if got := tab.get([]byte(key)); string(got) != value || (got != nil) != ok || tab.has([]byte(key)) != ok {
		t.Fatalf("%q holds %q, want %q", key, got, value)
	}
	prefix := texts.Draw(t, "prefix")
	from := prefix + texts.Draw(t, "from")
	var got, all []string
	for k, v := range tab.scan([]byte(prefix), []byte(from)) {
		got = append(got, string(k)+"="+string(v))
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if strings.HasPrefix(k, prefix) && k >= from {
			all = append(all, k+"="+want[k])
		}
	}
	if !slices.Equal(got, all) {
		t.Fatalf("scan of %q from %q: %v, want %v", prefix, from, got, all)
	}
}

func checkBackwards(t *rapid.T, tab *table, want map[string]string, texts *rapid.Generator[string]) {
	prefix := texts.Draw(t, "prefix")
	bound := prefix + texts.Draw(t, "bound")
	var got, all []string
	for k := range tab.before([]byte(prefix), []byte(bound)) {
		got = append(got, string(k))
	}
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(want))) {
		if strings.HasPrefix(k, prefix) && k < bound {
			all = append(all, k)
		}
	}
	if !slices.Equal(got, all) {
		t.Fatalf("rows of %q before %q: %v, want %v", prefix, bound, got, all)
	}
}
