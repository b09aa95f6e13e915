package projections

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

func onPost(id string) schema.Target    { return schema.Target{Type: schema.TargetPost, ID: id} }
func onComment(id string) schema.Target { return schema.Target{Type: schema.TargetComment, ID: id} }
func onUser(id string) schema.Target    { return schema.Target{Type: schema.TargetUser, ID: id} }

func onMessage(conversation, id string) schema.Target {
	return schema.Target{Type: schema.TargetMessage, ID: id, ConversationID: conversation}
}

func spam(t schema.Target) schema.AdminContent {
	return schema.AdminContent{Target: t, Reason: "spam"}
}

func (p *parlour) reports(user string, t schema.Target) (id string) {
	p.Helper()
	id, push := p.must(user, "admin:report", schema.AdminReport{Target: t, Reason: "spam"})
	if !slices.Equal(push.Rooms, []string{schema.RoomAdmin}) {
		p.Errorf("a report is told in %v", push.Rooms)
	}
	return id
}

func (p *parlour) listed(q schema.AdminReports, want ...string) (next string) {
	p.Helper()
	viewOf(p, p.w, func(v *View) {
		page, err := v.Reports(q)
		if err != nil {
			p.Fatal(err)
		}
		var got []string
		for _, r := range page.Items {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, want) {
			p.Errorf("%+v lists\n%v, want\n%v", q, got, want)
		}
		next = page.Next
	})
	return next
}

