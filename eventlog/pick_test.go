package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// filled is a log of n records that was closed and opened again, so that nothing
// of it is in memory.
func filled(t testing.TB, n int) *Log {
	t.Helper()
	dir := t.TempDir()
	l, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range n - 1 {
		if err := l.Append(context.Background(), post("alice", "hello"), func(uint64, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, l, post("alice", "the end"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return openLog(t, Config{Dir: dir})
}

func TestPick(t *testing.T) {
	const n = 2000
	l := filled(t, n)
	all := readAll(t, l, 1, 0)
	for range 10 {
		mustAppend(t, l, post("bob", "in memory"))
	}
	all = append(all, readAll(t, l, n+1, 0)...)
	rapid.Check(t, func(rt *rapid.T) {
		seqs := rapid.SliceOfNDistinct(rapid.Uint64Range(1, n+20), 0, 60, rapid.ID).Draw(rt, "sequences")
		if rapid.Bool().Draw(rt, "dense") {
			from := rapid.Uint64Range(1, n).Draw(rt, "from")
			for i := range seqs {
				seqs[i] = from + seqs[i]%200
			}
		}
		slices.Sort(seqs)
		seqs = slices.Compact(seqs)
		var want, got []uint64
		for _, seq := range seqs {
			if seq <= n+10 {
				want = append(want, seq)
			}
		}
		for r, err := range l.Pick(context.Background(), seqs) {
			if err != nil {
				rt.Fatal(err)
			}
			if r.ID != all[r.Seq-1].ID {
				rt.Fatalf("record %d is %s, want %s", r.Seq, r.ID, all[r.Seq-1].ID)
			}
			got = append(got, r.Seq)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("picked %v, want %v", got, want)
		}
	})
	for range l.Pick(context.Background(), []uint64{1, 2, 1000, 2000}) {
		break // a caller that has enough
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var failed error
	for _, err := range l.Pick(ctx, []uint64{1, 1000}) {
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("with a context that ended: %v", failed)
	}
}

// BenchmarkPick reads one of so many records, none of them in memory: its figures
// are where pickGap comes from.
func BenchmarkPick(b *testing.B) {
	l := filled(b, 20_000)
	for _, gap := range []uint64{1, 8, 16, 32, 33, 200} {
		b.Run(fmt.Sprintf("gap=%d", gap), func(b *testing.B) {
			var seqs []uint64
			for seq := uint64(1); seq <= 10_000; seq += gap {
				seqs = append(seqs, seq)
			}
			picked := 0
			for b.Loop() {
				for _, err := range l.Pick(context.Background(), seqs) {
					if err != nil {
						b.Fatal(err)
					}
					picked++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(picked), "µs/record")
		})
	}
}
