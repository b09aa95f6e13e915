package projections

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A buffer is a map, whatever the sizes, and gives its rows back in the order of keys.
func TestBufferIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b buffer
		for range 2 {
			want := map[string]string{}
			keys := rapid.SliceOfN(rapid.StringMatching(`(user:)?[ab\x00]{0,12}x|\x00{6}[\x00-\x7f]{2}`), 1, 300).Draw(t, "keys")
			for n, key := range keys {
				hash := hashOf([]byte(key))
				r := b.row(hash, []byte(key))
				if _, has := want[key]; has != (r != 0) {
					t.Fatalf("%q is at %d, there %v", key, r, has)
				} else if !has {
					if r = b.insert(hash, []byte(key), n%40); b.find(hash, []byte(key)) != 0 {
						t.Fatalf("%q is known before anything is", key)
					}
					b.mark(r)
				}
				value := bytes.Repeat([]byte{byte(n)}, 1+rapid.IntRange(0, 3000).Draw(t, "size"))
				b.set(r, value)
				want[key] = string(value)
			}
			for key, value := range want {
				r := b.find(hashOf([]byte(key)), []byte(key))
				if r == 0 || string(b.key(r)) != key || string(b.value(r)) != value {
					t.Fatalf("%q is at %d", key, r)
				}
			}
			var order []string
			for _, r := range b.inOrder() {
				order = append(order, string(b.key(r)))
			}
			if !slices.Equal(order, slices.Sorted(maps.Keys(want))) {
				t.Fatalf("in order: %q", order)
			}
			b.forget()
			if b.find(hashOf([]byte(keys[0])), []byte(keys[0])) != 0 {
				t.Fatal("it remembers")
			}
		}
	})
}

// A row larger than a slab is kept whole, and a great many are given up altogether.
func TestBufferOfGreatRows(t *testing.T) {
	var b buffer
	for i := range 1<<16 + 1 {
		key := []byte(fmt.Sprint(i))
		b.set(b.insert(hashOf(key), key, 0), []byte("value"))
	}
	great := bytes.Repeat([]byte("x"), 2*slabSize)
	key := []byte("great")
	b.set(b.insert(hashOf(key), key, 0), great)
	if !bytes.Equal(b.value(b.find(hashOf(key), key)), great) {
		t.Error("a great row is not what it was")
	}
	if held := b.held(); held < 2*slabSize {
		t.Errorf("it says that it holds %d bytes", held)
	}
	if b.forget(); b.slabs != nil || b.held() != 0 {
		t.Error("what it held is not given up")
	}
}

// Places have slots side by side, and no search for one is long, however far apart they
// are.
func TestBufferOfPlaces(t *testing.T) {
	for _, apart := range []uint64{1, 3, 8, 64, 1000, 1 << 16} {
		var b buffer
		const n = 100_000
		far := 0
		for i := range uint64(n) {
			key := seqKey(1 + i*apart)
			hash := hashOf(key)
			r := b.insert(hash, key, 0)
			for at := b.home(hash); b.slots[at].row() != r; at = (at + 1) & (len(b.slots) - 1) {
				far++
			}
		}
		if far > 16*n || apart == 1 && far > n {
			t.Errorf("places %d apart are %.1f slots from where they are looked for", apart, float64(far)/n)
		}
	}
}

// Rows that fill many slabs are all found.
func TestBufferOfManySlabs(t *testing.T) {
	defer func(was bool) { wipes = was }(wipes)
	wipes = false
	var b buffer
	value := make([]byte, 10_000)
	const n = 20_000
	for i := range n {
		key := seqKey(uint64(i))
		copy(value, key)
		b.set(b.insert(hashOf(key), key, len(value)), value)
	}
	if len(b.slabs) < 5 || b.held() < n*len(value) {
		t.Errorf("%d slabs hold %d bytes", len(b.slabs), b.held())
	}
	for i := range n {
		key := seqKey(uint64(i))
		if r := b.find(hashOf(key), key); r == 0 || !bytes.HasPrefix(b.value(r), key) || len(b.value(r)) != len(value) {
			t.Fatalf("row %d is at %d", i, r)
		}
	}
	b.forget()
}

// A filter never says no of a key that it has, seldom yes of another, and says when
// it is full.
func TestFilter(t *testing.T) {
	var f filter
	const n = 100_000
	name := func(i int) uint64 { return hashOf([]byte(fmt.Sprint("key", i))) }
	place := func(i int) uint64 { return hashOf(seqKey(uint64(i))) }
	for _, hash := range []func(int) uint64{name, place} {
		for i := range n {
			if !f.add(hash(i)) {
				t.Fatal("it is full")
			}
		}
	}
	for _, hash := range []func(int) uint64{name, place} {
		wrong := 0
		for i := range n {
			if !f.has(hash(i)) {
				t.Fatalf("it does not have key %d", i)
			}
			if f.has(hash(n + i)) {
				wrong++
			}
		}
		if wrong > n/20 {
			t.Errorf("it takes %d of %d others for its own", wrong, n)
		}
	}
	for f.layers[len(f.layers)-1].room > 0 {
		f.layers[len(f.layers)-1].room--
	}
	for len(f.layers) < filterLayers {
		f.layers = append(f.layers, layer{})
	}
	if f.layers[filterLayers-1].room = 0; f.add(1) {
		t.Error("it is full and takes more")
	}
}

func BenchmarkTable(b *testing.B) {
	keys := make([][]byte, 1<<20)
	for i := range keys {
		keys[i] = []byte(fmt.Sprintf("user:user%d\x0001M86A3NY51BC9Q0BYARY92QMR", i*7919))
	}
	value := bytes.Repeat([]byte("x"), 60)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		var buf buffer
		for _, key := range keys {
			hash := hashOf(key)
			if buf.row(hash, key) == 0 {
				buf.set(buf.insert(hash, key, len(value)), value)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(keys)), "ns/row")
}
