package realtime_test

import (
	"slices"
	"strings"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

func spam(t schema.Target) schema.AdminContent {
	return schema.AdminContent{Target: t, Reason: "spam"}
}

// moderates opens a socket of a moderator that hears of /admin alone.
func (g *gateway) moderates(t testing.TB, user string) *peer {
	t.Helper()
	return g.connectWith(t, user, client.Options{
		Token: tokenFor(t, user, schema.RoleModerator), Namespaces: []schema.Namespace{schema.Admin},
	})
}

func TestModeratorsHearOfReports(t *testing.T) {
	g := openGateway(t, nil)
	mod, second := g.moderates(t, "mod"), g.moderates(t, "second")
	alice := g.talker(t, "alice")
	post := alice.post("buy my ghosts")
	bob := g.talker(t, "bob")
	about := schema.AdminReport{Target: schema.Target{Type: schema.TargetPost, ID: post}, Reason: "spam"}
	ack := bob.do("admin:report", about)
	push := mod.hears("admin:report", schema.RoomAdmin)
	second.hears("admin:report", schema.RoomAdmin)
	report := as[schema.Reported](t, push).Report
	if report.Reporter.ID != "bob" || report.Target.ID != post || !sameJSON(push.Data, ack.Data) {
		t.Errorf("heard %s, acked %s", push.Data, ack.Data)
	}
	bob.refused(schema.AlreadyReported, "admin:report", about)
	bob.refused(schema.NotPermitted, "admin:reports", nil)

	open := schema.AdminReports{Status: schema.StatusOpen}
	listed := as[schema.Items[schema.Report]](t, mod.do("admin:reports", open))
	if len(listed.Items) != 1 || listed.Items[0] != report {
		t.Errorf("listed %+v, want %+v", listed.Items, report)
	}
	mod.do("admin:resolve-report", schema.AdminResolveReport{ReportID: report.ID, Resolution: schema.ResolutionDismissed})
	second.hears("admin:resolve-report", schema.RoomAdmin)
	if listed = as[schema.Items[schema.Report]](t, second.do("admin:reports", open)); len(listed.Items) != 0 {
		t.Errorf("still open: %+v", listed.Items)
	}
	alice.heardNothing()
	bob.heardNothing()
}

func TestRemovedPostsVanishAndComeBack(t *testing.T) {
	g := openGateway(t, nil)
	mod, other := g.moderates(t, "mod"), g.moderates(t, "other")
	alice := g.talker(t, "alice")
	bob := g.talker(t, "bob")
	bob.follow("alice")
	before := bob.do("post:create", schema.PostCreate{Content: "mark"}).Seq
	post := alice.post("buy my ghosts")
	comment := alice.comment(post, "cheap ghosts")
	reader := g.talker(t, "reader")
	reader.do("post:join", schema.PostRef{PostID: post})

	sees := func(want int) {
		t.Helper()
		for event, q := range map[string]any{"feed:get": schema.Page{}, "user:posts": schema.UserPage{UserID: "alice"}} {
			items := as[schema.Items[schema.FeedItem]](t, bob.do(event, q)).Items
			if n := len(slices.DeleteFunc(items, func(i schema.FeedItem) bool { return i.ID != post })); n != want {
				t.Errorf("%s shows it %d times, want %d", event, n, want)
			}
		}
	}
	target := schema.Target{Type: schema.TargetComment, ID: comment}
	mod.do("admin:remove", spam(target))
	reader.hears("admin:remove", schema.PostRoom(post))
	alice.hears("admin:remove", "user:alice")
	if items := as[schema.Items[schema.Comment]](t, bob.do("comment:list", schema.CommentList{PostID: post})).Items; len(items) != 0 {
		t.Errorf("comments: %+v", items)
	}
	mod.do("admin:restore", spam(target))
	reader.hears("admin:restore", schema.PostRoom(post))
	alice.hears("admin:restore", "user:alice")
	other.until("admin:restore")
	if items := as[schema.Items[schema.Comment]](t, bob.do("comment:list", schema.CommentList{PostID: post})).Items; len(items) != 1 {
		t.Errorf("comments: %+v", items)
	}

	sees(1)
	target = schema.Target{Type: schema.TargetPost, ID: post}
	ack := mod.do("admin:remove", spam(target))
	for p, room := range map[*peer]string{reader: schema.PostRoom(post), alice: "user:alice", bob: "user:bob"} {
		if push := p.hears("admin:remove", room); strings.Contains(string(push.Data), "moderatorId") {
			t.Errorf("%s learns who did it: %s", p.user, push.Data)
		}
	}
	if push := other.hears("admin:remove", schema.RoomAdmin); !sameJSON(push.Data, ack.Data) || as[schema.ContentModerated](t, push).ModeratorID != "mod" {
		t.Errorf("moderators hear %s, the ack is %s", push.Data, ack.Data)
	}
	sees(0)
	bob.refused(schema.PostNotFound, "post:get", schema.PostRef{PostID: post})
	bob.refused(schema.PostNotFound, "comment:list", schema.CommentList{PostID: post})
	bob.refused(schema.PostNotFound, "post:join", schema.PostRef{PostID: post})
	alice.refused(schema.PostNotFound, "post:comment", schema.PostComment{PostID: post, Content: "why?"})
	for _, f := range g.comesBack(t, "bob", before).caughtUp() {
		if strings.HasPrefix(f.Event, "post:") {
			t.Errorf("told again: %s %s", f.Event, f.Data)
		}
	}

	mod.do("admin:restore", spam(target))
	alice.hears("admin:restore", "user:alice")
	bob.hears("admin:restore", "user:bob")
	other.hears("admin:restore", schema.RoomAdmin)
	reader.heardNothing() // had to leave the room
	sees(1)
	bob.do("post:get", schema.PostRef{PostID: post})
	bob.do("post:join", schema.PostRef{PostID: post})
	var again []string
	for _, f := range g.comesBack(t, "bob", before).caughtUp() {
		again = append(again, f.Event)
	}
	if want := []string{"post:create", "admin:remove", "admin:restore"}; !slices.Equal(again, want) {
		t.Errorf("told again %v, want %v", again, want)
	}

	// Of what is deleted since nothing is told that came before.
	alice.do("post:delete", schema.PostRef{PostID: post})
	if told := g.comesBack(t, "bob", before).caughtUp(); len(told) > 0 {
		t.Errorf("of a post that is gone: %v", told)
	}
}

func TestRemovedMessagesVanishAndComeBack(t *testing.T) {
	g := openGateway(t, nil)
	mod := g.moderates(t, "mod") // in none of the conversations
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.group("Elsinore", "bob")
	first := alice.say(id, "first")
	heard := bob.until("message:send")
	before := heard[len(heard)-1].Seq
	second := alice.say(id, "second")
	bob.until("message:send")
	alice.adds(id, "carol")
	carol.until("conversation:update")
	bob.until("conversation:update")
	alice.enters(id)

	target := schema.Target{Type: schema.TargetMessage, ID: second, ConversationID: id}
	mod.do("admin:remove", spam(target))
	alice.hears("admin:remove", schema.ConversationRoom(id))
	bob.hears("admin:remove", "user:bob")
	carol.heardNothing() // it was said before her time
	bob.sees(id, "first")
	if got := bob.get(id); *got.UnreadCount != 1 || got.LastMessage.ID != first {
		t.Errorf("bob has %d to read, the last is %+v", *got.UnreadCount, got.LastMessage)
	}
	bob.refused(schema.MessageNotFound, "admin:report", schema.AdminReport{Target: target, Reason: "spam"})
	for _, f := range g.comesBack(t, "bob", before).caughtUp() {
		if f.Event == "message:send" {
			t.Errorf("told again: %s", f.Data)
		}
	}
	mod.do("admin:restore", spam(target))
	alice.hears("admin:restore", schema.ConversationRoom(id))
	bob.until("admin:restore")
	bob.sees(id, "first", "second")
	if got := bob.get(id); *got.UnreadCount != 2 || got.LastMessage.ID != second {
		t.Errorf("bob has %d to read, the last is %+v", *got.UnreadCount, got.LastMessage)
	}
	told := g.comesBack(t, "bob", before).caughtUp()
	if !slices.ContainsFunc(told, func(f schema.Frame) bool { return f.Event == "message:send" }) {
		t.Errorf("told again without the message: %v", told)
	}
	carol.heardNothing()
}

func TestAnnouncementsReachEverySocket(t *testing.T) {
	g := openGateway(t, nil)
	admin := g.connectWith(t, "admin", client.Options{Token: tokenFor(t, "admin", schema.RoleAdmin), Namespaces: []schema.Namespace{schema.Admin}})
	peers := append(g.talkers(t, "alice", "bob"), g.moderates(t, "mod"))
	ack := admin.do("admin:announce", schema.AdminAnnounce{Content: "Maintenance at eight"})
	for _, p := range peers {
		if push := p.hears("admin:announce", schema.RoomPublic); !sameJSON(push.Data, ack.Data) {
			t.Errorf("%s hears %s, the ack is %s", p.user, push.Data, ack.Data)
		}
	}
	back := g.comesBack(t, "alice", ack.Seq-1).caughtUp()
	if len(back) != 1 || back[0].Room != schema.RoomPublic {
		t.Errorf("told again: %v", back)
	}
}
