package projections

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Rows come in the order of their keys, whatever these have in common and however many
// of them: keys as the tables have them, and such as others begin with.
func TestWrittenRowsAreInOrder(t *testing.T) {
	place := func(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	kinds := []func(n, m int) string{
		func(n, m int) string { return fmt.Sprintf("user%d\x00%s", n, place(m)) },
		func(n, m int) string { return fmt.Sprintf("post:01JDQ0%020d\x00user%d", n, m) },
		func(n, m int) string { return place(n) + place(m) },
		func(n, m int) string { return string(make([]byte, n%300)) },
		func(n, m int) string { return fmt.Sprint(m) + string(make([]byte, n%50)) },
	}
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		used := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 3).Draw(t, "kinds")
		owners := rapid.SampledFrom([]int{1, 3, 30, 1 << 40}).Draw(t, "owners")
		rows := rapid.SampledFrom([]int{0, 1, fewRows, 10 * fewRows, 100 * fewRows}).Draw(t, "rows")
		var b buffer
		want := map[string]string{}
		for i := range rows {
			key, value := used[rng.IntN(len(used))](rng.IntN(owners), rng.IntN(1000)), fmt.Sprint(i)
			hash := hashOf([]byte(key))
			r := b.row(hash, []byte(key))
			if r == 0 {
				r = b.insert(hash, []byte(key), 16)
			}
			b.set(r, []byte(value))
			if b.mark(r); rng.IntN(10) == 0 {
				b.drop(r)
				delete(want, key)
				continue
			}
			want[key] = value
		}
		var keys []string
		for key, value := range b.written() {
			if want[string(key)] != string(value) {
				t.Fatalf("%q is %q, want %q", key, value, want[string(key)])
			}
			keys = append(keys, string(key))
		}
		if !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("in order: %q", keys)
		}
	})
}
