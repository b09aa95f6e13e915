package projections

import (
	"fmt"
	"slices"
	"testing"

	"roomlog/schema"
)

// Both ask at once: the log has one first, and the other gets the same.
func TestADirectConversationExistsOnce(t *testing.T) {
	p := newParlour(t)
	first := p.direct("alice", "bob")
	second, o := p.does("bob", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"alice"}})
	if o.Code != schema.ConversationExists || o.FirstSeq != 1 || o.Pushes != nil {
		t.Errorf("the second creation: %+v", o)
	}
	want := `{"conversation":{"id":"` + first + `","type":"direct","name":"","participants":[{"id":"alice","username":"@alice"},{"id":"bob","username":"@bob"}],"createdAt":"` + (start + 1000).String() + `"}}`
	if string(o.Result) != want {
		t.Errorf("its sender is answered %s, want %s", o.Result, want)
	}
	viewOf(t, p.w, func(v *View) {
		if v.Participates("bob", second) || !v.Participates("bob", first) {
			t.Error("there are two of it")
		}
	})
}

// Deleting a direct conversation hides it and its past from one of the two, until
// something is said or they open it again.
func TestDeletingADirectConversationIsForOneself(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	p.says("bob", c, "to be")
	_, push := p.must("alice", "conversation:delete", schema.ConversationRef{ConversationID: c})
	if !slices.Equal(push.Rooms, []string{"user:alice"}) || push.Closed || push.Users != nil {
		t.Errorf("told %+v", push)
	}
	if ids := p.list("alice"); ids != nil {
		t.Errorf("alice still has %v", ids)
	}
	p.unread("alice", c, 0)
	if _, said := p.sees("bob", c); len(said) != 1 || len(p.list("bob")) != 1 {
		t.Error("bob has noticed")
	}

	p.says("bob", c, "or not to be")
	if _, said := p.sees("alice", c); !slices.Equal(said, []string{"or not to be"}) || !slices.Equal(p.list("alice"), []string{c}) {
		t.Errorf("alice is back and sees %q", said)
	}
	p.unread("alice", c, 1)

	p.must("alice", "conversation:delete", schema.ConversationRef{ConversationID: c})
	_, push = p.must("alice", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"bob"}})
	if !slices.Equal(push.Rooms, []string{"user:alice"}) || push.Users != nil {
		t.Errorf("opened again: told %+v", push)
	}
	if _, said := p.sees("alice", c); said != nil || !slices.Equal(p.list("alice"), []string{c}) {
		t.Errorf("opened again: alice sees %q", said)
	}
	if _, o := p.does("alice", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"bob"}}); o.Code != schema.ConversationExists {
		t.Errorf("opened twice again: %s", o.Code)
	}
}

// When the creator leaves, the one who joined first is it; the last one takes the
// conversation along.
func TestTheCreatorIsSucceeded(t *testing.T) {
	p := newParlour(t)
	c := p.group("alice", "bob", "carol")
	p.removes("bob", c, "bob")
	p.adds("carol", c, "bob")
	p.refused(schema.NotPermitted, "carol", "conversation:delete", schema.ConversationRef{ConversationID: c})
	p.removes("alice", c, "alice")
	p.participants("carol", c, "carol", "bob")
	p.refused(schema.NotPermitted, "bob", "conversation:delete", schema.ConversationRef{ConversationID: c})
	p.removes("carol", c, "bob")
	p.removes("carol", c, "carol")
	viewOf(t, p.w, func(v *View) {
		if _, err := v.Conversation("carol", c); codeOf(err) != schema.ConversationNotFound {
			t.Errorf("the empty conversation: %v", err)
		}
	})
	p.refused(schema.ConversationNotFound, "carol", "message:send", words(c, "hello?"))
}

// A new participant sees what is said from joining on; a removed one nothing any
// more. Coming back begins anew.
func TestParticipantsSeeTheirTime(t *testing.T) {
	p := newParlour(t)
	c := p.group("alice", "bob")
	before := p.says("alice", c, "before")
	push := p.adds("bob", c, "carol")
	if !slices.Equal(push.Rooms, []string{"conversation:" + c}) || !slices.Equal(push.Users, []string{"alice", "bob", "carol"}) {
		t.Errorf("joining: told %+v", push)
	}
	p.unread("carol", c, 0)
	p.says("alice", c, "during")
	if _, said := p.sees("carol", c); !slices.Equal(said, []string{"during"}) {
		t.Errorf("carol sees %q", said)
	}
	answer := words(c, "what?")
	answer.ReplyTo = before
	p.refused(schema.MessageNotFound, "carol", "message:send", answer)
	p.refused(schema.MessageNotFound, "carol", "message:read", schema.MessageRef{ConversationID: c, MessageID: before})

	push = p.removes("alice", c, "carol")
	if !slices.Equal(push.Rooms, []string{"conversation:" + c, "user:carol"}) || !slices.Equal(push.Evicted, []string{"carol"}) || !slices.Equal(push.Users, []string{"alice", "bob"}) {
		t.Errorf("removal: told %+v", push)
	}
	p.says("alice", c, "after")
	for event, data := range map[string]any{
		"message:send":        words(c, "let me in"),
		"message:read":        schema.MessageRef{ConversationID: c, MessageID: before},
		"conversation:update": schema.ConversationUpdate{ConversationID: c, Updates: schema.ConversationUpdates{AddParticipants: []string{"carol"}}},
		"conversation:delete": schema.ConversationRef{ConversationID: c},
	} {
		p.refused(schema.ConversationNotFound, "carol", event, data)
	}
	if ids := p.list("carol"); ids != nil {
		t.Errorf("carol still has %v", ids)
	}
	p.adds("alice", c, "carol")
	if _, said := p.sees("carol", c); said != nil {
		t.Errorf("carol is back and sees %q", said)
	}
}

