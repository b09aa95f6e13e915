package realtime_test

import (
	"fmt"
	"slices"
	"testing"

	"roomlog/realtime"
	"roomlog/schema"
)

func TestADirectConversationExistsOnce(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "alice", "bob", "carol")
	alice, phone, bob, carol := p[0], p[1], p[2], p[3]
	first := alice.do("conversation:create", directWith("bob"))
	phone.hears("conversation:create", "user:alice")
	bob.hears("conversation:create", "user:bob")
	before := g.log.Last()
	for who, other := range map[*peer]string{alice: "bob", phone: "bob", bob: "alice"} {
		again := who.do("conversation:create", directWith(other))
		a, b := as[schema.ConversationCreated](t, first).Conversation, as[schema.ConversationCreated](t, again).Conversation
		if !again.Duplicate || again.Seq != first.Seq || a.ID != b.ID || names(b.Participants) != "alice bob" || b.CreatedAt != a.CreatedAt {
			t.Errorf("%s was answered %+v %s", who.user, again, again.Data)
		}
	}
	if g.log.Last() != before {
		t.Error("what exists already took a place in the log")
	}
	if other := carol.do("conversation:create", directWith("bob")); other.Duplicate {
		t.Error("carol's conversation with bob is alice's")
	}
	bob.hears("conversation:create", "user:bob")
	if other := alice.do("conversation:create", schema.ConversationCreate{Type: "group", Participants: []string{"bob"}, Name: "Two"}); other.Duplicate {
		t.Error("a group of two is a direct conversation")
	}
	phone.hears("conversation:create", "user:alice")
	bob.hears("conversation:create", "user:bob")
	for _, p := range p {
		p.heardNothing()
	}
}

// Both ask at once, each on two devices: neither the gateway nor the two clients
// can know who is first.
func TestADirectConversationThatAllAskForAtOnce(t *testing.T) {
	g := openGateway(t, nil)
	for round := range 25 {
		a, b := fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)
		p := g.talkers(t, a, a, b, b)
		acks := make(chan schema.Frame, 2*len(p))
		for range 2 {
			for i, who := range p {
				other := b
				if i >= 2 {
					other = a
				}
				if err := who.Send("conversation:create", directWith(other), "", func(f schema.Frame) { acks <- f }); err != nil {
					t.Fatal(err)
				}
			}
		}
		ids, seqs, firsts := map[string]bool{}, map[uint64]bool{}, 0
		for range cap(acks) {
			ack := <-acks
			if ack.Error != nil {
				t.Fatalf("%+v", ack.Error)
			}
			ids[as[schema.ConversationCreated](t, ack).Conversation.ID], seqs[ack.Seq] = true, true
			if !ack.Duplicate {
				firsts++
			}
		}
		if len(ids) != 1 || len(seqs) != 1 || firsts != 1 {
			t.Errorf("%d conversations at %d places, %d times created", len(ids), len(seqs), firsts)
		}
		told := 0
		for i, who := range p {
			who.do("user:block", schema.TargetAction{TargetID: fmt.Sprint(barrierTarget, i), Action: "block"})
			told += len(who.pushes)
		}
		if told != len(p)-1 {
			t.Errorf("%d of %d other sockets were told", told, len(p)-1)
		}
		for _, who := range p {
			if got := who.list(schema.Page{}); len(got.Items) != 1 {
				t.Errorf("%s has %d conversations", who.user, len(got.Items))
			}
			who.Close()
		}
	}
}

func TestARetriedCreationIsAnsweredTheSame(t *testing.T) {
	g := openGateway(t, nil)
	alice := g.talker(t, "alice")
	create := func(data any) schema.Frame {
		return must(alice.Do(t.Context(), "conversation:create", data, "k"+fmt.Sprint(data)))
	}
	group := schema.ConversationCreate{Type: "group", Participants: []string{"bob"}, Name: "The watch"}
	for _, data := range []any{group, directWith("bob")} {
		first, again := create(data), create(data)
		if first.Duplicate || !again.Duplicate || again.Seq != first.Seq || !sameJSON(first.Data, again.Data) {
			t.Errorf("acked %+v, and again %+v", first, again)
		}
	}
}

