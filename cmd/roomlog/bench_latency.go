package main

import (
	"cmp"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// measurement is how long the operations of one run took, by name and by second,
// while a live line says how it goes. Its methods may be called concurrently; what
// has been recorded is told once finish has returned.
type measurement struct {
	start time.Time
	live  *liveLine

	quit     chan struct{} // closed by finish
	quitting sync.Once
	done     chan struct{} // closed when the goroutine that closes the seconds ends

	mu      sync.Mutex
	ops     map[string]*operation // guarded by mu, like all that follows
	all     *hdrhistogram.Histogram
	seconds []second // of all operations together
	since   time.Time
}

// second is about a second of a run.
type second struct {
	At             time.Duration // its end, from the start of the run
	PerSecond      float64       // operations that ended well
	Failed         int64
	P50, P99, Most time.Duration // 0 when nothing ended well
}

// latencies sums up what took how long.
type latencies struct {
	Count                     int64            // operations that ended well; the others are not in the times
	Failed                    map[string]int64 // those that did not, by code
	P50, P90, P99, P999, Most time.Duration
}

// The histograms hold microseconds with three digits up to an hour: what takes
// longer counts as an hour.
const (
	longestMicros = int64(time.Hour / time.Microsecond)
	digits        = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestMicros, digits) }

// measure starts a measurement; finish ends it. unit says what is counted, in the
// plural; planned is how long it is to take, 0 when nobody knows. Operations may be
// made before, for who listens before there is anything to measure; others are made
// by operation.
func measure(out io.Writer, name, unit string, planned time.Duration, ops ...*operation) *measurement {
	now := time.Now()
	m := &measurement{
		start: now, since: now,
		live: newLiveLine(out, name, unit, planned),
		quit: make(chan struct{}), done: make(chan struct{}),
		ops: make(map[string]*operation),
		all: newHistogram(),
	}
	for _, op := range ops {
		m.ops[op.name] = op
	}
	go m.run()
	return m
}

func (m *measurement) run() {
	defer close(m.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.closeSecond()
		case <-m.quit:
			m.closeSecond()
			m.live.finish()
			return
		}
	}
}

// finish ends the measurement and the live line. Calling it again is allowed.
func (m *measurement) finish() {
	m.quitting.Do(func() { close(m.quit) })
	<-m.done
}

// operation returns the one of that name, made when it is the first time.
func (m *measurement) operation(name string) *operation {
	m.mu.Lock()
	defer m.mu.Unlock()
	op := m.ops[name]
	if op == nil {
		op = newOperation(name)
		m.ops[name] = op
	}
	return op
}

// operations returns all of them, by name.
func (m *measurement) operations() []*operation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.ops), func(a, b *operation) int { return cmp.Compare(a.name, b.name) })
}

// closeSecond takes what was recorded since the last time.
func (m *measurement) closeSecond() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	sum, failed := newHistogram(), int64(0)
	for _, op := range m.ops {
		failed += op.closeSecond(now.Sub(m.start), now.Sub(m.since), sum)
	}
	m.all.Merge(sum)
	m.seconds = append(m.seconds, secondOf(sum, failed, now.Sub(m.start), now.Sub(m.since)))
	m.since = now
	m.live.set(now.Sub(m.start), m.seconds[len(m.seconds)-1].PerSecond, duration(m.all, 99), m.failures())
}

func (m *measurement) failures() (n int64) {
	for _, s := range m.seconds {
		n += s.Failed
	}
	return n
}

// bySecond returns the seconds of all operations together.
func (m *measurement) bySecond() []second {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seconds
}

