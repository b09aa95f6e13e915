package realtime_test

import (
	"slices"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// A moderator who looks at the post, or is in the conversation, hears of a removal as
// a moderator: in room admin, with who did it, whatever the others are told. Coming
// back tells the same.
func TestModeratorsHearInTheirOwnRoom(t *testing.T) {
	g := openGateway(t, nil)
	mod := g.moderates(t, "mod")
	roles := client.Options{Token: tokenFor(t, "watcher", schema.RoleUser, schema.RoleModerator)}
	watcher, alice := g.connectWith(t, "watcher", roles), g.connect(t, "alice")
	post := alice.post("buy my ghosts")
	watcher.do("post:join", schema.PostRef{PostID: post})
	group := alice.group("Elsinore", "bob")
	said := alice.say(group, "buy more")
	alice.adds(group, "watcher") // for whom the message is before their time
	watcher.comesIn(group)

	before := g.log.Durable()
	var live []schema.Frame
	for _, target := range []schema.Target{
		{Type: schema.TargetComment, ID: alice.comment(post, "cheap")},
		{Type: schema.TargetPost, ID: post},
		{Type: schema.TargetMessage, ID: said, ConversationID: group},
	} {
		for _, event := range []string{"admin:remove", "admin:restore"} {
			ack := mod.do(event, spam(target))
			heard := watcher.until(event)
			push := heard[len(heard)-1]
			if push.Room != schema.RoomAdmin || !sameJSON(push.Data, ack.Data) {
				t.Errorf("%s of a %s: heard %s in %s, the ack is %s", event, target.Type, push.Data, push.Room, ack.Data)
			}
			live = append(live, push)
		}
	}
	watcher.heardNothing()
	roles.Resume = &schema.Resume{Epoch: g.log.Epoch(), Seq: before, Rooms: []string{schema.PostRoom(post), schema.ConversationRoom(group)}}
	back := slices.DeleteFunc(g.connectWith(t, "watcher", roles).until("socket:resumed"), func(f schema.Frame) bool {
		return schema.NamespaceOf(f.Event) != schema.Admin
	})
	sameAs(t, back, live)
}