// Whoever deletes a direct conversation puts it away for themselves alone.
func TestADirectConversationThatOneDeleted(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "alice", "bob")
	alice, phone, bob := p[0], p[1], p[2]
	id := alice.direct("bob")
	one := bob.say(id, "one")
	bob.say(id, "two")
	for _, p := range p {
		p.comesIn(id)
	}
	alice.do("conversation:delete", schema.ConversationRef{ConversationID: id})
	phone.hears("conversation:delete", "user:alice")
	bob.heardNothing()
	if got := alice.list(schema.Page{}); len(got.Items) != 0 {
		t.Errorf("alice still lists %+v", got.Items)
	}
	if got := bob.list(schema.Page{}); len(got.Items) != 1 || *got.Items[0].UnreadCount != 0 {
		t.Errorf("bob lists %+v", got.Items)
	}
	alice.sees(id)
	bob.do("message:edit", schema.MessageEdit{ConversationID: id, MessageID: one, Content: "One"}) // she no longer sees it
	bob.sees(id, "One", "two")
	alice.heardNothing()

	three := bob.say(id, "three") // it comes back with what is new
	for _, p := range []*peer{alice, phone} {
		p.hears("message:send", schema.ConversationRoom(id))
	}
	alice.sees(id, "three")
	got := alice.list(schema.Page{})
	if len(got.Items) != 1 || got.Items[0].LastMessage.ID != three || *got.Items[0].UnreadCount != 1 {
		t.Errorf("alice lists %+v", got.Items)
	}

	alice.do("conversation:delete", schema.ConversationRef{ConversationID: id})
	phone.hears("conversation:delete", "user:alice")
	again := alice.do("conversation:create", directWith("bob")) // or when she asks for it
	if again.Duplicate || as[schema.ConversationCreated](t, again).Conversation.ID != id {
		t.Errorf("asked for again: %+v %s", again, again.Data)
	}
	if push := phone.hears("conversation:create", "user:alice"); !sameJSON(push.Data, again.Data) {
		t.Errorf("her phone heard %s", push.Data)
	}
	if got := alice.list(schema.Page{}); len(got.Items) != 1 || got.Items[0].LastMessage != nil {
		t.Errorf("alice lists %+v", got.Items)
	}
	alice.sees(id)
	bob.sees(id, "One", "two", "three")
	for _, p := range p {
		p.heardNothing()
	}
}

// comesIn enters the room and forgets whatever was heard before: what others did,
// as far as it was acked, has been told by the ack of a fact of one's own.
func (p *peer) comesIn(conversation string) {
	p.t.Helper()
	p.do("message:join", schema.ConversationRef{ConversationID: conversation})
	p.bar()
	for len(p.pushes) > 0 {
		<-p.pushes
	}
}

func TestWhoBlocksIsLeftAlone(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.direct("bob")
	said := bob.say(id, "Words")
	group := carol.group("All", "alice", "bob")
	for _, p := range p[:2] {
		p.comesIn(id)
		p.comesIn(group)
	}
	block := func(action string) { bob.do("user:block", schema.TargetAction{TargetID: "alice", Action: action}) }
	block("block")
	bob.refused(schema.Blocked, "message:edit", schema.MessageEdit{ConversationID: id, MessageID: said, Content: "Other words"})
	for _, who := range []*peer{alice, bob} { // in both directions
		who.refused(schema.Blocked, "message:send", text(id, "Words"))
		who.refused(schema.Blocked, "message:typing", schema.ConversationAction{ConversationID: id, Action: "start"})
	}
	alice.refused(schema.Blocked, "conversation:create", directWith("bob"))
	bob.refused(schema.Blocked, "conversation:create", directWith("alice"))
	alice.refused(schema.Blocked, "conversation:create", schema.ConversationCreate{Type: "group", Participants: []string{"carol", "bob"}, Name: "x"})
	alone := alice.group("Without", "carol")
	alice.refused(schema.Blocked, "conversation:update", schema.ConversationUpdate{ConversationID: alone, Updates: schema.ConversationUpdates{AddParticipants: []string{"bob"}}})
	bob.heardNothing()
	bob.sees(id, "Words")
	alice.sees(id, "Words")
	alice.do("message:read", schema.MessageRef{ConversationID: id, MessageID: said})
	bob.heardNothing() // when somebody reads is as good as when they are there

	alice.say(group, "Groups go on") // nobody has to know of a block
	bob.hears("message:send", schema.ConversationRoom(group))
	alice.do("message:typing", schema.ConversationAction{ConversationID: group, Action: "start"})
	bob.hears("message:typing", schema.ConversationRoom(group))

	block("unblock")
	alice.say(id, "Words, words")
	bob.hears("message:send", schema.ConversationRoom(id))
	bob.heardNothing()
}