// A group goes for all of its participants, and everyone hears of it.
func TestDeletingAGroup(t *testing.T) {
	p := newParlour(t)
	c := p.group("alice", "bob")
	p.says("bob", c, "hello")
	_, push := p.must("alice", "conversation:delete", schema.ConversationRef{ConversationID: c})
	if !slices.Equal(push.Rooms, []string{"conversation:" + c, "user:alice", "user:bob"}) || !push.Closed {
		t.Errorf("told %+v", push)
	}
	for _, user := range []string{"alice", "bob"} {
		if ids := p.list(user); ids != nil {
			t.Errorf("%s still has %v", user, ids)
		}
		p.refused(schema.ConversationNotFound, user, "message:send", words(c, "anyone?"))
	}
}

// Who blocks whom keeps them apart where they would be alone, or brought together;
// not in groups that they are in already.
func TestBlocksBetweenParticipants(t *testing.T) {
	p := newParlour(t)
	direct, group := p.direct("alice", "bob"), p.group("carol", "alice", "bob")
	said := p.says("alice", direct, "hello")
	p.must("bob", "user:block", schema.TargetAction{TargetID: "alice", Action: "block"})
	for _, user := range []string{"alice", "bob"} {
		p.refused(schema.Blocked, user, "message:send", words(direct, "hello?"))
		p.says(user, group, "hello, all")
	}
	p.refused(schema.Blocked, "alice", "message:edit", schema.MessageEdit{ConversationID: direct, MessageID: said, Content: "hello?"})
	p.refused(schema.Blocked, "alice", "conversation:create", schema.ConversationCreate{Type: "group", Participants: []string{"carol", "bob"}, Name: "x"})
	p.refused(schema.Blocked, "bob", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"alice"}})
	viewOf(t, p.w, func(v *View) {
		if mayType(v, "alice", direct) || !mayType(v, "alice", group) || !v.Participates("alice", direct) {
			t.Error("writing is not as the block has it")
		}
		if got := slices.Sorted(v.Partners("alice")); !slices.Equal(got, []string{"carol"}) {
			t.Errorf("alice's partners: %v", got)
		}
	})
	p.deletes("alice", direct, said)
	p.must("bob", "user:block", schema.TargetAction{TargetID: "alice", Action: "unblock"})
	p.says("bob", direct, "hello again")
}

