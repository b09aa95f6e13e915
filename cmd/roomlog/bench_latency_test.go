package main

import (
	"io"
	"sync"
	"testing"
	"time"
)

// What many goroutines record is all there: in the totals of each name, in those of
// all, and second by second.
func TestMeasurementCountsEverything(t *testing.T) {
	const goroutines, each = 16, 1000
	m := measure(io.Discard, "test", "facts", 0)
	var work sync.WaitGroup
	for g := range goroutines {
		work.Go(func() {
			name := [2]string{"post:create", "post:like"}[g%2]
			for i := range each {
				m.operation(name).took(time.Duration(i+1) * time.Millisecond)
			}
			m.operation(name).fail("OVERLOADED")
		})
	}
	work.Wait()
	m.finish()
	m.finish() // as a deferred one after the first

	if ops := m.operations(); len(ops) != 2 || ops[0].name != "post:create" || ops[1].name != "post:like" {
		t.Fatalf("operations %v", ops)
	}
	checkTotal(t, "all", m.total(), goroutines*each, goroutines)
	checkSeconds(t, "all", m.bySecond(), m.elapsed(), goroutines*each, goroutines)
	for _, op := range m.operations() {
		checkTotal(t, op.name, op.total(), goroutines*each/2, goroutines/2)
		checkSeconds(t, op.name, op.bySecond(), m.elapsed(), goroutines*each/2, goroutines/2)
	}
}

func checkTotal(t *testing.T, name string, got latencies, count, failed int64) {
	t.Helper()
	if got.Count != count || got.refusals() != failed || got.Failed["OVERLOADED"] != failed {
		t.Errorf("%s: %d ended well and %v did not, want %d and %d", name, got.Count, got.Failed, count, failed)
	}
	for _, c := range []struct {
		name      string
		got, want time.Duration
	}{
		{"p50", got.P50, 500 * time.Millisecond}, {"p90", got.P90, 900 * time.Millisecond}, {"p99", got.P99, 990 * time.Millisecond},
		{"p99.9", got.P999, 999 * time.Millisecond}, {"max", got.Most, time.Second},
	} {
		if off := (c.got - c.want).Abs(); off > c.want/1000 {
			t.Errorf("%s: %s is %v, want %v within a thousandth", name, c.name, c.got, c.want)
		}
	}
}

func checkSeconds(t *testing.T, name string, seconds []second, elapsed time.Duration, count, failed int64) {
	t.Helper()
	sum, lost, last := 0.0, int64(0), time.Duration(0)
	for _, s := range seconds {
		sum += s.PerSecond * (s.At - last).Seconds()
		lost += s.Failed
		last = s.At
	}
	if int64(sum+0.5) != count || lost != failed || last != elapsed {
		t.Errorf("%s: the seconds have %.2f operations and %d failures up to %v, want %d, %d and %v",
			name, sum, lost, last, count, failed, elapsed)
	}
}

// What takes no time or for ever is counted as the least and the most there is.
func TestMeasurementTakesAnyTime(t *testing.T) {
	m := measure(io.Discard, "test", "facts", time.Minute)
	for _, d := range []time.Duration{-time.Second, 0, 100 * time.Hour} {
		m.operation("post:create").took(d)
	}
	m.finish()
	if got := m.total(); got.Count != 3 || got.P50 != 0 || got.Most < time.Hour || got.Most > time.Hour+4*time.Second {
		t.Errorf("%+v", got)
	}
	if got := m.operation("never").total(); got.Count != 0 || got.Most != 0 {
		t.Errorf("what never happened: %+v", got)
	}
}

func BenchmarkTook(b *testing.B) {
	m := measure(io.Discard, "test", "facts", 0)
	defer m.finish()
	op := m.operation("post:create")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		start := time.Now()
		for pb.Next() {
			op.took(time.Since(start))
		}
	})
}
