package eventlog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// posts makes n records of about 400 bytes as stored, like those of a real load.
func posts(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = post("user-"+strconv.Itoa(i%1000), strings.Repeat("lorem ipsum ", 8))
	}
	return records
}

// BenchmarkAppend has so many senders that each wait for their ack before the next.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		for _, senders := range []int{1, 8, 64, 256, 1000} {
			b.Run(fmt.Sprintf("%s/senders=%d", mode, senders), func(b *testing.B) {
				l := openLog(b, Config{Fsync: mode})
				records := posts(b.N)
				took := make([]time.Duration, b.N)
				var next sync.Mutex
				i := 0
				take := func() int {
					next.Lock()
					defer next.Unlock()
					i++
					return i - 1
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range senders {
					wg.Go(func() {
						for n := take(); n < b.N; n = take() {
							start := time.Now()
							if _, err := l.AppendWait(context.Background(), records[n]); err != nil {
								b.Error(err)
								return
							}
							took[n] = time.Since(start)
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				report(b, took)
			})
		}
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkAppendFollow is the live way: 1000 senders, one follower that keeps up.
func BenchmarkAppendFollow(b *testing.B) {
	l := openLog(b, Config{})
	records := posts(b.N)
	f, err := l.Follow(context.Background(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	used := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		for seen := 0; seen < b.N; {
			got, err := f.Next(context.Background(), 1000)
			if err != nil {
				b.Error(err)
				return
			}
			seen += len(got)
		}
	})
	for s := range 1000 {
		wg.Go(func() {
			for n := s; n < b.N; n += 1000 {
				if _, err := l.AppendWait(context.Background(), records[n]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	reportRate(b, cpu()-used)
}

// cpu returns the processor time that the process has used. On a machine that is
// shared with others it says more than the rate does.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportRate(b *testing.B, used time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "cpu-µs/record")
}

// fill appends records, all at once.
func fill(b testing.TB, l *Log, records []Record) {
	var wg sync.WaitGroup
	wg.Add(len(records))
	for _, r := range records {
		err := l.Append(context.Background(), r, func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkRead reads back, decoding included, from the block files and through the
// server: what a rebuild can reach at most.
func BenchmarkRead(b *testing.B) {
	for _, through := range []string{"files", "server"} {
		b.Run(through, func(b *testing.B) {
			l := openLog(b, Config{})
			fill(b, l, posts(100_000))
			l.tail.drop(l.tail.to) // nothing from memory
			if through == "server" {
				blocks := l.blocks
				l.blocks = nil
				defer func() { l.blocks = blocks }()
			}
			used := cpu()
			b.ReportAllocs()
			b.ResetTimer()
			for read := 0; read < b.N; {
				for r, err := range l.Read(context.Background(), 1, 0) {
					if err != nil || r.Err != nil {
						b.Fatal(err, r.Err)
					}
					if read++; read == b.N {
						break
					}
				}
			}
			reportRate(b, cpu()-used)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	r := posts(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := encode(r, "events.social.post.create", "/roomlog"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	r := posts(1)[0]
	r.Version = 1
	msg, _, _, err := encode(r, "events.social.post.create", "/roomlog")
	if err != nil {
		b.Fatal(err)
	}
	m := stored{seq: 1, subject: []byte(msg.Subject), header: []byte(rawHeader(msg.Header)), body: msg.Data}
	b.ReportAllocs()
	for b.Loop() {
		if r := m.record(); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
