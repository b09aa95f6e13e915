package realtime_test

import (
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

func notificationsOf(p *peer, q schema.NotificationList) []schema.Notification {
	p.t.Helper()
	return as[schema.Items[schema.Notification]](p.t, p.do("notification:list", q)).Items
}

// hasUnread checks what a query says.
func (p *peer) hasUnread(want int) {
	p.t.Helper()
	if got := as[schema.NotificationCount](p.t, p.do("notification:get-count", nil)).Count; got != want {
		p.t.Errorf("%s has %d unread, want %d", p.user, got, want)
	}
	if got := len(notificationsOf(p, schema.NotificationList{UnreadOnly: true})); got != want {
		p.t.Errorf("%s is shown %d unread, want %d", p.user, got, want)
	}
}

func TestEveryCauseNotifiesItsRecipient(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob, carol := g.connect(t, "alice"), g.connect(t, "bob"), g.connect(t, "carol")
	carol.bar() // now the log knows her name
	post := alice.post("hello")
	bob.do("post:like", schema.PostAction{PostID: post, Action: "like"})
	comment := bob.comment(post, "well said, @Carol")
	carol.do("post:comment", schema.PostComment{PostID: post, Content: "is it, @alice?", ParentID: comment})
	bob.follow("alice")
	bob.do("user:friend-request", schema.TargetAction{TargetID: "alice", Action: "send"})
	direct := bob.direct("alice")
	bob.say(direct, "psst")

	for i, want := range []string{"like", "comment", "comment", "mention", "follow", "friend_request", "message"} {
		n := alice.notified()
		if n.Type != want || n.Recipient != "alice" || n.ReadAt != nil {
			t.Errorf("notification %d: %+v, want %s", i, n, want)
		}
		if i != 2 { // the answer and its mention are of one record
			alice.counts(i + 1)
		}
	}
	if n := carol.notified(); n.Type != "mention" || n.Sender.ID != "bob" || n.Comment != comment {
		t.Errorf("carol: %+v", n)
	}
	carol.counts(1)
	if n := bob.notified(); n.Type != "comment" || n.Sender.ID != "carol" {
		t.Errorf("bob: %+v", n)
	}
	bob.counts(1)
	alice.hasUnread(7)
	for _, p := range []*peer{alice, bob, carol} {
		p.noNotes()
	}
}

func TestMessagesMakeOneNotification(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	id := bob.direct("alice")
	first := bob.say(id, "one")
	was := alice.notified()
	alice.counts(1)
	second := bob.say(id, "two")
	now := alice.notified()
	if was.Count != 1 || now.Count != 2 || now.Renews != was.ID || now.ID == was.ID || now.Message != second {
		t.Errorf("first %+v, then %+v", was, now)
	}
	alice.do("message:read", schema.MessageRef{ConversationID: id, MessageID: first})
	alice.hasUnread(1)
	bob.do("message:delete", schema.MessageRef{ConversationID: id, MessageID: second})
	alice.counts(0)
	alice.hasUnread(0)
	third := bob.say(id, "three")
	alice.notified()
	alice.counts(1)
	alice.do("message:read", schema.MessageRef{ConversationID: id, MessageID: third})
	alice.counts(0)
	alice.noNotes()
}

func TestUndoingTakesAnUnreadNotificationBack(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	mod := g.connect(t, "mod", schema.RoleModerator)
	post := alice.post("hello")
	removal := schema.AdminContent{Target: schema.Target{Type: schema.TargetPost, ID: post}, Reason: "spam"}
	like := func(action string) { bob.do("post:like", schema.PostAction{PostID: post, Action: action}) }
	expect := func(what string, count int) {
		t.Helper()
		alice.counts(count)
		if got := alice.notes; len(got) != 0 {
			t.Errorf("%s: more is told", what)
		}
		alice.hasUnread(count)
	}
	told := func(count int) { t.Helper(); alice.notified(); expect("new", count) }

	like("like")
	told(1)
	like("unlike")
	expect("unlike", 0)
	bob.follow("alice")
	told(1)
	bob.do("user:follow", schema.UserFollow{FollowingID: "alice", Action: "unfollow"})
	expect("unfollow", 0)
	comment := bob.comment(post, "hm")
	told(1)
	bob.do("comment:delete", schema.CommentDelete{PostID: post, CommentID: comment})
	expect("deletion", 0)
	like("like")
	told(1)
	mod.do("admin:remove", removal)
	expect("removal", 0)
	mod.do("admin:restore", removal)
	expect("restore", 1)
	bob.do("user:friend-request", schema.TargetAction{TargetID: "alice", Action: "send"})
	told(2)
	alice.do("user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
	expect("block", 0)
	bob.refused(schema.Blocked, "post:comment", schema.PostComment{PostID: post, Content: "still here"})
	alice.do("user:block", schema.TargetAction{TargetID: "bob", Action: "unblock"})
	alice.noNotes()
}

func TestReadingIsHeardOnEveryDevice(t *testing.T) {
	g := openGateway(t, nil)
	alice, phone, bob := g.connect(t, "alice"), g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("hello")
	for range 3 {
		bob.comment(post, "and")
	}
	all := notificationsOf(alice, schema.NotificationList{})
	for i := range 3 {
		for _, p := range []*peer{alice, phone} {
			p.notified()
			p.counts(i + 1)
		}
	}
	phone.hears("post:create", "user:alice")
	phone.until("post:comment")
	alice.do("notification:read", schema.NotificationRef{NotificationID: all[2].ID})
	for _, p := range []*peer{alice, phone} {
		p.counts(2)
	}
	alice.refused(schema.AlreadyRead, "notification:read", schema.NotificationRef{NotificationID: all[2].ID})
	bob.refused(schema.NotificationNotFound, "notification:read", schema.NotificationRef{NotificationID: all[0].ID})
	bob.refused(schema.NotificationNotFound, "notification:delete", schema.NotificationRef{NotificationID: all[0].ID})
	alice.do("notification:read-all", schema.NotificationReadAll{UpTo: all[1].ID}) // the third came later
	for _, p := range []*peer{alice, phone} {
		p.counts(1)
	}
	alice.do("notification:delete", schema.NotificationRef{NotificationID: all[0].ID})
	for _, p := range []*peer{alice, phone} {
		p.counts(0)
	}
	alice.hasUnread(0)
	if left := notificationsOf(alice, schema.NotificationList{}); len(left) != 2 || left[0].ID != all[1].ID {
		t.Errorf("left: %+v", left)
	}
	alice.do("notification:read-all", schema.NotificationReadAll{})
	alice.refused(schema.NotificationNotFound, "notification:read-all", schema.NotificationReadAll{UpTo: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"})
}

// A retry of read-all is the same command, whatever has come since the first try; one
// that says up to where is another.
func TestARetriedReadAllReadsNothingMore(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	post := alice.post("hello")
	bob.comment(post, "first")
	readAll := func(upTo string) (schema.Frame, error) {
		return alice.Do(t.Context(), "notification:read-all", schema.NotificationReadAll{UpTo: upTo}, "key-1")
	}
	first := must(readAll(""))
	bob.comment(post, "second")
	again := must(readAll(""))
	if !again.Duplicate || again.Seq != first.Seq || !sameJSON(again.Data, first.Data) {
		t.Errorf("the retry was acked %+v, the first try %+v", again, first)
	}
	alice.hasUnread(1)
	if _, err := readAll(notificationsOf(alice, schema.NotificationList{})[0].ID); codeOf(t, err) != schema.KeyReused {
		t.Errorf("the same key for another command: %v", err)
	}
	alice.hasUnread(1)
	alice.refused(schema.UnknownField, "notification:read-all", schema.NotificationReadAll{Newest: true})
}

// Whoever is told nothing but a notification has their cursor moved by it; who is
// told more, by what comes last. Both are told again what they missed.
func TestNotificationsThatWereMissedComeAgain(t *testing.T) {
	g := openGateway(t, nil)
	bob := g.connect(t, "bob")
	carol := g.connectWith(t, "carol", client.Options{Token: tokenFor(t, "carol")})
	left := g.log.Durable()
	post := bob.post("hello @carol")
	f := carol.hearsNote("notification:new")
	if f.Seq == 0 {
		t.Error("a notification that comes alone has no seq")
	}
	carol.counts(1)
	own := carol.post("mine")
	bob.do("post:like", schema.PostAction{PostID: own, Action: "like"})
	if f := carol.hearsNote("notification:new"); f.Seq != 0 {
		t.Errorf("a notification before its fact has seq %d", f.Seq)
	}
	carol.hears("post:like", "user:carol")
	carol.counts(2)

	back := g.comesBack(t, "carol", left)
	heard := back.until("socket:resumed")
	if n := len(heard); n != 3 || heard[0].Event != "post:create" || heard[1].Event != "post:like" {
		t.Errorf("carol missed %v", told(heard))
	}
	notes := back.missedNotes()
	if len(notes) != 2 || notes[0].Post != post || notes[0].Type != "mention" || notes[1].Type != "like" {
		t.Errorf("carol's notifications: %+v", notes)
	}

	// What is hidden by then is not told, nor what was taken back.
	g.connect(t, "mod", schema.RoleModerator).do("admin:remove", schema.AdminContent{Target: schema.Target{Type: schema.TargetPost, ID: post}, Reason: "spam"})
	if notes := g.comesBack(t, "carol", left).missedNotes(); len(notes) != 1 || notes[0].Type != "like" {
		t.Errorf("carol's notifications without those of what is gone: %+v", notes)
	}
	carol.do("user:block", schema.TargetAction{TargetID: "bob", Action: "block"})
	if notes := g.comesBack(t, "carol", left).missedNotes(); len(notes) != 0 {
		t.Errorf("carol's notifications without those of whom she blocks: %+v", notes)
	}
}

// The notification of a conversation bears the place of its last message. When that is
// gone and an earlier one unread, one who comes back is told the notification alone,
// with the place.
func TestNotificationOutlivesItsLastMessage(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	group := alice.group("Tea", "bob")
	bob.hears("conversation:create", "user:bob")
	alice.say(group, "one")
	left := g.log.Durable()
	last := alice.do("message:send", schema.MessageSend{ConversationID: group, Content: "two", MessageType: "text"})
	gone := as[schema.MessageSent](t, last).Message.ID
	alice.do("message:delete", schema.MessageRef{ConversationID: group, MessageID: gone})

	back := g.comesBack(t, "bob", left)
	f := back.hearsNote("notification:new")
	if n := as[schema.NotificationNew](t, f).Notification; f.Seq != last.Seq || n.Count != 1 || n.Message == gone {
		t.Errorf("bob is told at %d, want %d: %+v", f.Seq, last.Seq, n)
	}
	back.counts(1)
	if heard := back.until("socket:resumed"); len(heard) != 2 || heard[0].Event != "message:delete" {
		t.Errorf("bob is told %v", told(heard))
	}
}

// A socket that listens to some namespaces is told only of those; the cursor of one
// that hears nothing but notifications is moved by them.
func TestNotificationsGoToThoseWhoListen(t *testing.T) {
	g := openGateway(t, nil)
	listens := func(to schema.Namespace) *peer {
		return g.connectWith(t, "carol", client.Options{Token: tokenFor(t, "carol"), Namespaces: []schema.Namespace{to}})
	}
	social, notes := listens(schema.Social), listens(schema.Notifications)
	own := social.post("mine")
	bob := g.connect(t, "bob")
	for i, send := range []func(){
		func() { bob.follow("carol") },
		func() { bob.do("post:like", schema.PostAction{PostID: own, Action: "like"}) },
		func() { social.follow("bob"); bob.post("hello @carol") },
	} {
		send()
		if f := notes.hearsNote("notification:new"); f.Seq != g.log.Durable() {
			t.Errorf("the only push of record %d has seq %d", g.log.Durable(), f.Seq)
		}
		notes.counts(i + 1)
	}
	social.hears("user:follow", "user:carol")
	social.hears("post:like", "user:carol")
	social.hears("post:create", "user:carol")
	social.noNotes()
	social.heardNothing()
	notes.heardNothing()
}
