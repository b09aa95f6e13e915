package projections

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// bare is a file of read models without a log: records get their places by hand.
func bare(t testing.TB, name string) *writer {
	t.Helper()
	db, err := openFile(name, true)
	if err != nil {
		t.Fatalf("opening %s: %v", name, err)
	}
	t.Cleanup(func() { db.Close() })
	w := newWriter(db, checkpoint{Epoch: "test", Versions: versions}, defaultLoadBytes(), nil)
	if err := w.prepare(); err != nil {
		t.Fatalf("preparing %s: %v", name, err)
	}
	return w
}

// bulk is how many records make a transaction where there are many of them.
const bulk = 2048

// applyAll applies records in batches of one size.
func applyAll(t rapid.TB, w *writer, records []eventlog.Record, size int, live bool) (outcomes []Outcome) {
	t.Helper()
	for batch := range slices.Chunk(records, size) {
		decoded := make([]record, len(batch))
		for i, r := range batch {
			r.Seq = w.at.Seq + uint64(i) + 1
			decoded[i] = decode(r)
		}
		verdicts, _, err := w.apply(decoded, live)
		if err != nil {
			t.Fatalf("applying: %v", err)
		}
		for _, v := range verdicts {
			outcomes = append(outcomes, v.Outcome)
		}
	}
	return outcomes
}

func digestOf(t rapid.TB, db *bolt.DB) (d Digest) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) (err error) {
		d, err = digest(context.Background(), tx)
		return err
	})
	if err != nil {
		t.Fatalf("digesting: %v", err)
	}
	return d
}

// Random histories come out as a slow, obvious model says, and the same at every
// batch size, live or not.
func TestHistoriesMatchTheOracle(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		records := histories(1, 300).Draw(rt, "history")
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		live := bare(t, path+".live")
		outcomes := applyAll(rt, live, records, rapid.IntRange(1, 40).Draw(rt, "batch"), true)
		want := newOracle()
		for i, r := range records {
			code, result := want.apply(r)
			if got := outcomes[i]; got.Code != code || string(got.Result) != result {
				rt.Fatalf("record %d, %s %s by %s key %q: %q %s, want %q %s", i+1, r.Event, r.Data, r.Actor.ID, r.Key, got.Code, got.Result, code, result)
			}
			if got, first := outcomes[i].FirstSeq, want.tellings[i].first; code == schema.ConversationExists && got != first {
				rt.Fatalf("record %d: the conversation was made by record %d, want %d", i+1, got, first)
			}
			checkPushes(rt, want, i, outcomes[i])
		}
		err := live.db.View(func(tx *bolt.Tx) error {
			v := &View{tx: tx, state: newState(tx)}
			compare(rt, v, want)
			compareTalks(rt, v, want)
			compareRetold(rt, v, want, outcomes)
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		digest := digestOf(rt, live.db)
		for _, size := range []int{1, 1024} {
			again := bare(t, fmt.Sprintf("%s.%d", path, size))
			applyAll(rt, again, records, size, false)
			if d := digestOf(rt, again.db); !reflect.DeepEqual(d, digest) {
				rt.Fatalf("in batches of %d: %v, want %v", size, d, digest)
			}
			again.db.Close()
		}
		live.db.Close()
	})
}

func checkPushes(t rapid.TB, want *oracle, i int, got Outcome) {
	t.Helper()
	if got.Code != "" {
		if got.Pushes != nil {
			t.Fatalf("record %d is %s and pushes %v", i+1, got.Code, got.Pushes)
		}
		return
	}
	told := want.tellings[i]
	rooms := told.rooms
	if len(rooms) == 2 && rooms[0] == rooms[1] {
		rooms = rooms[:1]
	}
	r := want.records[i]
	push := Push{Event: r.Event, Rooms: rooms, Users: told.users, Except: told.except, Data: got.Result, Evicted: told.evicted, Closed: told.closed}
	switch r.Event {
	case "post:like", "post:share", "post:comment", "comment:update", "user:follow", "user:friend-request":
		push.Apart = r.Actor.ID
	case "message:delivered", "message:read":
		if want.talk(read[schema.MessageRef](r).ConversationID).direct() {
			push.Apart = r.Actor.ID
		}
	}
	switch r.Event {
	case "post:create":
		push.FollowersOf = r.Actor.ID
	case "post:delete":
		push.Closed = true
	case "message:read":
		d := read[schema.MessageRef](r)
		push.Own = got.Result
		push.Data = []byte(text(schema.MessageRead{MessageID: d.MessageID, ConversationID: d.ConversationID, ReadBy: r.Actor.ID, ReadAt: r.Time}))
	}
	if !reflect.DeepEqual(got.Pushes, []Push{push}) {
		t.Fatalf("record %d pushes %s, want %s", i+1, text(got.Pushes), text(push))
	}
	e, _ := schema.Lookup(r.Event)
	if err := schema.ValidatePush(e, push.Data); err != nil {
		t.Fatalf("record %d pushes %s: %v", i+1, got.Result, err)
	}
}

// compare asks every query for every viewer.
func compare(t rapid.TB, v *View, want *oracle) {
	t.Helper()
	for _, viewer := range cast {
		same(t, "feed of "+viewer, pages(t, func(before string) (schema.Items[schema.FeedItem], error) {
			return v.Feed(viewer, schema.Page{Before: before, Limit: 3})
		}), want.timeline(viewer, append(want.followedBy(viewer), viewer)))
		comparePosts(t, v, want, viewer)
		for _, user := range cast {
			compareUser(t, v, want, viewer, user)
		}
	}
	compareHistory(t, v, want)
}