// total sums up all operations.
func (m *measurement) total() latencies {
	failed := make(map[string]int64)
	for _, op := range m.operations() {
		for code, n := range op.total().Failed {
			failed[code] += n
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return latenciesOf(m.all, failed)
}

// elapsed is how long the measurement took, up to its finish.
func (m *measurement) elapsed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since.Sub(m.start)
}

// operation is what is measured under one name. Its methods may be called
// concurrently: histograms are many, so that few wait for each other.
type operation struct {
	name   string
	shards []shard

	mu      sync.Mutex
	all     *hdrhistogram.Histogram // guarded by mu, like all that follows; without what the shards still hold
	spare   *hdrhistogram.Histogram // empty
	failed  map[string]int64
	recent  int64 // failed since the last second was closed
	seconds []second
}

type shard struct {
	mu  sync.Mutex
	now *hdrhistogram.Histogram // of the second that goes on; guarded by mu
	_   [64]byte                // no two in one cache line
}

// mostShards bounds the memory: a histogram takes 200 KB.
const mostShards = 8

func newOperation(name string) *operation {
	op := &operation{
		name:   name,
		shards: make([]shard, min(runtime.GOMAXPROCS(0), mostShards)),
		all:    newHistogram(),
		spare:  newHistogram(),
		failed: make(map[string]int64),
	}
	for i := range op.shards {
		op.shards[i].now = newHistogram()
	}
	return op
}

// took records an operation that ended well just now.
func (op *operation) took(d time.Duration) {
	s := &op.shards[rand.IntN(len(op.shards))]
	s.mu.Lock()
	s.now.RecordValue(min(max(d.Microseconds(), 0), longestMicros))
	s.mu.Unlock()
}

// fail counts an operation that was refused or failed just now, under a code.
func (op *operation) fail(code string) {
	op.mu.Lock()
	op.failed[code]++
	op.recent++
	op.mu.Unlock()
}

// closeSecond adds what was recorded since the last time to sum, and returns how
// many failed.
func (op *operation) closeSecond(at, length time.Duration, sum *hdrhistogram.Histogram) int64 {
	op.mu.Lock()
	defer op.mu.Unlock()
	this := newHistogram()
	for i := range op.shards {
		s := &op.shards[i]
		s.mu.Lock()
		full := s.now
		s.now = op.spare
		s.mu.Unlock()
		this.Merge(full)
		full.Reset()
		op.spare = full
	}
	op.all.Merge(this)
	sum.Merge(this)
	failed := op.recent
	op.recent = 0
	op.seconds = append(op.seconds, secondOf(this, failed, at, length))
	return failed
}

// bySecond returns the seconds of the run from the operation's first on.
func (op *operation) bySecond() []second {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.seconds
}

func (op *operation) total() latencies {
	op.mu.Lock()
	defer op.mu.Unlock()
	return latenciesOf(op.all, maps.Clone(op.failed))
}

func secondOf(h *hdrhistogram.Histogram, failed int64, at, length time.Duration) second {
	return second{
		At: at, PerSecond: float64(h.TotalCount()) / length.Seconds(), Failed: failed,
		P50: duration(h, 50), P99: duration(h, 99), Most: duration(h, 100),
	}
}

func latenciesOf(h *hdrhistogram.Histogram, failed map[string]int64) latencies {
	return latencies{
		Count: h.TotalCount(), Failed: failed,
		P50: duration(h, 50), P90: duration(h, 90), P99: duration(h, 99), P999: duration(h, 99.9), Most: duration(h, 100),
	}
}

func duration(h *hdrhistogram.Histogram, percentile float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percentile)) * time.Microsecond
}

// figures are the times for a table and for JSON, each name after prefix.
func (l latencies) figures(prefix string) []figure {
	return []figure{
		{prefix + "p50_ms", milliseconds(l.P50)},
		{prefix + "p90_ms", milliseconds(l.P90)},
		{prefix + "p99_ms", milliseconds(l.P99)},
		{prefix + "p999_ms", milliseconds(l.P999)},
		{prefix + "max_ms", milliseconds(l.Most)},
	}
}

// refusals is how many failed, whatever the code.
func (l latencies) refusals() (n int64) {
	for _, count := range l.Failed {
		n += count
	}
	return n
}
