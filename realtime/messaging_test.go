package realtime_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

var stamps = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

// talker opens a socket that hears of /messaging alone: not of who comes and goes.
func (g *gateway) talker(t testing.TB, user string) *peer {
	t.Helper()
	return g.connectWith(t, user, client.Options{Token: tokenFor(t, user), Namespaces: []schema.Namespace{schema.Messaging}})
}

func (g *gateway) talkers(t testing.TB, users ...string) []*peer {
	t.Helper()
	var all []*peer
	for _, user := range users {
		all = append(all, g.talker(t, user))
	}
	return all
}

// group opens a group with others and returns its id.
func (p *peer) group(name string, others ...string) string {
	p.t.Helper()
	create := schema.ConversationCreate{Type: schema.ConversationGroup, Participants: others, Name: name}
	return as[schema.ConversationCreated](p.t, p.do("conversation:create", create)).Conversation.ID
}

// direct opens the direct conversation with another and returns its id.
func (p *peer) direct(other string) string {
	p.t.Helper()
	return as[schema.ConversationCreated](p.t, p.do("conversation:create", directWith(other))).Conversation.ID
}

func directWith(other string) schema.ConversationCreate {
	return schema.ConversationCreate{Type: schema.ConversationDirect, Participants: []string{other}}
}

func text(conversation, content string) schema.MessageSend {
	return schema.MessageSend{ConversationID: conversation, Content: content, MessageType: schema.MessageText}
}

// say sends a text and returns its id.
func (p *peer) say(conversation, content string) string {
	p.t.Helper()
	return as[schema.MessageSent](p.t, p.do("message:send", text(conversation, content))).Message.ID
}

// enters joins the conversation's room.
func (p *peer) enters(conversation string) {
	p.t.Helper()
	p.do("message:join", schema.ConversationRef{ConversationID: conversation})
	if push := p.hears("message:joined", ""); as[schema.ConversationRef](p.t, push).ConversationID != conversation || push.Seq != 0 {
		p.t.Errorf("%s joined %s and heard %s", p.user, conversation, push.Data)
	}
}

func (p *peer) adds(conversation string, users ...string) {
	p.t.Helper()
	p.do("conversation:update", schema.ConversationUpdate{ConversationID: conversation, Updates: schema.ConversationUpdates{AddParticipants: users}})
}

func (p *peer) removes(conversation string, users ...string) {
	p.t.Helper()
	p.do("conversation:update", schema.ConversationUpdate{ConversationID: conversation, Updates: schema.ConversationUpdates{RemoveParticipants: users}})
}

func (p *peer) get(conversation string) schema.Conversation {
	p.t.Helper()
	return as[schema.Conversation](p.t, p.do("conversation:get", schema.ConversationRef{ConversationID: conversation}))
}

func (p *peer) list(q schema.Page) schema.Items[schema.Conversation] {
	p.t.Helper()
	return as[schema.Items[schema.Conversation]](p.t, p.do("conversation:list", q))
}

// reads returns what a page of messages says, newest first as it comes, and next.
func (p *peer) reads(q schema.MessageList) (said []string, next string) {
	p.t.Helper()
	page := as[schema.Items[schema.Message]](p.t, p.do("message:list", q))
	for _, m := range page.Items {
		said = append(said, m.Content)
	}
	return said, page.Next
}

// sees checks what a user sees of a conversation, oldest first.
func (p *peer) sees(conversation string, want ...string) {
	p.t.Helper()
	said, next := p.reads(schema.MessageList{ConversationID: conversation, Page: schema.Page{Limit: 100}})
	slices.Reverse(said)
	if !slices.Equal(said, want) || next != "" {
		p.t.Errorf("%s sees %q and then %q, want %q", p.user, said, next, want)
	}
}

func names(actors []schema.Actor) string {
	var all []string
	for _, a := range actors {
		all = append(all, a.ID)
	}
	return strings.Join(all, " ")
}

