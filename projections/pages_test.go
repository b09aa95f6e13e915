package projections

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"pgregory.net/rapid"
)

// bucketOf is what a test puts into a bucket.
type bucketOf struct {
	fill float64
	rows []scanned // ascending
}

func (b bucketOf) all() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, r := range b.rows {
			if !yield(r.key, r.value) {
				return
			}
		}
	}
}

// writePages writes a file of the buckets within one whose name is "top".
func writePages(path string, buckets map[string]bucketOf) error {
	f, err := createPages(path)
	if err != nil {
		return err
	}
	roots := map[string]uint64{}
	for name, b := range buckets {
		roots[name] = f.rows(b.fill, b.all())
	}
	return f.close(f.buckets(map[string]uint64{"top": f.buckets(roots)}), false)
}

// drawRows draws what differs in what it takes: many small rows, some that span pages, and
// long keys, which make the levels above wide.
func drawRows(t *rapid.T) bucketOf {
	size := rapid.SampledFrom([]int{0, 1, 2, 3, 10, 500, 5000}).Draw(t, "rows")
	longest := rapid.SampledFrom([]int{8, 40, 300}).Draw(t, "longest key")
	largest := rapid.SampledFrom([]int{1, 60, 3000, 100_000}).Draw(t, "largest value")
	if largest > 3000 {
		size = min(size, 50)
	} else if largest > 60 {
		size = min(size, 500)
	}
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	b := bucketOf{fill: rapid.SampledFrom([]float64{scattered, ascending, 1}).Draw(t, "fill")}
	for range size {
		b.rows = append(b.rows, scanned{noise(random, 1+random.IntN(longest)), noise(random, 1+random.IntN(largest))})
	}
	slices.SortFunc(b.rows, func(x, y scanned) int { return bytes.Compare(x.key, y.key) })
	b.rows = slices.CompactFunc(b.rows, func(x, y scanned) bool { return bytes.Equal(x.key, y.key) })
	return b
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// checkFile opens a file with bbolt and compares what it has.
func checkFile(t rapid.TB, path string, want map[string]bucketOf) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatalf("bbolt does not open it: %v", err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check: %v", err)
		}
		for name, b := range want {
			checkBucket(t, tx.Bucket([]byte("top")).Bucket([]byte(name)), b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkBucket(t rapid.TB, bucket *bolt.Bucket, want bucketOf) {
	t.Helper()
	c := bucket.Cursor()
	k, v := c.First()
	for i, r := range want.rows {
		if !bytes.Equal(k, r.key) || !bytes.Equal(v, r.value) {
			t.Fatalf("row %d is %x with %d bytes, want %x with %d", i, k, len(v), r.key, len(r.value))
		}
		k, v = c.Next()
	}
	if k != nil {
		t.Fatalf("there is a row too many: %x", k)
	}
	for i, r := range want.rows {
		absent := append(slices.Clip(r.key), 0)
		var next []byte
		if i+1 < len(want.rows) {
			next = want.rows[i+1].key
		}
		if bytes.Equal(absent, next) {
			continue
		}
		if k, _ := c.Seek(absent); !bytes.Equal(k, next) {
			t.Fatalf("behind row %d comes %x, want %x", i, k, next)
		}
		if !bytes.Equal(bucket.Get(r.key), r.value) {
			t.Fatalf("row %d is not found", i)
		}
	}
}

// Whatever rows a file is made of, bbolt finds them all and nothing wrong with it, and
// goes on writing there.
func TestPagesAreAFileOfBbolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "whole.db")
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]bucketOf{}
		for i := range rapid.IntRange(0, 4).Draw(t, "buckets") {
			want[fmt.Sprint("bucket", i)] = drawRows(t)
		}
		if err := writePages(path, want); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path, want)

		// Some rows go, some change, and some are new.
		seed := rapid.Uint64().Draw(t, "changes")
		for name, b := range want {
			want[name] = changed(t, path, name, b, rand.New(rand.NewPCG(seed, 1)))
		}
		checkFile(t, path, want)
	})
}