func TestWhenTheCreatorLeaves(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.group("The crown", "carol")
	alice.adds(id, "bob")
	carol.refused(schema.NotPermitted, "conversation:delete", schema.ConversationRef{ConversationID: id})
	alice.removes(id, "alice")
	bob.refused(schema.NotPermitted, "conversation:delete", schema.ConversationRef{ConversationID: id})
	carol.adds(id, "alice") // she comes back as anybody
	alice.refused(schema.NotPermitted, "conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{RemoveParticipants: []string{"bob"}}})
	carol.removes(id, "bob") // carol was here before bob: it is hers now
	if got := names(carol.get(id).Participants); got != "carol alice" {
		t.Errorf("participants are %s", got)
	}
	carol.removes(id, "carol")
	alice.removes(id, "alice") // the last one
	for _, p := range p {
		p.refused(schema.ConversationNotFound, "conversation:get", schema.ConversationRef{ConversationID: id})
		p.refused(schema.ConversationNotFound, "conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{Name: "x"}})
	}
}

func TestADeletedGroupIsGoneForAll(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob := p[0], p[1]
	id := alice.group("Denmark", "bob", "carol")
	said := alice.say(id, "Something is rotten")
	for _, other := range p[1:] {
		other.until("message:send")
	}
	bob.enters(id)
	alice.enters(id)
	rooms := g.server.Stats().Rooms
	alice.do("conversation:delete", schema.ConversationRef{ConversationID: id})
	bob.hears("conversation:delete", schema.ConversationRoom(id))
	p[2].hears("conversation:delete", "user:carol")
	if got := g.server.Stats().Rooms; got != rooms-1 {
		t.Errorf("%d rooms, want %d: everyone is out", got, rooms-1)
	}
	for _, p := range p {
		for event, data := range aboutConversation(id, said) {
			p.refused(schema.ConversationNotFound, event, data)
		}
		if got := p.list(schema.Page{}); len(got.Items) != 0 {
			t.Errorf("%s lists %+v", p.user, got.Items)
		}
		p.heardNothing()
	}
}

// aboutConversation is a command of every kind about a conversation that is
// answered CONVERSATION_NOT_FOUND to who is no participant.
func aboutConversation(id, message string) map[string]any {
	ref := schema.ConversationRef{ConversationID: id}
	one := schema.MessageRef{ConversationID: id, MessageID: message}
	return map[string]any{
		"conversation:get":    ref,
		"conversation:update": schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{Name: "Mine"}},
		"conversation:delete": ref,
		"message:join":        ref,
		"message:typing":      schema.ConversationAction{ConversationID: id, Action: "start"},
		"message:send":        text(id, "Boo"),
		"message:delivered":   one,
		"message:read":        one,
		"message:edit":        schema.MessageEdit{ConversationID: id, MessageID: message, Content: "Boo"},
		"message:delete":      one,
		"message:list":        schema.MessageList{ConversationID: id},
	}
}

func TestConversationsAreListedByLastActivity(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob")
	alice, bob := p[0], p[1]
	var ids []string
	for i := range 7 {
		ids = append(ids, alice.group(fmt.Sprint(i), "bob"))
	}
	bob.say(ids[2], "up")
	bob.say(ids[4], "and up")
	gone := bob.say(ids[0], "and away")
	bob.do("message:delete", schema.MessageRef{ConversationID: ids[0], MessageID: gone})
	want := []string{ids[0], ids[4], ids[2], ids[6], ids[5], ids[3], ids[1]}
	for limit := 1; limit <= 8; limit++ {
		var got []string
		for q := (schema.Page{Limit: limit}); ; {
			page := alice.list(q)
			for _, c := range page.Items {
				got = append(got, c.ID)
			}
			if q.Before = page.Next; q.Before == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
	top := alice.list(schema.Page{Limit: 3}).Items
	if top[0].LastMessage != nil || *top[0].UnreadCount != 0 {
		t.Errorf("a deleted message is shown, or counted: %+v", top[0])
	}
	if last := top[1].LastMessage; last == nil || last.Content != "and up" || *top[1].LastActivity != last.CreatedAt || *top[1].UnreadCount != 1 {
		t.Errorf("%+v", top[1])
	}
	bob.do("conversation:update", schema.ConversationUpdate{ConversationID: ids[1], Updates: schema.ConversationUpdates{Name: "renamed"}})
	if top := alice.list(schema.Page{Limit: 1}).Items; top[0].ID != ids[0] {
		t.Error("a new name is no activity")
	}
}

func TestRoomsOfConversationsCount(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.MaxRoomsPerSocket = 3 }) // two are the user's and the public one
	alice := g.talker(t, "alice")
	one, two := alice.group("one", "bob"), alice.group("two", "bob")
	alice.enters(one)
	alice.enters(one) // again: it is in already
	alice.refused(schema.TooManyRooms, "message:join", schema.ConversationRef{ConversationID: two})
	alice.heardNothing() // of having joined
	alice.do("message:leave", schema.ConversationRef{ConversationID: one})
	alice.enters(two)
	alice.do("message:leave", schema.ConversationRef{ConversationID: one})
}
