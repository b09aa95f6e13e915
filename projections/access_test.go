package projections

import (
	"slices"
	"strconv"
	"testing"

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
		if _, err := v.Profile("bob", "nobody"); codeOf(err) != schema.UserNotFound {
			t.Errorf("profile of nobody: %v", err)
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
	viewOf(t, w, func(v *View) {
		for limit, want := range map[int]int{0: 20, -3: 20, 1: 1, 100: 100, 1000: 100} {
			page, err := v.Feed("alice", schema.Page{Limit: limit})
			if err != nil || len(page.Items) != want || page.Next != page.Items[want-1].ID {
				t.Errorf("limit %d: %d items, next %q, %v", limit, len(page.Items), page.Next, err)
			}
		}
		page, _ := v.Feed("alice", schema.Page{Before: id(101), Limit: 100})
		if len(page.Items) != 100 || page.Next != "" {
			t.Errorf("the last page has %d items and leads on to %q", len(page.Items), page.Next)
		}
	})
}
