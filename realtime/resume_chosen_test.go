package realtime_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// toldOfNew returns the notification:new among what a peer was told of notifications so far.
func (p *peer) toldOfNew() (news []schema.Frame) {
	for len(p.notes) > 0 {
		if f := <-p.notes; f.Event == "notification:new" {
			news = append(news, f)
		}
	}
	return news
}

// Who comes back is told what their other devices were told meanwhile that listen to
// the same namespaces: the same pushes, in the same rooms, with the same places, and
// of what they did themselves what is theirs alone to know. Nothing else.
func TestWhoComesBackIsToldWhatTheyChose(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = time.Hour })
	alice, bob, mod := g.connect(t, "alice"), g.connect(t, "bob", schema.RoleModerator), g.moderates(t, "mod")
	post, group := bob.post("bob's"), bob.group("Both", "alice")
	room, conversation := schema.PostRoom(post), schema.ConversationRoom(group)
	read := alice.say(group, "read elsewhere")
	removed := alice.post("buy my ghosts")
	bob.follow("alice")

	choices := [][]schema.Namespace{
		nil, {schema.Social}, {schema.Messaging}, {schema.Notifications}, {schema.Admin}, {schema.Social, schema.Notifications}, {schema.Messaging, schema.Notifications},
	}
	options := func(chosen []schema.Namespace) client.Options {
		return client.Options{Token: tokenFor(t, "bob", schema.RoleModerator), Namespaces: chosen}
	}
	var stayed []*peer
	for _, chosen := range choices {
		p := g.connectWith(t, "bob", options(chosen))
		p.do("post:join", schema.PostRef{PostID: post})
		p.comesIn(group)
		p.toldOfNew()
		stayed = append(stayed, p)
	}
	bob.bar()
	for _, p := range stayed {
		p.bar()
	}
	left := g.models.Applied()

	bob.do("message:read", schema.MessageRef{ConversationID: group, MessageID: read})
	alice.post("for @bob, who follows")
	comment := alice.comment(post, "look, @bob") // two notifications for him
	alice.say(group, "and in private")
	alice.do("user:friend-request", schema.TargetAction{TargetID: "bob", Action: "send"})
	mod.do("admin:remove", spam(schema.Target{Type: schema.TargetPost, ID: removed}))
	alice.do("admin:report", schema.AdminReport{Target: schema.Target{Type: schema.TargetComment, ID: comment}, Reason: "other"})
	bob.do("post:like", schema.PostAction{PostID: post, Action: "like"})

	for i, chosen := range choices {
		t.Run(fmt.Sprint(chosen), func(t *testing.T) {
			o := options(chosen)
			o.Resume = &schema.Resume{Epoch: g.log.Epoch(), Seq: left, Rooms: []string{room, conversation}}
			back := g.connectWith(t, "bob", o)
			missed := back.until("socket:resumed")
			stayed[i].bar()
			var heard []schema.Frame
			for len(stayed[i].pushes) > 0 {
				heard = append(heard, <-stayed[i].pushes)
			}
			sameAs(t, missed[:len(missed)-1], heard)
			counts := len(back.notes)
			news := back.toldOfNew()
			sameAs(t, news, stayed[i].toldOfNew())
			if counts -= len(news); (counts == 1) != (chosen == nil || slices.Contains(chosen, schema.Notifications)) {
				t.Errorf("told %d counts", counts)
			}
		})
	}
}
