package projections

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"roomlog/eventlog"
	"roomlog/schema"
)

// benchFacts applies facts in live batches of 64, as many as it takes, to read
// models that hold what came before.
func benchFacts(b *testing.B, before []eventlog.Record, next func(n int) eventlog.Record) {
	b.Helper()
	const size = 64
	w := bare(b, filepath.Join(b.TempDir(), "models.db"))
	applyAll(b, w, before, bulk, false)
	n := len(before)
	b.ReportAllocs()
	for b.Loop() {
		batch := make([]eventlog.Record, size)
		for i := range batch {
			n++
			batch[i] = next(n)
		}
		for i, o := range applyAll(b, w, batch, size, true) {
			if o.Code != "" {
				b.Fatalf("%s: %s", batch[i].Event, o.Code)
			}
		}
	}
	b.ReportMetric(float64(n-len(before))/b.Elapsed().Seconds(), "records/s")
}

// A message to so many participants, each of 50 conversations in turn, none of whom
// reads: it renews the notification of all but one.
func BenchmarkNotifyMessage(b *testing.B) {
	for _, members := range []int{2, 100, 101} {
		b.Run(fmt.Sprint("participants=", members), func(b *testing.B) {
			const talks = 50
			var before []eventlog.Record
			for i := range talks {
				others := make([]string, members-1)
				for j := range others {
					others[j] = fmt.Sprintf("user%d.%d", i, j)
				}
				before = append(before, fact(i+1, "alice", "conversation:create", schema.ConversationCreate{Type: "group", Name: "x", Participants: others}))
			}
			benchFacts(b, before, func(n int) eventlog.Record {
				return fact(n, "alice", "message:send", words(id(1+n%talks), line))
			})
		})
	}
}

// A like of one of 500 posts, by users who like all of them.
func BenchmarkNotifyLike(b *testing.B) {
	const posts = 500
	var before []eventlog.Record
	for i := range posts {
		before = append(before, fact(i+1, fmt.Sprint("author", i), "post:create", schema.PostCreate{Content: line}))
	}
	benchFacts(b, before, func(n int) eventlog.Record {
		return fact(n, fmt.Sprint("user", n/posts), "post:like", schema.PostAction{PostID: id(1 + n%posts), Action: "like"})
	})
}

// A post that mentions 50 users of 500, and one that only looks like mentions: it
// names nobody whom the log knows.
func BenchmarkNotifyMentions(b *testing.B) {
	var before []eventlog.Record
	for i := range 500 {
		r := fact(i+1, fmt.Sprint("user", i), "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
		r.Actor.Username = r.Actor.ID
		before = append(before, r)
	}
	for _, name := range []string{"user", "nobody"} {
		b.Run(name, func(b *testing.B) {
			benchFacts(b, before, func(n int) eventlog.Record {
				var text strings.Builder
				for i := range 50 {
					fmt.Fprintf(&text, "@%s%d ", name, (n*50+i)%500)
				}
				return fact(n, "alice", "post:create", schema.PostCreate{Content: text.String()})
			})
		})
	}
}
