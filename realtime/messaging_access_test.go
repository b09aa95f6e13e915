package realtime_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"roomlog/schema"
)

// circle is a group with everyone who may not do something: alice opened it, bob
// wrote in it, carol was removed, dave never was in it.
type circle struct {
	*gateway
	alice, bob, carol, dave *peer
	group                   string
	alices, bobs, carols    string // messages
}

func newCircle(t *testing.T) *circle {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol", "dave")
	c := &circle{gateway: g, alice: p[0], bob: p[1], carol: p[2], dave: p[3]}
	c.group = c.alice.group("Circle", "bob", "carol")
	c.alices, c.bobs, c.carols = c.alice.say(c.group, "alice's"), c.bob.say(c.group, "bob's"), c.carol.say(c.group, "carol's")
	c.alice.comesIn(c.group)
	c.bob.comesIn(c.group)
	c.alice.removes(c.group, "carol")
	for _, p := range []*peer{c.bob, c.carol} {
		p.until("conversation:update")
	}
	return c
}

// whatIsSaid returns the error that a command is refused with, but for its time.
func (p *peer) whatIsSaid(event string, data any) schema.Error {
	p.t.Helper()
	_, err := p.Do(p.t.Context(), event, data, "")
	var refusal *schema.Error
	if !errors.As(err, &refusal) {
		p.t.Errorf("%s: %s %v: %v, and must be refused", p.user, event, data, err)
		return schema.Error{}
	}
	return *refusal
}

// Who is no participant, or no longer, is told what they are told of a
// conversation that nobody ever opened: the same words for every command.
func TestNobodyElseLearnsOfAConversation(t *testing.T) {
	c := newCircle(t)
	const never = "01JD0000000000000000000000"
	before := c.log.Last()
	for _, who := range []*peer{c.carol, c.dave} {
		for _, message := range []string{c.alices, c.carols, never} {
			real, invented := aboutConversation(c.group, message), aboutConversation(never, message)
			for _, event := range slices.Sorted(maps.Keys(real)) {
				got, want := who.whatIsSaid(event, real[event]), who.whatIsSaid(event, invented[event])
				if got != want || got.Code != schema.ConversationNotFound {
					t.Errorf("%s: %s: %+v, of none: %+v", who.user, event, got, want)
				}
			}
		}
		// Commands that would name it in another place.
		for _, pair := range [][2]any{
			{schema.MessageList{ConversationID: c.group, After: c.alices}, schema.MessageList{ConversationID: never, After: c.alices}},
			{schema.MessageList{ConversationID: c.group, Around: c.carols}, schema.MessageList{ConversationID: never, Around: c.carols}},
			{schema.MessageList{ConversationID: c.group, Page: schema.Page{Before: c.carols}}, schema.MessageList{ConversationID: never, Page: schema.Page{Before: c.carols}}},
		} {
			if got, want := who.whatIsSaid("message:list", pair[0]), who.whatIsSaid("message:list", pair[1]); got != want {
				t.Errorf("%s: %+v, of none: %+v", who.user, got, want)
			}
		}
		if got, want := who.whatIsSaid("conversation:list", schema.Page{Before: c.group}), who.whatIsSaid("conversation:list", schema.Page{Before: never}); got != want {
			t.Errorf("%s: %+v, of none: %+v", who.user, got, want)
		}
		for _, u := range []schema.ConversationUpdates{
			{AddParticipants: []string{who.user}}, {AddParticipants: []string{"alice"}}, {RemoveParticipants: []string{who.user}}, {RemoveParticipants: []string{"bob"}},
		} {
			got := who.whatIsSaid("conversation:update", schema.ConversationUpdate{ConversationID: c.group, Updates: u})
			if want := who.whatIsSaid("conversation:update", schema.ConversationUpdate{ConversationID: never, Updates: u}); got != want {
				t.Errorf("%s: %+v: %+v, of none: %+v", who.user, u, got, want)
			}
		}
		for _, id := range []string{c.group, never} { // leaving a room one is not in says nothing
			who.do("message:leave", schema.ConversationRef{ConversationID: id})
			who.refused(schema.PostNotFound, "post:join", schema.PostRef{PostID: id})
			who.refused(schema.PostNotFound, "post:get", schema.PostRef{PostID: id})
			who.refused(schema.NotInRoom, "user:typing", schema.PostAction{PostID: id, Action: "start"})
		}
		if got := who.list(schema.Page{}); len(got.Items) != 0 {
			t.Errorf("%s lists %+v", who.user, got.Items)
		}
	}
	if c.log.Last() != before {
		t.Error("what was refused is in the log")
	}
	// And no push reached them, nor any of theirs the others.
	c.bob.say(c.group, "more")
	c.alice.hears("message:send", schema.ConversationRoom(c.group))
	c.bob.do("message:typing", schema.ConversationAction{ConversationID: c.group, Action: "start"})
	c.alice.hears("message:typing", schema.ConversationRoom(c.group))
	for _, p := range []*peer{c.alice, c.bob, c.carol, c.dave} {
		p.heardNothing()
	}
	c.alice.sees(c.group, "alice's", "bob's", "carol's", "more")
}