func comparePosts(t rapid.TB, v *View, want *oracle, viewer string) {
	t.Helper()
	for _, p := range want.posts {
		got, err := v.Post(viewer, p.post.ID)
		if p.deleted {
			if _, listErr := v.Comments(viewer, schema.CommentList{PostID: p.post.ID}); codeOf(err) != schema.PostNotFound || codeOf(listErr) != schema.PostNotFound || v.PostExists(p.post.ID) {
				t.Fatalf("deleted post %s: %v, %v", p.post.ID, err, listErr)
			}
			continue
		}
		same(t, "post", got, want.shown(viewer, p))
		var comments []schema.Comment
		for _, c := range p.comments {
			if !c.deleted && !want.blocked(viewer, c.comment.Author.ID) {
				shown := c.comment
				shown.Author = want.actor(shown.Author.ID)
				comments = append(comments, shown)
			}
		}
		var pages [][]schema.Comment
		for before := ""; ; {
			page, err := v.Comments(viewer, schema.CommentList{PostID: p.post.ID, Page: schema.Page{Before: before, Limit: 2}})
			if err != nil {
				t.Fatalf("comments before %q: %v", before, err)
			}
			pages = append(pages, page.Items)
			if before = page.Next; before == "" {
				break
			}
		}
		slices.Reverse(pages)
		same(t, "comments", slices.Concat(pages...), comments)
	}
}

func compareUser(t rapid.TB, v *View, want *oracle, viewer, user string) {
	t.Helper()
	profile, err := v.Profile(viewer, user)
	if _, known := want.users[user]; !known {
		if codeOf(err) != schema.UserNotFound {
			t.Fatalf("unknown user %s: %v", user, err)
		}
		return
	}
	blocked := want.blocked(viewer, user)
	expected := schema.Profile{
		User: want.actor(user), FollowersCount: len(want.followersOf(user)), FollowingCount: len(want.followedBy(user)),
		LastSeen:   want.lastSeen[user],
		Following:  slices.Contains(want.follows, edge{viewer, user}),
		FollowsYou: slices.Contains(want.follows, edge{user, viewer}),
		Friend:     slices.Contains(want.friends, edge{min(viewer, user), max(viewer, user)}),
		Blocked:    slices.Contains(want.blocks, edge{viewer, user}),
	}
	if blocked {
		expected.LastSeen = 0
	}
	for _, p := range want.posts {
		if p.post.Author.ID == user && !p.deleted {
			expected.PostsCount++
		}
	}
	same(t, "profile", profile, expected)
	same(t, "blocked", v.Blocked(viewer, user), blocked)
	same(t, "posts of "+user, pages(t, func(before string) (schema.Items[schema.FeedItem], error) {
		return v.UserPosts(viewer, schema.UserPage{UserID: user, Page: schema.Page{Before: before, Limit: 3}})
	}), want.timeline(viewer, []string{user}))
	meets := func(ids []string) (shown []schema.Actor) {
		for _, id := range ids {
			if !blocked && !want.blocked(viewer, id) {
				shown = append(shown, want.actor(id))
			}
		}
		return shown
	}
	same(t, "followers", pages(t, func(before string) (schema.Items[schema.Actor], error) {
		return v.Followers(viewer, schema.UserPage{UserID: user, Page: schema.Page{Before: before, Limit: 1}})
	}), meets(want.followersOf(user)))
	same(t, "followed", pages(t, func(before string) (schema.Items[schema.Actor], error) {
		return v.Following(viewer, schema.UserPage{UserID: user, Page: schema.Page{Before: before, Limit: 1}})
	}), meets(want.followedBy(user)))
	var ids []string
	for id := range v.FollowersOf(user) {
		ids = append(ids, id)
	}
	slices.Reverse(ids)
	same(t, "ids of followers", ids, want.followersOf(user))
	same(t, "number of followers", v.FollowersCount(user), len(ids))
	apart := maps.Collect(v.ApartFrom(user))
	same(t, "number kept apart from "+user, v.ApartCount(user), len(apart))
	since, ok := v.Apart(viewer, user)
	same(t, "kept apart", ok, blocked)
	same(t, "since", since, apart[viewer])
}

func compareHistory(t rapid.TB, v *View, want *oracle) {
	t.Helper()
	lists := map[string][]uint64{}
	for i, r := range want.records {
		seq := uint64(i + 1)
		same(t, "outcome", v.Outcome(seq), want.outcomes[i])
		lists["actor "+r.Actor.ID] = append(lists["actor "+r.Actor.ID], seq)
		lists["entity "+r.Entity] = append(lists["entity "+r.Entity], seq)
		for _, room := range slices.Compact(slices.Clone(want.tellings[i].rooms)) {
			lists["room "+room] = append(lists["room "+room], seq)
		}
	}
	for name, seqs := range lists {
		var kind, id string
		fmt.Sscan(name, &kind, &id)
		ask := map[string]func(string, uint64) iter.Seq[uint64]{"actor": v.ActorSeqs, "entity": v.EntitySeqs, "room": v.RoomSeqs}[kind]
		same(t, name, slices.Collect(ask(id, 0)), seqs)
		middle := len(seqs) / 2
		same(t, name+" from the middle", slices.Collect(ask(id, seqs[middle])), seqs[middle:])
	}
}

// pages collects a list page by page.
func pages[T any](t rapid.TB, ask func(before string) (schema.Items[T], error)) (all []T) {
	t.Helper()
	for before := ""; ; {
		page, err := ask(before)
		if err != nil {
			t.Fatalf("page before %q: %v", before, err)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		before = page.Next
	}
}

func same[T any](t rapid.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: %s, want %s", what, text(got), text(want))
	}
}
