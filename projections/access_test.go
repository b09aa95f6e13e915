package projections

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

func ids(items []schema.FeedItem) (out []string) {
	for _, i := range items {
		out = append(out, i.ID)
	}
	return out
}

func (w *world) feed(viewer string) (out []string) {
	w.t.Helper()
	w.view(func(v *View) {
		page, err := v.Feed(viewer, schema.Page{})
		if err != nil {
			w.t.Errorf("feed of %s: %v", viewer, err)
		}
		out = ids(page.Items)
	})
	return out
}

// A feed is of those one follows and oneself, and of nobody else.
func TestAFeedIsOfThoseOneFollows(t *testing.T) {
	w := newWorld(t)
	w.run()
	a := w.must("alice", "post:create", schema.PostCreate{Content: "of alice"})
	b := w.must("bob", "post:create", schema.PostCreate{Content: "of bob"})
	w.must("bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	same(t, "bob's feed", w.feed("bob"), []string{b, a})
	same(t, "alice's feed", w.feed("alice"), []string{a})
	same(t, "a stranger's feed", w.feed("eve"), nil)
	w.must("bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "unfollow"})
	same(t, "bob's feed after", w.feed("bob"), []string{b})
}

// Between two users of whom either blocks the other, nothing of one shows in a
// list of the other's, neither by way of a third; who is blocked is not told so.
func TestBlocksHideBothFromEachOther(t *testing.T) {
	w := newWorld(t)
	w.run()
	a := w.must("alice", "post:create", schema.PostCreate{Content: "of alice"})
	b := w.must("bob", "post:create", schema.PostCreate{Content: "of bob"})
	shareOfA := w.must("carol", "post:share", schema.PostShare{PostID: a})
	shareOfB := w.must("carol", "post:share", schema.PostShare{PostID: b})
	for _, user := range []string{"alice", "bob"} {
		w.must(user, "user:follow", schema.UserFollow{FollowingID: "carol", Action: "follow"})
	}
	shared := w.must("bob", "post:share", schema.PostShare{PostID: a})
	w.must("carol", "user:follow", schema.UserFollow{FollowingID: "bob", Action: "follow"})
	w.must("alice", "user:block", schema.TargetAction{TargetID: "bob", Action: "block"})

	same(t, "alice's feed", w.feed("alice"), []string{shareOfA, a})
	same(t, "bob's feed", w.feed("bob"), []string{shareOfB, b}) // his own share shows a post of alice
	same(t, "carol's feed", w.feed("carol"), []string{shared, shareOfB, shareOfA, b})
	w.view(func(v *View) {
		for viewer, other := range map[string]string{"alice": "bob", "bob": "alice"} {
			page, err := v.UserPosts(viewer, schema.UserPage{UserID: other})
			if err != nil || len(page.Items) != 0 || page.Next != "" {
				t.Errorf("%s sees posts of %s: %v, %v", viewer, other, ids(page.Items), err)
			}
			profile, err := v.Profile(viewer, other)
			if err != nil || profile.LastSeen != 0 || profile.Blocked != (viewer == "alice") {
				t.Errorf("%s sees of %s: %+v, %v", viewer, other, profile, err)
			}
		}
		if p, _ := v.Profile("carol", "alice"); p.LastSeen == 0 || p.Blocked {
			t.Errorf("carol sees of alice: %+v", p)
		}
		if !v.Blocked("alice", "bob") || !v.Blocked("bob", "alice") || v.Blocked("alice", "carol") {
			t.Error("who is blocked")
		}
	})
	w.must("alice", "user:block", schema.TargetAction{TargetID: "bob", Action: "unblock"})
	same(t, "bob's feed after", w.feed("bob"), []string{shared, shareOfB, shareOfA, b})
}

// A comment is kept from whom either the post's author or the author of the comment
// that it answers is kept apart from.
func TestCommentsAcrossABlock(t *testing.T) {
	w := newWorld(t)
	w.run()
	post := w.must("alice", "post:create", schema.PostCreate{Content: "to all"})
	first := w.must("carol", "post:comment", schema.PostComment{PostID: post, Content: "the first word"})
	answer := schema.PostComment{PostID: post, ParentID: first, Content: "an answer"}
	for _, author := range []string{"alice", "carol"} {
		w.must(author, "user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
		w.refused(schema.Blocked, "bob", "post:comment", answer)
		w.must(author, "user:block", schema.TargetAction{TargetID: "bob", Action: "unblock"})
	}
	w.must("bob", "post:comment", answer)
}

// However many a block hides from the viewer, a list goes on behind them: a page that
// looked at too many of them ends early, with a cursor.
func TestListsGoOnBehindThoseWhoAreHidden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models.db")
	w := bare(t, path)
	var log []eventlog.Record
	does := func(user, event string, data any) string {
		r := fact(len(log)+1, user, event, data)
		log = append(log, r)
		return r.ID
	}
	post := does("alice", "post:create", schema.PostCreate{Content: "to all"})
	first := does("carol", "post:comment", schema.PostComment{PostID: post, Content: "the first word"})
	does("carol", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	does("bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	does("dave", "user:follow", schema.UserFollow{FollowingID: "carol", Action: "follow"})
	shared := does("carol", "post:share", schema.PostShare{PostID: post})
	for range 2*maxPassed + 5 {
		does("bob", "post:comment", schema.PostComment{PostID: post, Content: "and another"})
		theirs := does("bob", "post:create", schema.PostCreate{Content: "of bob"})
		does("carol", "post:share", schema.PostShare{PostID: theirs})
	}
	for i := range 2*maxPassed + 5 {
		stranger := fmt.Sprint("stranger", i)
		does(stranger, "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
		does("dave", "user:block", schema.TargetAction{TargetID: stranger, Action: "block"})
	}
	does("bob", "user:block", schema.TargetAction{TargetID: "dave", Action: "block"})
	applyAll(t, w, log, 1024, false)

	err := w.db.View(func(tx *bolt.Tx) error {
		v := &View{tx: tx, state: newState(tx)}
		asked := 0
		page := func(before string) schema.Page {
			asked++
			return schema.Page{Before: before, Limit: 2}
		}
		comments := pages(t, func(before string) (schema.Items[schema.Comment], error) {
			return v.Comments("dave", schema.CommentList{PostID: post, Page: page(before)})
		})
		followers := pages(t, func(before string) (schema.Items[schema.Actor], error) {
			return v.Followers("dave", schema.UserPage{UserID: "alice", Page: page(before)})
		})
		feed := pages(t, func(before string) (schema.Items[schema.FeedItem], error) { return v.Feed("dave", page(before)) })
		if len(comments) != 1 || comments[0].ID != first || len(followers) != 1 || followers[0].ID != "carol" || !slices.Equal(ids(feed), []string{shared}) {
			t.Errorf("comments %v, followers %v, feed %v", comments, followers, ids(feed))
		}
		same(t, "number of pages", asked, 3*3)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What a post or a profile says of the viewer is of that viewer.
func TestTheViewersOwnRelation(t *testing.T) {
	w := newWorld(t)
	w.run()
	post := w.must("alice", "post:create", schema.PostCreate{Content: "hello"})
	w.must("bob", "post:like", schema.PostAction{PostID: post, Action: "like"})
	w.must("bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	w.must("bob", "user:friend-request", schema.TargetAction{TargetID: "alice", Action: "send"})
	w.must("alice", "user:friend-request", schema.TargetAction{TargetID: "bob", Action: "accept"})
	w.view(func(v *View) {
		for viewer, liked := range map[string]bool{"alice": false, "bob": true, "eve": false} {
			if p, err := v.Post(viewer, post); err != nil || *p.Liked != liked || *p.LikesCount != 1 {
				t.Errorf("%s sees %s, %v", viewer, text(p), err)
			}
		}
		bob, _ := v.Profile("bob", "alice")
		alice, _ := v.Profile("alice", "bob")
		eve, _ := v.Profile("eve", "alice")
		if !bob.Following || bob.FollowsYou || !bob.Friend || alice.Following || !alice.FollowsYou || !alice.Friend || eve.Following || eve.FollowsYou || eve.Friend {
			t.Errorf("bob sees %+v, alice %+v, eve %+v", bob, alice, eve)
		}
		_, profile := v.Profile("bob", "nobody")
		_, posts := v.UserPosts("bob", schema.UserPage{UserID: "nobody"})
		_, followers := v.Followers("bob", schema.UserPage{UserID: "nobody"})
		for _, err := range []error{profile, posts, followers} {
			if codeOf(err) != schema.UserNotFound {
				t.Errorf("of nobody: %v", err)
			}
		}
	})
}

// An open friend request is no friendship, and only its target may accept it.
func TestFriendRequests(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.must("bob", "user:friend-request", schema.TargetAction{TargetID: "alice", Action: "send"})
	w.view(func(v *View) {
		if p, _ := v.Profile("bob", "alice"); p.Friend {
			t.Error("a request makes friends")
		}
	})
	w.refused(schema.RequestNotFound, "bob", "user:friend-request", schema.TargetAction{TargetID: "alice", Action: "accept"})
	w.refused(schema.RequestNotFound, "alice", "user:friend-request", schema.TargetAction{TargetID: "bob", Action: "cancel"})
	w.refused(schema.RequestNotFound, "eve", "user:friend-request", schema.TargetAction{TargetID: "bob", Action: "accept"})
	w.must("alice", "user:friend-request", schema.TargetAction{TargetID: "bob", Action: "accept"})
	w.must("alice", "user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
	w.view(func(v *View) {
		if p, _ := v.Profile("bob", "alice"); p.Friend {
			t.Error("a block ends no friendship")
		}
	})
}

// What is in the log by another way than the gateway's names nobody who cannot be.
func TestIDsThatNoUserHas(t *testing.T) {
	w := newWorld(t)
	w.run()
	const nobody = "no body"
	for event, data := range map[string]any{
		"user:follow":         schema.UserFollow{FollowingID: nobody, Action: "follow"},
		"user:friend-request": schema.TargetAction{TargetID: nobody, Action: "send"},
		"user:block":          schema.TargetAction{TargetID: nobody, Action: "block"},
		"admin:suspend":       schema.AdminSuspend{UserID: nobody, Reason: "a test"},
	} {
		w.refused(schema.InvalidField, "alice", event, data)
	}
}

// A cursor holds when what it names is deleted or undone, and one that names
// nothing is a bad field.
func TestCursors(t *testing.T) {
	w := newWorld(t)
	w.run()
	var posts, comments []string
	for range 4 {
		posts = append(posts, w.must("alice", "post:create", schema.PostCreate{Content: "a post"}))
	}
	for range 4 {
		comments = append(comments, w.must("bob", "post:comment", schema.PostComment{PostID: posts[0], Content: "a comment"}))
	}
	for _, user := range []string{"bob", "carol", "dave"} {
		w.must(user, "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	}
	var cursor string
	w.view(func(v *View) {
		page, err := v.Followers("eve", schema.UserPage{UserID: "alice", Page: schema.Page{Limit: 2}})
		if err != nil || len(page.Items) != 2 || page.Items[1].ID != "carol" {
			t.Fatalf("followers %v, %v", page, err)
		}
		cursor = page.Next
	})
	w.must("alice", "post:delete", schema.PostRef{PostID: posts[2]})
	w.must("alice", "comment:delete", schema.CommentDelete{PostID: posts[0], CommentID: comments[2]})
	w.must("carol", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "unfollow"})
	w.view(func(v *View) {
		feed, err := v.Feed("alice", schema.Page{Before: posts[2]})
		if err != nil || !slices.Equal(ids(feed.Items), []string{posts[1], posts[0]}) {
			t.Errorf("before a deleted post: %v, %v", ids(feed.Items), err)
		}
		list, err := v.Comments("alice", schema.CommentList{PostID: posts[0], Page: schema.Page{Before: comments[2]}})
		if err != nil || len(list.Items) != 2 || list.Items[0].ID != comments[0] || list.Items[1].ID != comments[1] || list.Next != "" {
			t.Errorf("before a deleted comment: %v, %v", list, err)
		}
		followers, err := v.Followers("eve", schema.UserPage{UserID: "alice", Page: schema.Page{Before: cursor}})
		if err != nil || len(followers.Items) != 1 || followers.Items[0].ID != "bob" {
			t.Errorf("before one who no longer follows: %v, %v", followers, err)
		}
		for _, before := range []string{id(999), "x", comments[0] + "0", "-1"} {
			page := schema.Page{Before: before}
			_, e1 := v.Feed("alice", page)
			_, e2 := v.UserPosts("alice", schema.UserPage{UserID: "alice", Page: page})
			_, e3 := v.Comments("alice", schema.CommentList{PostID: posts[0], Page: page})
			for i, err := range []error{e1, e2, e3} {
				if codeOf(err) != schema.InvalidField {
					t.Errorf("query %d with cursor %q: %v", i+1, before, err)
				}
			}
		}
		if _, err := v.Following("alice", schema.UserPage{UserID: "alice", Page: schema.Page{Before: "carol"}}); codeOf(err) != schema.InvalidField {
			t.Errorf("users before no cursor: %v", err)
		}
		// A comment of another post is none of this one's cursors.
		if _, err := v.Comments("alice", schema.CommentList{PostID: posts[1], Page: schema.Page{Before: comments[0]}}); codeOf(err) != schema.InvalidField {
			t.Errorf("a comment of another post as a cursor: %v", err)
		}
	})
}

func TestPageSizes(t *testing.T) {
	w := bare(t, t.TempDir()+"/models.db")
	for n := range 120 {
		applyAll(t, w, []eventRecord{fact(n+1, "alice", "post:create", schema.PostCreate{Content: strconv.Itoa(n)})}, 1, false)
	}
	for n := range 120 {
		applyAll(t, w, []eventRecord{fact(n+121, "bob", "post:comment", schema.PostComment{PostID: id(1), Content: strconv.Itoa(n)})}, 1, false)
	}
	viewOf(t, w, func(v *View) {
		for limit, want := range map[int]int{0: 20, -3: 20, 1: 1, 100: 100, 1000: 100} {
			page, err := v.Feed("alice", schema.Page{Limit: limit})
			if err != nil || len(page.Items) != want || page.Next != page.Items[want-1].ID {
				t.Errorf("limit %d: %d items, next %q, %v", limit, len(page.Items), page.Next, err)
			}
			if c, err := v.Comments("alice", schema.CommentList{PostID: id(1), Page: schema.Page{Limit: limit}}); err != nil || len(c.Items) != want || c.Next != c.Items[0].ID {
				t.Errorf("limit %d: %d comments, next %q, %v", limit, len(c.Items), c.Next, err)
			}
			if n, err := v.Notifications("alice", schema.NotificationList{Page: schema.Page{Limit: limit}}); err != nil || len(n.Items) != want || n.Next != n.Items[want-1].ID {
				t.Errorf("limit %d: %d notifications, next %q, %v", limit, len(n.Items), n.Next, err)
			}
		}
		page, _ := v.Feed("alice", schema.Page{Before: id(101), Limit: 100})
		if len(page.Items) != 100 || page.Next != "" {
			t.Errorf("the last page has %d items and leads on to %q", len(page.Items), page.Next)
		}
		if _, err := v.Notifications("alice", schema.NotificationList{Page: schema.Page{Before: "the newest"}}); codeOf(err) != schema.InvalidField {
			t.Errorf("a cursor that is no id: %v", err)
		}
	})
}