// Everyone of the next test: alice, with two devices, opens a group with bob, who
// has two as well, and carol. Dave comes later, erin never.
func TestMessagingFactsReachTheirRoomsAndNobodyElse(t *testing.T) {
	g := openGateway(t, nil)
	peers := map[string]*peer{}
	for name, user := range map[string]string{
		"alice": "alice", "alice's phone": "alice", "bob": "bob", "bob's tablet": "bob", "carol": "carol", "dave": "dave", "erin": "erin",
	} {
		peers[name] = g.talker(t, user)
	}
	var watch, said string
	room := func() string { return schema.ConversationRoom(watch) }
	ref := func() any { return schema.ConversationRef{ConversationID: watch} }
	message := func() any { return schema.MessageRef{ConversationID: watch, MessageID: said} }
	update := func(u schema.ConversationUpdates) func() any {
		return func() any { return schema.ConversationUpdate{ConversationID: watch, Updates: u} }
	}
	type hearing = map[string]string // name → room, "" for the conversation's
	for _, step := range []struct {
		who   string
		event string
		data  func() any
		heard hearing
	}{
		{"alice", "conversation:create", func() any {
			return schema.ConversationCreate{Type: schema.ConversationGroup, Participants: []string{"bob", "carol"}, Name: "The watch"}
		}, hearing{"alice's phone": "user:alice", "bob": "user:bob", "bob's tablet": "user:bob", "carol": "user:carol"}},
		{"alice", "message:join", ref, nil},
		{"bob", "message:join", ref, nil},
		{"bob's tablet", "message:join", ref, nil},
		{"alice", "message:send", func() any { return text(watch, "Who's there?") },
			hearing{"bob": "", "bob's tablet": "", "alice's phone": "user:alice", "carol": "user:carol"}},
		{"bob", "message:typing", func() any { return schema.ConversationAction{ConversationID: watch, Action: "start"} },
			hearing{"alice": "", "bob's tablet": ""}},
		{"carol", "message:typing", func() any { return schema.ConversationAction{ConversationID: watch, Action: "stop"} },
			hearing{"alice": "", "bob": "", "bob's tablet": ""}},
		{"bob", "message:delivered", message, hearing{"alice": "", "bob's tablet": ""}},
		{"bob", "message:read", message, hearing{"alice": "", "bob's tablet": ""}},
		{"carol", "message:read", message, hearing{"alice": "", "bob": "", "bob's tablet": ""}},
		{"alice's phone", "message:edit", func() any {
			return schema.MessageEdit{ConversationID: watch, MessageID: said, Content: "Nay, answer me"}
		}, hearing{"alice": "", "bob": "", "bob's tablet": "", "carol": "user:carol"}},
		{"alice", "message:delete", message, hearing{"bob": "", "bob's tablet": "", "alice's phone": "user:alice", "carol": "user:carol"}},
		{"bob", "conversation:update", update(schema.ConversationUpdates{Name: "The cold watch"}),
			hearing{"alice": "", "bob's tablet": "", "alice's phone": "user:alice", "carol": "user:carol"}},
		{"carol", "conversation:update", update(schema.ConversationUpdates{AddParticipants: []string{"dave"}}),
			hearing{"alice": "", "bob": "", "bob's tablet": "", "alice's phone": "user:alice", "dave": "user:dave"}},
		{"bob's tablet", "message:leave", ref, nil},
		{"dave", "message:send", func() any { return text(watch, "Long live the king") },
			hearing{"alice": "", "bob": "", "bob's tablet": "user:bob", "alice's phone": "user:alice", "carol": "user:carol"}},
		{"bob's tablet", "message:read", message, hearing{"alice": "", "bob": ""}},
		{"alice", "conversation:update", update(schema.ConversationUpdates{RemoveParticipants: []string{"carol"}}),
			hearing{"bob": "", "bob's tablet": "user:bob", "alice's phone": "user:alice", "carol": "user:carol", "dave": "user:dave"}},
		{"bob", "conversation:update", update(schema.ConversationUpdates{RemoveParticipants: []string{"bob"}}), // he leaves
			hearing{"alice": "", "bob's tablet": "user:bob", "alice's phone": "user:alice", "dave": "user:dave"}},
		{"alice", "message:send", func() any { return text(watch, "What, is Horatio there?") },
			hearing{"alice's phone": "user:alice", "dave": "user:dave"}},
		{"alice's phone", "conversation:delete", ref, hearing{"alice": "", "dave": "user:dave"}},
	} {
		ack := peers[step.who].do(step.event, step.data())
		switch step.event {
		case "conversation:create":
			watch = as[schema.ConversationCreated](t, ack).Conversation.ID
		case "message:join":
			peers[step.who].hears("message:joined", "")
		case "message:send":
			said = as[schema.MessageSent](t, ack).Message.ID
		}
		for _, name := range slices.Sorted(maps.Keys(step.heard)) {
			in := step.heard[name]
			if in == "" {
				in = room()
			}
			push := peers[name].hears(step.event, in)
			if step.event == "message:typing" {
				if got := as[schema.MessageTyping](t, push); got.UserID != peers[step.who].user || got.ConversationID != watch || push.Seq != 0 {
					t.Errorf("%s heard %+v of %s's typing", name, push, step.who)
				}
				continue
			}
			want := ack.Data
			if step.event == "message:read" && peers[name].user != peers[step.who].user {
				read := as[schema.MessageRead](t, ack) // how much is left is the reader's own
				read.UnreadCount = nil
				want = encode(t, read)
			}
			if push.Seq != ack.Seq || !sameJSON(push.Data, want) {
				t.Errorf("%s was pushed %d %s, the ack of %s is %d %s", name, push.Seq, push.Data, step.event, ack.Seq, ack.Data)
			}
		}
		for _, p := range peers {
			p.heardNothing()
		}
	}
	if in := g.server.Stats().Rooms; in != 5+1 { // five users' rooms and the public one
		t.Errorf("%d rooms are left", in)
	}
}