// With facts in flight the gateway checks nothing: the log decides the same.
func TestNobodyElseGetsInByHurrying(t *testing.T) {
	c := newCircle(t)
	for _, who := range []*peer{c.carol, c.dave} {
		for event, data := range aboutConversation(c.group, c.alices) {
			if e, _ := schema.Lookup(event); e.Kind != schema.Fact {
				continue
			}
			answers := make(chan schema.Frame, 3)
			for range cap(answers) {
				if err := who.Send(event, data, "", func(f schema.Frame) { answers <- f }); err != nil {
					t.Fatal(err)
				}
			}
			for range cap(answers) {
				if f := <-answers; f.Error == nil || f.Error.Code != schema.ConversationNotFound {
					t.Errorf("%s: %s: %+v", who.user, event, f)
				}
			}
		}
	}
	for _, p := range []*peer{c.alice, c.bob, c.carol, c.dave} {
		p.heardNothing()
	}
	c.alice.sees(c.group, "alice's", "bob's", "carol's")
}

func TestWhatParticipantsMayNotDo(t *testing.T) {
	c := newCircle(t)
	other := c.alice.group("Another", "bob")
	c.bob.hears("conversation:create", "user:bob")
	elsewhere := c.alice.say(other, "elsewhere")
	c.bob.hears("message:send", "user:bob")
	hers := schema.MessageRef{ConversationID: c.group, MessageID: c.alices}
	astray := schema.MessageRef{ConversationID: c.group, MessageID: elsewhere}
	reply := text(c.group, "x")
	reply.ReplyTo = elsewhere
	ofGone := text(c.group, "x")
	ofGone.ReplyTo = c.carols
	c.bob.do("message:delete", schema.MessageRef{ConversationID: c.group, MessageID: c.bobs})
	c.alice.hears("message:delete", schema.ConversationRoom(c.group))
	gone := text(c.group, "x")
	gone.ReplyTo = c.bobs
	for _, step := range []struct {
		event string
		data  any
		code  schema.Code
	}{
		{"conversation:delete", schema.ConversationRef{ConversationID: c.group}, schema.NotPermitted},
		{"conversation:update", schema.ConversationUpdate{ConversationID: c.group, Updates: schema.ConversationUpdates{RemoveParticipants: []string{"alice"}}}, schema.NotPermitted},
		{"message:edit", schema.MessageEdit{ConversationID: c.group, MessageID: c.alices, Content: "bob's now"}, schema.NotPermitted},
		{"message:delete", hers, schema.NotPermitted},
		{"message:edit", schema.MessageEdit{ConversationID: c.group, MessageID: c.carols, Content: "bob's now"}, schema.NotPermitted},
		{"message:edit", schema.MessageEdit{ConversationID: c.group, MessageID: c.bobs, Content: "back"}, schema.MessageNotFound},
		{"message:delete", schema.MessageRef{ConversationID: c.group, MessageID: c.bobs}, schema.MessageNotFound},
		{"message:read", schema.MessageRef{ConversationID: c.group, MessageID: c.bobs}, schema.NotPermitted},
		{"message:delivered", schema.MessageRef{ConversationID: c.group, MessageID: c.bobs}, schema.NotPermitted},
		{"message:edit", schema.MessageEdit{ConversationID: c.group, MessageID: elsewhere, Content: "x"}, schema.MessageNotFound},
		{"message:delete", astray, schema.MessageNotFound},
		{"message:read", astray, schema.MessageNotFound},
		{"message:delivered", astray, schema.MessageNotFound},
		{"message:list", schema.MessageList{ConversationID: c.group, After: elsewhere}, schema.InvalidField},
		{"message:list", schema.MessageList{ConversationID: c.group, Around: elsewhere}, schema.InvalidField},
		{"message:list", schema.MessageList{ConversationID: c.group, Page: schema.Page{Before: elsewhere}}, schema.InvalidField},
		{"message:send", reply, schema.MessageNotFound},
		{"message:send", gone, schema.MessageNotFound},
	} {
		c.bob.refused(step.code, step.event, step.data)
	}
	c.alice.heardNothing()
	c.alice.sees(c.group, "alice's", "carol's")
	c.bob.do("message:send", ofGone) // carol is out, her message is not
}

// A direct conversation belongs to two, whoever names it.
func TestADirectConversationIsNobodyElses(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob", "carol")
	alice, bob, carol := p[0], p[1], p[2]
	id := alice.direct("bob")
	said := bob.say(id, "Between us")
	for event, data := range aboutConversation(id, said) {
		carol.refused(schema.ConversationNotFound, event, data)
	}
	mine := carol.do("conversation:create", directWith("bob"))
	if as[schema.ConversationCreated](t, mine).Conversation.ID == id {
		t.Error("carol was let in")
	}
	bob.refused(schema.NotPermitted, "conversation:update", schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{AddParticipants: []string{"carol"}}})
	bob.say(id, "still")
	carol.heardNothing()
	alice.sees(id, "Between us", "still")
}