func TestWhatOneSeesOneMayReport(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	comment, _ := p.must("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})
	group := p.group("alice", "bob")
	early := p.says("bob", group, "early")
	p.adds("alice", group, "carol")
	late := p.says("bob", group, "late")

	report := func(t schema.Target) schema.AdminReport { return schema.AdminReport{Target: t, Reason: "spam"} }
	for _, target := range []schema.Target{onPost(post), onComment(comment), onMessage(group, late), onUser("bob")} {
		p.reports("carol", target)
		p.refused(schema.AlreadyReported, "carol", "admin:report", report(target))
	}
	p.reports("bob", onPost(post)) // each for themselves
	p.refused(schema.MessageNotFound, "carol", "admin:report", report(onMessage(group, early)))
	p.refused(schema.ConversationNotFound, "dave", "admin:report", report(onMessage(group, late)))
	p.refused(schema.PostNotFound, "carol", "admin:report", report(onPost(comment)))
	p.refused(schema.CommentNotFound, "carol", "admin:report", report(onComment(post)))
	p.refused(schema.UserNotFound, "carol", "admin:report", report(onUser("nobody")))
	p.refused(schema.Oneself, "bob", "admin:report", report(onUser("bob")))

	p.must("mod", "admin:remove", spam(onPost(post)))
	p.must("mod", "admin:remove", spam(onMessage(group, late)))
	p.refused(schema.PostNotFound, "dave", "admin:report", report(onPost(post)))
	p.refused(schema.CommentNotFound, "dave", "admin:report", report(onComment(comment)))
	p.refused(schema.MessageNotFound, "alice", "admin:report", report(onMessage(group, late)))
}

func TestReportsAreListedOpenOnesFirst(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	p.must("bob", "post:create", schema.PostCreate{Content: "another"})
	var ids []string
	for _, user := range []string{"u1", "u2", "u3", "u4", "u5"} {
		ids = append(ids, p.reports(user, onPost(post)))
	}
	bob := p.reports("u1", onUser("bob"))
	resolve := func(id string) {
		t.Helper()
		p.must("mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: id, Resolution: schema.ResolutionDismissed, Note: "no harm"})
	}
	resolve(ids[1])
	resolve(ids[3])
	p.refused(schema.AlreadyResolved, "mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: ids[1], Resolution: schema.ResolutionRemoved})
	p.refused(schema.ReportNotFound, "mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: post, Resolution: schema.ResolutionRemoved})
	p.refused(schema.InvalidField, "mod", "admin:resolve-report", schema.AdminResolveReport{ReportID: ids[0]})

	p.listed(schema.AdminReports{}, bob, ids[4], ids[2], ids[0], ids[3], ids[1])
	p.listed(schema.AdminReports{TargetType: "post"}, ids[4], ids[2], ids[0], ids[3], ids[1])
	p.listed(schema.AdminReports{TargetType: "message"})
	p.listed(schema.AdminReports{Status: "resolved"}, ids[3], ids[1])
	p.listed(schema.AdminReports{Status: "resolved", TargetType: "user"})
	var pages schema.AdminReports
	pages.Limit = 4
	if next := p.listed(pages, bob, ids[4], ids[2], ids[0]); next != ids[0] {
		t.Errorf("next is %q", next)
	}
	pages.Before = ids[0]
	if next := p.listed(pages, ids[3], ids[1]); next != "" {
		t.Errorf("next is %q at the end", next)
	}
	pages.Before = ids[3]
	p.listed(pages, ids[1])

	// Whoever resolves what they have read goes on where they were.
	open := schema.AdminReports{Status: "open", Page: schema.Page{Limit: 2}}
	open.Before = p.listed(open, bob, ids[4])
	resolve(bob)
	resolve(ids[4])
	p.listed(open, ids[2], ids[0])
	again := p.reports("u2", onPost(post)) // the first one is closed
	viewOf(t, p.w, func(v *View) {
		if n := v.OpenReports(); n != 3 {
			t.Errorf("%d reports are open, want 3", n)
		}
		page, err := v.Reports(schema.AdminReports{Status: "resolved", TargetType: "user"})
		if err != nil || len(page.Items) != 1 || page.Items[0].ResolvedBy != "mod" || page.Items[0].Note != "no harm" || page.Items[0].ResolvedAt == nil || page.Items[0].Reporter.Username != "u1" && page.Items[0].Reporter.Username != "@u1" {
			t.Errorf("the resolved one: %+v, %v", page.Items, err)
		}
		var refusal *schema.Error
		if _, err := v.Reports(schema.AdminReports{Page: schema.Page{Before: post}}); !errors.As(err, &refusal) || refusal.Code != schema.InvalidField {
			t.Errorf("a cursor that is none: %v", err)
		}
	})
	p.listed(schema.AdminReports{Status: "open"}, again, ids[2], ids[0])
}

func TestRemovedContentIsNotThereUntilItIsRestored(t *testing.T) {
	p := newParlour(t)
	p.must("bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"})
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	comment, _ := p.must("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})
	answer, _ := p.must("carol", "post:comment", schema.PostComment{PostID: post, ParentID: comment, Content: "an answer"})
	p.must("bob", "post:like", schema.PostAction{PostID: post, Action: "like"})
	p.must("carol", "post:share", schema.PostShare{PostID: post})
	shows := func(want string) {
		t.Helper()
		viewOf(t, p.w, func(v *View) {
			var got []string
			for _, user := range []string{"alice", "carol"} {
				page, err := v.UserPosts("bob", schema.UserPage{UserID: user})
				got = append(got, fmt.Sprint(len(page.Items), err))
			}
			feed, _ := v.Feed("bob", schema.Page{})
			profile, _ := v.Profile("bob", "alice")
			got = append(got, fmt.Sprint(len(feed.Items), profile.PostsCount))
			shown, err := v.Post("bob", post)
			if err == nil {
				got = append(got, fmt.Sprint(*shown.LikesCount, *shown.CommentsCount, *shown.SharesCount, *shown.Liked))
			}
			comments, _ := v.Comments("bob", schema.CommentList{PostID: post})
			for _, c := range comments.Items {
				got = append(got, c.Content)
			}
			if all := strings.Join(got, ", "); all != want {
				t.Errorf("bob sees %s\nwant     %s", all, want)
			}
		})
	}
	all := "1 <nil>, 1 <nil>, 1 1, 1 2 1 true, a comment, an answer"
	shows(all)

	p.must("mod", "admin:remove", spam(onComment(comment)))
	shows("1 <nil>, 1 <nil>, 1 1, 1 1 1 true, an answer")
	p.refused(schema.CommentNotFound, "bob", "comment:update", schema.CommentUpdate{PostID: post, CommentID: comment, Content: "x"})
	p.refused(schema.CommentNotFound, "bob", "comment:delete", schema.CommentDelete{PostID: post, CommentID: comment})
	p.refused(schema.CommentNotFound, "bob", "post:comment", schema.PostComment{PostID: post, ParentID: comment, Content: "x"})

	_, push := p.must("mod", "admin:remove", spam(onPost(post)))
	if want := []string{schema.PostRoom(post), schema.RoomAdmin, "user:alice"}; !slices.Equal(push.Rooms, want) || push.FollowersOf != "alice" || !push.Closed {
		t.Errorf("told %+v", push)
	}
	if strings.Contains(string(push.Data), "mod") || !strings.Contains(string(push.Own), `"moderatorId":"mod"`) {
		t.Errorf("told %s, moderators %s", push.Data, push.Own)
	}
	shows("0 <nil>, 0 <nil>, 0 0")
	for event, data := range map[string]any{
		"post:update":    schema.PostUpdate{PostID: post, Content: "x"},
		"post:delete":    schema.PostRef{PostID: post},
		"post:like":      schema.PostAction{PostID: post, Action: "like"},
		"post:share":     schema.PostShare{PostID: post},
		"post:comment":   schema.PostComment{PostID: post, Content: "x"},
		"comment:update": schema.CommentUpdate{PostID: post, CommentID: answer, Content: "x"},
		"admin:report":   schema.AdminReport{Target: onPost(post), Reason: "spam"},
	} {
		p.refused(schema.PostNotFound, "alice", event, data)
	}
	p.refused(schema.AlreadyRemoved, "mod", "admin:remove", spam(onPost(post)))

	// A comment is one thing, its post another.
	p.must("mod", "admin:restore", spam(onComment(comment)))
	p.refused(schema.NotRemoved, "mod", "admin:restore", spam(onComment(comment)))
	shows("0 <nil>, 0 <nil>, 0 0")
	p.must("mod", "admin:restore", spam(onPost(post)))
	shows(all)
	p.refused(schema.NotRemoved, "mod", "admin:restore", spam(onPost(post)))

	p.must("alice", "post:delete", schema.PostRef{PostID: post})
	p.refused(schema.PostNotFound, "mod", "admin:remove", spam(onPost(post)))
	p.refused(schema.PostNotFound, "mod", "admin:restore", spam(onPost(post)))
	p.refused(schema.CommentNotFound, "mod", "admin:remove", spam(onComment(comment)))
	p.refused(schema.MessageNotFound, "mod", "admin:remove", spam(onMessage(post, comment)))
	p.refused(schema.InvalidField, "mod", "admin:remove", spam(onUser("alice")))
}

func TestRemovedMessagesAreNotUnread(t *testing.T) {
	p := newParlour(t)
	group := p.group("alice", "bob", "carol")
	first, second := p.says("alice", group, "first"), p.says("alice", group, "second")
	p.adds("alice", group, "dave")
	_, push := p.must("mod", "admin:remove", spam(onMessage(group, second)))
	if want := []string{schema.ConversationRoom(group), schema.RoomAdmin}; !slices.Equal(push.Rooms, want) ||
		!slices.Equal(push.Users, []string{"alice", "bob", "carol", "dave"}) || !slices.Equal(push.Except, []string{"dave"}) || push.Closed {
		t.Errorf("told %+v", push)
	}
	p.unread("bob", group, 1)
	p.unread("alice", group, 0)
	if c, said := p.sees("bob", group); len(said) != 1 || c.LastMessage.ID != first {
		t.Errorf("bob sees %v, last %+v", said, c.LastMessage)
	}
	ref := schema.MessageRef{ConversationID: group, MessageID: second}
	p.refused(schema.MessageNotFound, "alice", "message:delete", ref)
	p.refused(schema.MessageNotFound, "alice", "message:edit", schema.MessageEdit{ConversationID: group, MessageID: second, Content: "x"})
	p.must("bob", "message:read", ref) // it still is a position
	p.must("mod", "admin:restore", spam(onMessage(group, second)))
	p.unread("bob", group, 0)
	p.unread("carol", group, 2)
	p.unread("alice", group, 0)
	if _, said := p.sees("carol", group); !slices.Equal(said, []string{"second", "first"}) {
		t.Errorf("carol sees %v", said)
	}
	p.deletes("alice", group, second)
	p.refused(schema.MessageNotFound, "mod", "admin:remove", spam(onMessage(group, second)))
}

// What is restored behind the marker is to be read, as the conversation says, though
// all that was there before it was read.
func TestMessagesRestoredBehindTheMarkerNotifyAgain(t *testing.T) {
	p := newParlour(t)
	group := p.group("alice", "bob")
	first, second := p.says("alice", group, "first"), p.says("alice", group, "second")
	p.must("mod", "admin:remove", spam(onMessage(group, second)))
	p.reads("bob", group, first)
	unread := func(want int) {
		t.Helper()
		p.unread("bob", group, want)
		viewOf(t, p.w, func(v *View) { same(t, "unread notifications", v.UnreadNotifications("bob"), want) })
	}
	unread(0)
	p.must("mod", "admin:restore", spam(onMessage(group, second)))
	unread(1)
	p.reads("bob", group, second)
	unread(0)
}

// With a group its messages are gone: there is nothing left that a moderator could take
// away or bring back, and nobody who would have to be told.
func TestMessagesOfADeletedGroupAreNoSubjects(t *testing.T) {
	p := newParlour(t)
	group := p.group("alice", "bob")
	one, two := p.says("alice", group, "one"), p.says("bob", group, "two")
	p.must("mod", "admin:remove", spam(onMessage(group, one)))
	p.must("alice", "conversation:delete", schema.ConversationRef{ConversationID: group})
	p.refused(schema.MessageNotFound, "mod", "admin:remove", spam(onMessage(group, two)))
	p.refused(schema.MessageNotFound, "mod", "admin:restore", spam(onMessage(group, one)))
}

func TestSuspensionsEndByThemselves(t *testing.T) {
	p := newParlour(t)
	says := schema.PostCreate{Content: "hello"}
	suspend := func(seconds int) schema.AdminSuspend {
		until := start + schema.Time(p.n+1+seconds)*1000
		return schema.AdminSuspend{UserID: "bob", Until: &until, Reason: "spam"}
	}
	p.refused(schema.InvalidField, "mod", "admin:suspend", suspend(0))
	_, push := p.must("mod", "admin:suspend", suspend(3))
	if push.Suspended != "bob" || !slices.Equal(push.Rooms, []string{schema.RoomAdmin}) {
		t.Errorf("told %+v", push)
	}
	p.refused(schema.Suspended, "bob", "post:create", says)
	p.refused(schema.Suspended, "bob", "post:create", says)
	p.must("bob", "post:create", says)
	p.refused(schema.NotSuspended, "mod", "admin:reinstate", schema.AdminReinstate{UserID: "bob", Reason: "over"})

	p.must("mod", "admin:suspend", schema.AdminSuspend{UserID: "bob", Reason: "for good"})
	p.refused(schema.Suspended, "bob", "post:create", says)
	p.must("mod", "admin:suspend", suspend(2)) // in place of the one without end
	p.refused(schema.Suspended, "bob", "post:create", says)
	p.must("bob", "post:create", says)
	p.must("mod", "admin:suspend", suspend(100))
	_, push = p.must("mod", "admin:reinstate", schema.AdminReinstate{UserID: "bob", Reason: "appeal"})
	if push.Suspended != "" {
		t.Errorf("told %+v", push)
	}
	p.must("bob", "post:create", says)
	p.refused(schema.Oneself, "mod", "admin:suspend", schema.AdminSuspend{UserID: "mod", Reason: "x"})
}

// A notification of what is removed is not there, whoever kept its id, and comes back
// with it.
func TestNotificationsOfWhatIsRemoved(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "look, @bob"})
	var ref schema.NotificationRef
	viewOf(t, p.w, func(v *View) { ref.NotificationID = v.NewestNotification("bob") })
	p.must("mod", "admin:remove", spam(onPost(post)))
	p.refused(schema.NotificationNotFound, "bob", "notification:read", ref)
	p.refused(schema.NotificationNotFound, "bob", "notification:delete", ref)
	p.must("mod", "admin:restore", spam(onPost(post)))
	p.refused(schema.NotificationNotFound, "bob", "notification:read-all", schema.NotificationReadAll{UpTo: "no id"})
	p.must("bob", "notification:read", ref)
}

// Nobody is taken for what has their name: a user may be called as a post is.
func TestReportsByAUserOfThatName(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	p.reports(post, onPost(post))
}

// What its reader does not see cannot be reported: what is removed waits for no answer.
func TestReportsOfWhatIsRemoved(t *testing.T) {
	p := newParlour(t)
	post, _ := p.must("alice", "post:create", schema.PostCreate{Content: "a post"})
	comment, _ := p.must("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})
	target := schema.Target{Type: schema.TargetComment, ID: comment}
	p.must("mod", "admin:remove", schema.AdminContent{Target: target, Reason: "spam"})
	p.refused(schema.CommentNotFound, "carol", "admin:report", schema.AdminReport{Target: target, Reason: "spam"})
	p.must("mod", "admin:restore", schema.AdminContent{Target: target, Reason: "a mistake"})
	p.must("mod", "admin:remove", schema.AdminContent{Target: onPost(post), Reason: "spam"})
	p.refused(schema.CommentNotFound, "carol", "admin:report", schema.AdminReport{Target: target, Reason: "spam"})
}