func TestTheAcksOfMessagingInFull(t *testing.T) {
	g := openGateway(t, nil)
	p := g.talkers(t, "alice", "bob")
	alice, bob := p[0], p[1]
	is := func(ack schema.Frame, want string) {
		t.Helper()
		stripped := stamps.ReplaceAllString(string(ack.Data), `"<time>"`)
		if stripped != want {
			t.Errorf("acked\n  %s\nwant\n  %s", stripped, want)
		}
	}
	created := alice.do("conversation:create", directWith("bob"))
	id := as[schema.ConversationCreated](t, created).Conversation.ID
	is(created, `{"conversation":{"id":"`+id+`","type":"direct","name":"","participants":[{"id":"alice","username":"alice"},{"id":"bob","username":"bob"}],"createdAt":"<time>"}}`)
	image := schema.MessageSend{ConversationID: id, MessageType: schema.MessageImage, Media: []schema.Media{{URL: "https://img.example/skull.png", Type: "image", Alt: "Yorick"}}}
	sent := alice.do("message:send", image)
	skull := as[schema.MessageSent](t, sent).Message.ID
	is(sent, `{"conversationId":"`+id+`","message":{"id":"`+skull+`","sender":{"id":"alice","username":"alice"},"content":"","messageType":"image","media":[{"url":"https://img.example/skull.png","type":"image","alt":"Yorick"}],"createdAt":"<time>"}}`)
	answer := text(id, "Alas, poor Yorick")
	answer.ReplyTo = skull
	answered := bob.do("message:send", answer)
	alas := as[schema.MessageSent](t, answered).Message.ID
	is(answered, `{"conversationId":"`+id+`","message":{"id":"`+alas+`","sender":{"id":"bob","username":"bob"},"content":"Alas, poor Yorick","messageType":"text","media":[],"replyTo":"`+skull+`","createdAt":"<time>"}}`)
	ref := schema.MessageRef{ConversationID: id, MessageID: skull}
	is(bob.do("message:delivered", ref), `{"messageId":"`+skull+`","conversationId":"`+id+`","deliveredTo":"bob","deliveredAt":"<time>"}`)
	is(bob.do("message:read", ref), `{"messageId":"`+skull+`","conversationId":"`+id+`","readBy":"bob","readAt":"<time>","unreadCount":0}`)
	is(bob.do("message:edit", schema.MessageEdit{ConversationID: id, MessageID: alas, Content: "I knew him, Horatio"}),
		`{"messageId":"`+alas+`","conversationId":"`+id+`","content":"I knew him, Horatio","editedAt":"<time>"}`)
	is(alice.do("message:list", schema.MessageList{ConversationID: id}), `{"items":[`+
		`{"id":"`+alas+`","sender":{"id":"bob","username":"bob"},"content":"I knew him, Horatio","messageType":"text","media":[],"replyTo":"`+skull+`","createdAt":"<time>","editedAt":"<time>"},`+
		`{"id":"`+skull+`","sender":{"id":"alice","username":"alice"},"content":"","messageType":"image","media":[{"url":"https://img.example/skull.png","type":"image","alt":"Yorick"}],"createdAt":"<time>","deliveredTo":["bob"],"readBy":["bob"]}],"next":""}`)
	is(alice.do("conversation:get", schema.ConversationRef{ConversationID: id}),
		`{"id":"`+id+`","type":"direct","name":"","participants":[{"id":"alice","username":"alice"},{"id":"bob","username":"bob"}],"createdAt":"<time>",`+
			`"lastMessage":{"id":"`+alas+`","sender":{"id":"bob","username":"bob"},"content":"I knew him, Horatio","messageType":"text","media":[],"replyTo":"`+skull+`","createdAt":"<time>","editedAt":"<time>"},`+
			`"lastActivity":"<time>","unreadCount":1}`)
	is(bob.do("message:delete", schema.MessageRef{ConversationID: id, MessageID: alas}), `{"messageId":"`+alas+`","conversationId":"`+id+`","deletedBy":"bob"}`)
	is(alice.do("conversation:delete", schema.ConversationRef{ConversationID: id}), `{"conversationId":"`+id+`","deletedBy":"alice"}`)
	group := alice.group("The play", "bob")
	is(bob.do("conversation:update", schema.ConversationUpdate{ConversationID: group, Updates: schema.ConversationUpdates{Name: "The mousetrap", AddParticipants: []string{"zed"}}}),
		`{"conversationId":"`+group+`","updates":{"name":"The mousetrap","addParticipants":["zed"]},"updatedAt":"<time>"}`)
	is(bob.do("message:join", schema.ConversationRef{ConversationID: group}), `{}`)
	is(bob.do("message:typing", schema.ConversationAction{ConversationID: group, Action: "start"}), `{}`)
	is(bob.do("message:leave", schema.ConversationRef{ConversationID: group}), `{}`)
}
