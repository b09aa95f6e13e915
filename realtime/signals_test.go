package realtime_test

import (
	"slices"
	"testing"

	"roomlog/schema"
)

// Who enters and leaves a room, and who types, is recorded; what came to nothing is
// not.
func TestRoomsAndTypingAreSignals(t *testing.T) {
	g := openGateway(t, nil)
	alice, bob := g.connect(t, "alice"), g.connect(t, "bob")
	post, group := alice.post("The play"), alice.group("Watch", "carol")
	inPost, inGroup := schema.PostRef{PostID: post}, schema.ConversationRef{ConversationID: group}
	types := schema.PostAction{PostID: post, Action: "start"}

	alice.do("post:leave", inPost)
	alice.refused(schema.NotInRoom, "user:typing", types)
	alice.do("post:join", inPost)
	alice.do("user:typing", types)
	alice.do("post:leave", inPost)
	alice.do("post:leave", inPost)
	alice.do("message:leave", inGroup)
	alice.do("message:join", inGroup)
	bob.refused(schema.ConversationNotFound, "message:join", inGroup)
	alice.do("message:typing", schema.ConversationAction{ConversationID: group, Action: "start"})
	alice.do("message:leave", inGroup)
	bob.do("post:join", inPost)
	want := []string{
		"alice post:join", "alice user:typing", "alice post:leave",
		"alice message:join", "alice message:typing", "alice message:leave", "bob post:join",
	}
	var got []string
	eventually(t, "bob's joining is recorded", func() bool {
		got = nil
		for r, err := range g.log.ReadSignals(t.Context(), "signals.>") {
			if err != nil {
				t.Fatal(err)
			}
			if schema.NamespaceOf(r.Event) != schema.Connection {
				got = append(got, r.Actor.ID+" "+r.Event)
			}
		}
		return slices.Contains(got, "bob post:join")
	})
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%q, want\n%q", got, want)
	}
}
