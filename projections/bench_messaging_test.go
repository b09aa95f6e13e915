package projections

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// line is what a message of a benchmark says.
const line = "Though this be madness, yet there is method in't. Will you walk out of the air, my lord?"

// groups opens so many groups, of a reader and three others each.
func groups(n int) (records []eventlog.Record) {
	for i := range n {
		records = append(records, fact(i+1, "reader", "conversation:create", schema.ConversationCreate{
			Type: "group", Name: fmt.Sprint("group ", i), Participants: []string{"alice", "bob", fmt.Sprint("carol", i)},
		}))
	}
	return records
}

// Live: what one message costs, in batches of 64 with their pushes, going to one
// of 500 conversations.
func BenchmarkSend(b *testing.B) {
	const conversations, size = 500, 64
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	applyAll(b, w, groups(conversations), bulk, false)
	n := conversations
	b.ReportAllocs()
	for b.Loop() {
		batch := make([]eventlog.Record, size)
		for i := range batch {
			n++
			batch[i] = fact(n, []string{"alice", "bob", "reader"}[n%3], "message:send", words(id(1+n*7919%conversations), line))
		}
		applyAll(b, w, batch, size, true)
	}
	b.ReportMetric(float64(n-conversations)/b.Elapsed().Seconds(), "records/s")
}

// measured runs a query over and over and reports its p99.
func measured(b *testing.B, w *writer, ask func(*View) error) {
	b.Helper()
	var times []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		viewOf(b, w, func(v *View) {
			if err := ask(v); err != nil {
				b.Fatal(err)
			}
		})
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}

// A page of 20 for someone in 1,000 conversations.
func BenchmarkConversations(b *testing.B) {
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	const conversations = 1000
	records := groups(conversations)
	for i := range 10 * conversations {
		records = append(records, fact(len(records)+1, "alice", "message:send", words(id(1+i*7919%conversations), line)))
	}
	applyAll(b, w, records, bulk, false)
	measured(b, w, func(v *View) error {
		page, err := v.Conversations("reader", schema.Page{})
		if err == nil && len(page.Items) != 20 {
			err = fmt.Errorf("%d items", len(page.Items))
		}
		return err
	})
}

// A conversation of a million messages (of 100,000 with -short): pages of 20 at
// its end and in its middle, and the dearest move that a read marker can make,
// from the first message to the middle by someone who has written something.
func BenchmarkLongConversation(b *testing.B) {
	messages := 1_000_000
	if testing.Short() {
		messages = 100_000
	}
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	readers := make([]string, 900)
	for i := range readers {
		readers[i] = fmt.Sprintf("reader%03d", i)
	}
	records := []eventlog.Record{fact(1, "alice", "conversation:create", schema.ConversationCreate{Type: "group", Name: "long", Participants: readers})}
	for n := 2; n < messages; n++ {
		user := "alice"
		if n < 2+len(readers) {
			user = readers[n-2]
		}
		if records = append(records, fact(n, user, "message:send", words(id(1), line))); len(records) == bulk {
			applyAll(b, w, records, bulk, false)
			records = records[:0]
		}
	}
	applyAll(b, w, records, bulk, false)
	middle := id(messages / 2)
	for name, q := range map[string]schema.MessageList{"newest": {}, "before": {Page: schema.Page{Before: middle}}, "around": {Around: middle}} {
		b.Run(name, func(b *testing.B) {
			q.ConversationID = id(1)
			measured(b, w, func(v *View) error {
				page, err := v.Messages("alice", q)
				if err == nil && len(page.Items) != 20 {
					err = fmt.Errorf("%d items", len(page.Items))
				}
				return err
			})
		})
	}
	b.Run("marker", func(b *testing.B) {
		for b.Loop() {
			if len(readers) == 0 {
				b.Fatal("out of readers")
			}
			r := fact(messages+len(readers), readers[0], "message:read", schema.MessageRef{ConversationID: id(1), MessageID: middle})
			if o := applyAll(b, w, []eventlog.Record{r}, 1, true)[0]; o.Code != "" {
				b.Fatal(o.Code)
			}
			readers = readers[1:]
		}
	})
}