// What nobody may do to a conversation.
func TestConversationsRefuse(t *testing.T) {
	p := newParlour(t)
	direct, group := p.direct("alice", "bob"), p.group("alice", "bob", "carol")
	create := func(typ, name string, users ...string) any {
		return schema.ConversationCreate{Type: typ, Name: name, Participants: users}
	}
	add := func(id string, users ...string) any {
		return schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{AddParticipants: users}}
	}
	remove := func(id string, users ...string) any {
		return schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{RemoveParticipants: users}}
	}
	crowd := make([]string, maxParticipants)
	for i := range crowd {
		crowd[i] = fmt.Sprint("extra", i)
	}
	for _, c := range []struct {
		user, event string
		data        any
		code        schema.Code
	}{
		{"alice", "conversation:create", create("direct", "", "alice"), schema.Oneself},
		{"alice", "conversation:create", create("group", "x", "bob", "alice"), schema.Oneself},
		{"alice", "conversation:create", create("group", "x", "bob", "bob"), schema.InvalidField},
		{"alice", "conversation:create", create("group", "x"), schema.InvalidField},
		{"alice", "conversation:create", create("group", "", "bob"), schema.InvalidField},
		{"alice", "conversation:create", create("direct", "x", "bob"), schema.InvalidField},
		{"alice", "conversation:create", create("direct", "", "bob", "carol"), schema.InvalidField},
		{"alice", "conversation:create", create("direct", "", ""), schema.InvalidField},
		{"alice", "conversation:create", create("crowd", "x", "bob"), schema.InvalidField},
		{"alice", "conversation:create", create("group", "x", "a\x00b"), schema.InvalidField},
		{"alice", "conversation:create", create("group", "x", crowd...), schema.TooManyParticipants},
		{"alice", "conversation:update", add(direct, "carol"), schema.NotPermitted},
		{"alice", "conversation:update", remove(direct, "alice"), schema.NotPermitted},
		{"dave", "conversation:update", add(group, "dave"), schema.ConversationNotFound},
		{"bob", "conversation:update", add(group, "carol"), schema.AlreadyParticipant},
		{"bob", "conversation:update", add(group, "bob"), schema.AlreadyParticipant},
		{"bob", "conversation:update", add(group, ""), schema.InvalidField},
		{"bob", "conversation:update", add(group, "dave", "dave"), schema.InvalidField},
		{"bob", "conversation:update", add(group), schema.InvalidField},
		{"bob", "conversation:update", add(group, crowd...), schema.TooManyParticipants},
		{"bob", "conversation:update", remove(group, "carol"), schema.NotPermitted},
		{"bob", "conversation:update", remove(group, "dave"), schema.NotPermitted},
		{"alice", "conversation:update", remove(group, "dave"), schema.NotParticipant},
		{"alice", "conversation:update", schema.ConversationUpdate{ConversationID: group, Updates: schema.ConversationUpdates{
			AddParticipants: []string{"dave"}, RemoveParticipants: []string{"dave"}}}, schema.InvalidField},
		{"bob", "conversation:delete", schema.ConversationRef{ConversationID: group}, schema.NotPermitted},
		{"dave", "conversation:delete", schema.ConversationRef{ConversationID: direct}, schema.ConversationNotFound},
		{"alice", "conversation:delete", schema.ConversationRef{ConversationID: id(999)}, schema.ConversationNotFound},
	} {
		p.refused(c.code, c.user, c.event, c.data)
	}
}

// The list is by last activity; a page goes on where the one before ended.
func TestConversationsAreListedByLastActivity(t *testing.T) {
	p := newParlour(t)
	a, b, c := p.direct("alice", "bob"), p.direct("alice", "carol"), p.group("dave", "alice")
	if got := p.list("alice"); !slices.Equal(got, []string{c, b, a}) {
		t.Errorf("by creation: %v", got)
	}
	m := p.says("alice", a, "hello")
	if got := p.list("alice"); !slices.Equal(got, []string{a, c, b}) {
		t.Errorf("after a message: %v", got)
	}
	p.deletes("alice", a, m)
	p.reads("alice", c, p.says("dave", c, "welcome"))
	got := p.list("alice")
	if !slices.Equal(got, []string{c, a, b}) {
		t.Errorf("after a deletion and a reading: %v", got)
	}
	viewOf(t, p.w, func(v *View) {
		page, err := v.Conversations("alice", schema.Page{Before: c, Limit: 1})
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != a || page.Next != a {
			t.Errorf("the second page: %+v, %v", page, err)
		}
	})
}

// A page of very large conversations ends early, for it to fit into a frame.
func TestAPageOfLargeConversationsEndsEarly(t *testing.T) {
	p := newParlour(t)
	crowd := make([]string, maxParticipants-1)
	for i := range crowd {
		crowd[i] = fmt.Sprint("extra", i)
	}
	for range 5 {
		p.group("alice", crowd...)
	}
	viewOf(t, p.w, func(v *View) {
		var sizes []int
		for before := ""; ; {
			page, err := v.Conversations("alice", schema.Page{Before: before})
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(page.Items))
			if before = page.Next; before == "" {
				break
			}
		}
		if !slices.Equal(sizes, []int{2, 2, 1}) {
			t.Errorf("pages of %v", sizes)
		}
		if got := slices.Collect(v.Partners("alice")); got != nil {
			t.Errorf("%d partners of large groups", len(got))
		}
	})
}

// mayType asks as the gateway does for message:typing.
func mayType(v *View, user, conversationID string) bool {
	e, _ := schema.Lookup("message:typing")
	return v.Permit(e, user, &schema.ConversationAction{ConversationID: conversationID, Action: schema.ActionStart}) == ""
}

// Who deletes a direct conversation for themselves has nothing left in it to be read;
// the other one has.
func TestDeletingADirectConversationTakesItsNotificationBack(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	p.says("bob", c, "hello")
	p.says("alice", c, "hello yourself")
	p.must("alice", "conversation:delete", schema.ConversationRef{ConversationID: c})
	viewOf(t, p.w, func(v *View) {
		if a, b := v.UnreadNotifications("alice"), v.UnreadNotifications("bob"); a != 0 || b != 1 {
			t.Errorf("alice has %d to read, bob %d", a, b)
		}
	})
}
