package projections

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// traffic makes valid facts of many users: of 20, 10 likes, 5 comments, 2 posts,
// 2 follows and a share, most of them about recent posts; one in four has a key.
func traffic(n, users int) []eventlog.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	records := make([]eventlog.Record, 0, n)
	var posts []string
	user := func() string { return fmt.Sprintf("user%06d", rng.IntN(users)) }
	post := func() string { return posts[max(0, len(posts)-1-int(rng.ExpFloat64()*200))] }
	for i := range n {
		event, data := "post:create", any(schema.PostCreate{Content: "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer", Hashtags: []string{"hamlet"}})
		if len(posts) > 0 {
			switch k := rng.IntN(20); {
			case k < 10:
				event, data = "post:like", schema.PostAction{PostID: post(), Action: "like"}
			case k < 15:
				event, data = "post:comment", schema.PostComment{PostID: post(), Content: "The slings and arrows of outrageous fortune, or to take arms against a sea of troubles"}
			case k < 17:
				event, data = "user:follow", schema.UserFollow{FollowingID: user(), Action: "follow"}
			case k < 18:
				event, data = "post:share", schema.PostShare{PostID: post()}
			}
		}
		r := fact(i+1, user(), event, data)
		r.Time = start + schema.Time(i)
		if i%4 == 0 {
			r.Key = fmt.Sprint("key", i)
		}
		if event == "post:create" {
			posts = append(posts, r.ID)
		}
		records = append(records, r)
	}
	return records
}

// Live: what one batch costs with its pushes and both fsyncs, on a file that
// already holds 100,000 records of 10,000 users.
func BenchmarkApply(b *testing.B) {
	records := traffic(300_000, 10_000)
	for _, size := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			w := bare(b, filepath.Join(b.TempDir(), "models.db"))
			applyAll(b, w, records[:100_000], bulk, false)
			w.db.NoSync = false
			next := records[100_000:]
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if len(next) < size {
					b.Fatal("out of records")
				}
				applyAll(b, w, next[:size], size, true)
				next, n = next[size:], n+size
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// Rebuild of a log of 200,000 records: read, decoded, applied.
func BenchmarkRebuild(b *testing.B) {
	w := newWorld(b)
	const n = 200_000
	for batch := range slices.Chunk(traffic(n, 10_000), 2000) {
		w.append(batch...)
	}
	w.run()
	w.close()
	w.open()
	b.ReportAllocs()
	var took time.Duration
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "models.db.new")
		writer := bare(b, path)
		writer.path = path // or rows would be put one by one
		build := &rebuild{models: w.models, writer: writer}
		start := time.Now()
		if err := build.to(context.Background(), n); err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		writer.close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/took.Seconds(), "records/s")
}

// What of a rebuild is reading and decoding.
func BenchmarkLoad(b *testing.B) {
	w := newWorld(b)
	const n = 50_000
	for batch := range slices.Chunk(traffic(n, 10_000), 2000) {
		w.append(batch...)
	}
	sealed, err := eventlog.OpenFiles(eventlog.Config{Dir: w.dir}, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer sealed.Close()
	m := &Models{cfg: Config{Log: sealed}}
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= n {
		err := m.load(context.Background(), 1, uint64(min(left, n)), func(batch []record) error {
			for i := range batch {
				if batch[i].err != nil {
					return batch[i].err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A page of 20 for someone who follows 500 users with 50 posts each.
func BenchmarkFeed(b *testing.B) {
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	var records []eventlog.Record
	for i := range 500 {
		records = append(records, fact(len(records)+1, "reader", "user:follow", schema.UserFollow{FollowingID: fmt.Sprint("author", i), Action: "follow"}))
	}
	for i := range 25_000 {
		records = append(records, fact(len(records)+1, fmt.Sprint("author", i*7919%500), "post:create", schema.PostCreate{Content: "words, words, words"}))
	}
	applyAll(b, w, records, bulk, false)
	var times []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		err := w.db.View(func(tx *bolt.Tx) error {
			v := &View{tx: tx, state: newState(tx)}
			page, err := v.Feed("reader", schema.Page{})
			if err == nil && len(page.Items) != 20 {
				err = fmt.Errorf("%d items", len(page.Items))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkDigest(b *testing.B) {
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	applyAll(b, w, traffic(100_000, 10_000), bulk, false)
	for b.Loop() {
		digestOf(b, w.db)
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// What the gateway asks before it appends.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b)
	w.append(traffic(10_000, 1000)...)
	w.run()
	r := fact(20_000, "user000001", "post:like", schema.PostAction{PostID: id(1), Action: "unlike"})
	r.Key = "k"
	b.ReportAllocs()
	for b.Loop() {
		w.models.Check(r)
	}
}
