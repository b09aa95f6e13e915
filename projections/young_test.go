package projections

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// What a load remembers of keys and forgets comes out as it does of batches, however
// often a key comes again, the clock stands still or leaps, remembering fails, and
// whenever what there is of it is written.
func TestAnswersOfALoadComeOutAsOfBatches(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SampledFrom([]int{5, 300, 100_000}).Draw(rt, "keys")
		leap := rapid.SampledFrom([]int{50, 1000}).Draw(rt, "leap") // one in so many records is half a day after the one before it
		pace := rapid.SampledFrom([]int{10, 100_000}).Draw(rt, "pace")
		random := rapid.Uint64().Draw(rt, "seed")
		roll := func(n int) int {
			random = random*6364136223846793005 + 1442695040888963407
			return int(random>>33) % n
		}
		records := make([]record, rapid.IntRange(1, 1500).Draw(rt, "records"))
		at := hour
		for i := range records {
			if at += schema.Time(roll(pace)); roll(leap) == 0 {
				at += 12 * hour
			}
			r := keyed(i+1, "alice", fmt.Sprint("k", roll(keys)), fmt.Sprint("hello ", roll(20)/19), at-schema.Time(roll(5)))
			r.Seq = uint64(i + 1)
			records[i] = decode(r)
		}
		fault := func(projector string, r *eventlog.Record) error {
			if projector == "keys" && r.Seq%97 == 0 {
				return errors.New("a fault")
			}
			return nil
		}
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		batches, loads := twins(t, path, fault)
		defer func() { batches.db.Close(); loads.db.Close() }()
		if _, _, err := batches.apply(records, false); err != nil {
			rt.Fatal(err)
		}
		loads.most, loads.path = rapid.SampledFrom([]int{1, 500_000, 1 << 30}).Draw(rt, "most"), path
		loadAll(rt, loads, records, rapid.IntRange(1, 500).Draw(rt, "size"))
		if want, got := digestOf(rt, batches.db), digestOf(rt, loads.db); !reflect.DeepEqual(got, want) {
			rt.Fatalf("loaded: %v, want %v", got, want)
		}
		if want, got := parkedOf(rt, batches.db), parkedOf(rt, loads.db); !reflect.DeepEqual(got, want) {
			rt.Fatalf("parked are %+v, want %+v", got, want)
		}
	})
}