// changed changes a bucket in the way of bbolt and returns what it has then.
func changed(t *rapid.T, path, name string, b bucketOf, random *rand.Rand) bucketOf {
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	after := bucketOf{fill: b.fill}
	goes := random.IntN(4)
	err = db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte("top")).Bucket([]byte(name))
		for _, r := range b.rows {
			switch random.IntN(4) {
			case 0:
				r.value = noise(random, 1+random.IntN(5000))
				if err := bucket.Put(r.key, r.value); err != nil {
					return err
				}
			default:
				if random.IntN(4) < goes {
					if err := bucket.Delete(r.key); err != nil {
						return err
					}
					continue
				}
			}
			after.rows = append(after.rows, r)
		}
		for i := range random.IntN(200) {
			r := scanned{binary.BigEndian.AppendUint64([]byte{0xff, 0xff, 0xff, 0xff}, uint64(i)), []byte("new")}
			if err := bucket.Put(r.key, r.value); err != nil {
				return err
			}
			after.rows = append(after.rows, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(after.rows, func(x, y scanned) int { return bytes.Compare(x.key, y.key) })
	return after
}

// Every branch has two pages below it at least, whatever the number of rows: bbolt
// panics over one that has not when it takes rows away.
func TestPagesLeaveNoBranchWithOnePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "whole.db")
	var b bucketOf
	for n := range 300 {
		key := append(binary.BigEndian.AppendUint32(nil, uint32(n)), make([]byte, 900)...)
		b.rows = append(b.rows, scanned{key, []byte("x")})
		b.fill = []float64{scattered, ascending}[n%2]
		want := map[string]bucketOf{"of long keys": b}
		if err := writePages(path, want); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path, want)
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.rows { // from the end, one at a time
			err := db.Update(func(tx *bolt.Tx) error {
				return tx.Bucket([]byte("top")).Bucket([]byte("of long keys")).Delete(b.rows[len(b.rows)-1-i].key)
			})
			if err != nil {
				t.Fatal(err)
			}
			if i == 8 {
				break
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path, map[string]bucketOf{"of long keys": {rows: b.rows[:max(0, n-8)]}})
	}
}

// What bbolt would refuse is an error, and so is a file that cannot be written.
func TestPagesThatCannotBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "whole.db")
	row := func(key string) scanned { return scanned{[]byte(key), []byte("x")} }
	for name, c := range map[string]struct {
		rows []scanned
		want error
	}{
		"twice":       {[]scanned{row("a"), row("a")}, nil},
		"descending":  {[]scanned{row("b"), row("a")}, nil},
		"empty key":   {[]scanned{row("")}, nil},
		"a large key": {[]scanned{{make([]byte, bolt.MaxKeySize+1), []byte("x")}}, bolterrors.ErrKeyTooLarge},
	} {
		err := writePages(path, map[string]bucketOf{"rows": {1, c.rows}})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := writePages(filepath.Join(path, "below"), nil); err == nil {
		t.Error("a file below a file was written")
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("only Linux has a disk that is always full: ", err)
	}
	f := &pageFile{file: full, pageSize: os.Getpagesize(), next: firstPage, buf: make([]byte, 1<<20)}
	if err := f.close(f.rows(1, bucketOf{rows: []scanned{row("a")}}.all()), false); err == nil {
		t.Error("a full disk went unnoticed")
	}
}

// BenchmarkPages compares writing rows of a lifelike size as a whole file with putting
// them into an empty one.
func BenchmarkPages(b *testing.B) {
	rows := make([]scanned, 500_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range rows {
		rows[i] = scanned{noise(random, 35), noise(random, 60)}
	}
	slices.SortFunc(rows, func(x, y scanned) int { return bytes.Compare(x.key, y.key) })
	perRow := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
	}
	b.Run("whole", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "whole.db")
		for b.Loop() {
			if err := writePages(path, map[string]bucketOf{"rows": {scattered, rows}}); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b)
	})
	b.Run("put", func(b *testing.B) {
		dir := b.TempDir()
		for b.Loop() {
			path := filepath.Join(dir, "put.db")
			os.Remove(path)
			db, err := openFile(path, true)
			if err != nil {
				b.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				top, err := tx.CreateBucket([]byte("top"))
				if err != nil {
					return err
				}
				bucket, err := top.CreateBucket([]byte("rows"))
				if err != nil {
					return err
				}
				bucket.FillPercent = scattered
				for _, r := range rows {
					if err := bucket.Put(r.key, r.value); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(err, db.Close()); err != nil {
				b.Fatal(err)
			}
		}
		perRow(b)
	})
}
