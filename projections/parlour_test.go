package projections

import (
	"path/filepath"
	"slices"
	"testing"

	"roomlog/eventlog"
	"roomlog/schema"
)

// parlour is where users of a test talk.
type parlour struct {
	testing.TB
	w *writer
	n int
}

func newParlour(t testing.TB) *parlour {
	return &parlour{TB: t, w: bare(t, filepath.Join(t.TempDir(), "models.db"))}
}

func (p *parlour) does(user, event string, data any) (id string, o Outcome) {
	p.Helper()
	p.n++
	r := fact(p.n, user, event, data)
	return r.ID, applyAll(p, p.w, []eventlog.Record{r}, 1, true)[0]
}

func (p *parlour) must(user, event string, data any) (id string, push Push) {
	p.Helper()
	id, o := p.does(user, event, data)
	if o.Code != "" {
		p.Fatalf("%s by %s: %s", event, user, o.Code)
	}
	return id, o.Pushes[0]
}

func (p *parlour) refused(code schema.Code, user, event string, data any) {
	p.Helper()
	if _, o := p.does(user, event, data); o.Code != code || o.Result != nil || o.Pushes != nil {
		p.Errorf("%s by %s: %q with result %s and %d pushes, want %s and nothing", event, user, o.Code, o.Result, len(o.Pushes), code)
	}
}

func (p *parlour) direct(user, other string) (id string) {
	p.Helper()
	id, _ = p.must(user, "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{other}})
	return id
}

func (p *parlour) group(creator string, others ...string) (id string) {
	p.Helper()
	id, _ = p.must(creator, "conversation:create", schema.ConversationCreate{Type: "group", Participants: others, Name: "The watch"})
	return id
}

func (p *parlour) says(user, conversation, text string) (id string) {
	p.Helper()
	id, _ = p.must(user, "message:send", words(conversation, text))
	return id
}

func words(conversation, text string) schema.MessageSend {
	return schema.MessageSend{ConversationID: conversation, Content: text, MessageType: "text"}
}

func (p *parlour) reads(user, conversation, message string) {
	p.Helper()
	p.must(user, "message:read", schema.MessageRef{ConversationID: conversation, MessageID: message})
}

func (p *parlour) deletes(user, conversation, message string) {
	p.Helper()
	p.must(user, "message:delete", schema.MessageRef{ConversationID: conversation, MessageID: message})
}

func (p *parlour) adds(user, conversation string, others ...string) Push {
	p.Helper()
	_, push := p.must(user, "conversation:update", schema.ConversationUpdate{ConversationID: conversation, Updates: schema.ConversationUpdates{AddParticipants: others}})
	return push
}

func (p *parlour) removes(user, conversation string, others ...string) Push {
	p.Helper()
	_, push := p.must(user, "conversation:update", schema.ConversationUpdate{ConversationID: conversation, Updates: schema.ConversationUpdates{RemoveParticipants: others}})
	return push
}

// sees returns a conversation as a user sees it, and what is said in it.
func (p *parlour) sees(user, conversation string) (c schema.Conversation, said []string) {
	p.Helper()
	viewOf(p, p.w, func(v *View) {
		var err error
		if c, err = v.Conversation(user, conversation); err != nil {
			p.Fatalf("%s does not see the conversation: %v", user, err)
		}
		page, err := v.Messages(user, schema.MessageList{ConversationID: conversation})
		if err != nil {
			p.Fatalf("%s does not see the messages: %v", user, err)
		}
		for _, m := range page.Items {
			said = append(said, m.Content)
		}
	})
	return c, said
}

func (p *parlour) unread(user, conversation string, want int) {
	p.Helper()
	if c, _ := p.sees(user, conversation); *c.UnreadCount != want {
		p.Errorf("%s has %d messages to read, want %d", user, *c.UnreadCount, want)
	}
}

// list returns the ids of a user's conversations.
func (p *parlour) list(user string) (ids []string) {
	p.Helper()
	viewOf(p, p.w, func(v *View) {
		page, err := v.Conversations(user, schema.Page{})
		if err != nil {
			p.Fatal(err)
		}
		for _, c := range page.Items {
			ids = append(ids, c.ID)
		}
	})
	return ids
}

func (p *parlour) participants(user, conversation string, want ...string) {
	p.Helper()
	c, _ := p.sees(user, conversation)
	var got []string
	for _, a := range c.Participants {
		got = append(got, a.ID)
	}
	if !slices.Equal(got, want) {
		p.Errorf("participants %v, want %v", got, want)
	}
}
