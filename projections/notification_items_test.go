package projections

import (
	"bytes"
	"fmt"
	"testing"

	"roomlog/eventlog"
	"roomlog/schema"
)

// However many like a post, what becomes of it looks at no more notifications than its
// author keeps, and still takes back, or hides, those that are there.
func TestLikesThatAreForgottenCostNothing(t *testing.T) {
	const likes = 4 * maxKept
	w := bare(t, t.TempDir()+"/models.db")
	log := []eventlog.Record{fact(1, "alice", "post:create", schema.PostCreate{Content: "x"})}
	for i := range likes {
		log = append(log, fact(i+2, fmt.Sprint("user", i), "post:like", schema.PostAction{PostID: id(1), Action: "like"}))
	}
	log = append(log, fact(likes+2, "bob", "post:comment", schema.PostComment{PostID: id(1), Content: "@carol @zoe"}))
	applyAll(t, w, log, bulk, false)
	for i, r := range []eventlog.Record{
		fact(likes+3, "mod", "admin:remove", spam(onPost(id(1)))),
		fact(likes+4, "mod", "admin:restore", spam(onPost(id(1)))),
		fact(likes+5, "alice", "post:delete", schema.PostRef{PostID: id(1)}),
	} {
		tx, err := w.db.Begin(false)
		if err != nil {
			t.Fatal(err)
		}
		s := newState(tx)
		s.second.keeps = true // so that its buffer shows what was looked at
		r.Seq = w.at.Seq + 1
		decoded := decode(r)
		var v verdict
		if s.apply(&decoded, true, &v); v.Code != "" || len(v.Notes) != 3 {
			t.Errorf("%s: %q, and %d users are told", r.Event, v.Code, len(v.Notes))
		}
		if n := s.notifications.items.taken; n > maxKept+3 {
			t.Errorf("%s looks at %d notifications", r.Event, n)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		applyAll(t, w, []eventlog.Record{r}, 1, false)
		viewOf(t, w, func(v *View) {
			for _, user := range []string{"alice", "carol", "zoe"} {
				if there, n := i == 1, v.UnreadNotifications(user); there != (n > 0) {
					t.Errorf("%s: %s has %d unread", r.Event, user, n)
				}
			}
		})
	}
}

// What is hidden is not there for whoever still knows its id, and comes back unread.
func TestHiddenNotificationsAreNotThere(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	comment, _ := p.must("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})
	group := p.group("bob", "alice")
	message := p.says("bob", group, "a message")
	var all []schema.Notification
	list := func(want int) {
		t.Helper()
		viewOf(t, p.w, func(v *View) {
			page, err := v.Notifications("alice", schema.NotificationList{UnreadOnly: true})
			if all = append(all, page.Items...); err != nil || len(page.Items) != want || v.UnreadNotifications("alice") != want {
				t.Errorf("alice has %d unread and is shown %s, want %d: %v", v.UnreadNotifications("alice"), text(page.Items), want, err)
			}
		})
	}
	list(2)
	targets := []schema.Target{onComment(comment), onMessage(group, message)}
	for _, target := range targets {
		p.must("mod", "admin:remove", spam(target))
	}
	list(0)
	for _, n := range all {
		for _, event := range []string{"notification:read", "notification:delete"} {
			p.refused(schema.NotificationNotFound, "alice", event, schema.NotificationRef{NotificationID: n.ID})
		}
	}
	for _, target := range targets {
		p.must("mod", "admin:restore", spam(target))
	}
	list(2)
}

// A set that is encoded takes a new message as one that is not does, however many gaps
// it has.
func TestEncodedSpansTakeAMessage(t *testing.T) {
	var s spans
	for n, gap := uint64(1), uint64(1); len(s) < maxSpans || s[0].first == 1; n, gap = n+gap, gap%3+1 {
		want := s.with(n)
		if got := appendWith(nil, s.encode(nil), n); !bytes.Equal(got, want.encode(nil)) {
			t.Fatalf("%v with %d: % x", s, n, got)
		}
		s = want
	}
}
