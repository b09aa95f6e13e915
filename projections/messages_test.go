package projections

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"roomlog/schema"
)

func (p *parlour) page(user string, q schema.MessageList) (said string, next string) {
	p.Helper()
	viewOf(p, p.w, func(v *View) {
		page, err := v.Messages(user, q)
		if err != nil {
			p.Fatal(err)
		}
		var words []string
		for _, m := range page.Items {
			words = append(words, m.Content)
		}
		said, next = strings.Join(words, " "), page.Next
	})
	return said, next
}

// Pages are newest first and go both ways, and around a message.
func TestPagesOfMessages(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	m := map[string]string{"": ""}
	for i := range 10 {
		m[fmt.Sprint(i)] = p.says("alice", c, fmt.Sprint(i))
	}
	p.deletes("alice", c, m["5"])
	for _, q := range []struct {
		before, after, around string
		limit                 int
		said, next            string
	}{
		{limit: 3, said: "9 8 7", next: "7"},
		{before: "7", limit: 3, said: "6 4 3", next: "3"},
		{before: "3", limit: 3, said: "2 1 0"},
		{before: "0", limit: 3},
		{before: "5", limit: 1, said: "4", next: "4"},
		{after: "0", limit: 3, said: "3 2 1", next: "3"},
		{after: "3", limit: 3, said: "7 6 4", next: "7"},
		{after: "7", limit: 3, said: "9 8"},
		{after: "9", limit: 3},
		{around: "4", limit: 3, said: "6 4 3", next: "3"},
		{around: "5", limit: 4, said: "7 6 4 3", next: "3"},
		{around: "4", limit: 1, said: "4", next: "4"},
		{around: "5", limit: 1, said: "6", next: "6"},
		{around: "0", limit: 4, said: "1 0"},
		{around: "9", limit: 4, said: "9 8 7", next: "7"},
	} {
		said, next := p.page("bob", schema.MessageList{
			ConversationID: c, Page: schema.Page{Before: m[q.before], Limit: q.limit}, After: m[q.after], Around: m[q.around],
		})
		if said != q.said || next != m[q.next] {
			t.Errorf("%+v: %q and next %s, want next %s", q, said, next, m[q.next])
		}
	}
	p.deletes("alice", c, m["9"])
	around := schema.MessageList{ConversationID: c, Page: schema.Page{Limit: 1}, Around: m["9"]}
	if said, next := p.page("bob", around); said != "" || next != m["9"] {
		t.Errorf("around the deleted last one: %q and next %s, want next %s", said, next, m["9"])
	}
}

// A cursor is one message that the viewer sees, or saw before it was deleted.
func TestCursorsOfMessages(t *testing.T) {
	p := newParlour(t)
	c, other := p.group("alice", "bob"), p.group("alice", "bob")
	early, elsewhere := p.says("alice", c, "early"), p.says("alice", other, "elsewhere")
	p.adds("alice", c, "carol")
	late := p.says("alice", c, "late")
	for name, q := range map[string]schema.MessageList{
		"before one's time":     {Page: schema.Page{Before: early}},
		"after what is unseen":  {After: early},
		"around what is unseen": {Around: early},
		"around one elsewhere":  {Around: elsewhere},
		"after one nowhere":     {After: id(999)},
		"before and after":      {Page: schema.Page{Before: late}, After: late},
		"around and both":       {Page: schema.Page{Before: late}, After: late, Around: late},
	} {
		q.ConversationID = c
		viewOf(t, p.w, func(v *View) {
			page, err := v.Messages("carol", q)
			if codeOf(err) != schema.InvalidField || page.Items == nil || len(page.Items) > 0 {
				t.Errorf("%s: %+v, %v", name, page, err)
			}
			field, _, _ := strings.Cut(name, " ")
			if !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %v does not name the field", name, err)
			}
		})
	}
}

// Messages carry what was sent; edits show, deletes take away.
func TestWhatAMessageShows(t *testing.T) {
	p := newParlour(t)
	c := p.direct("alice", "bob")
	first := p.says("alice", c, "look")
	media := []schema.Media{{URL: "https://example.org/1.png", Type: "image", Alt: "a skull"}}
	second, _ := p.must("bob", "message:send", schema.MessageSend{ConversationID: c, MessageType: "image", Media: media, ReplyTo: first})
	p.must("alice", "message:edit", schema.MessageEdit{ConversationID: c, MessageID: first, Content: "look here"})
	viewOf(t, p.w, func(v *View) {
		page, err := v.Messages("bob", schema.MessageList{ConversationID: c})
		if err != nil {
			t.Fatal(err)
		}
		want := []schema.Message{
			{ID: second, Sender: schema.Actor{ID: "bob", Username: "@bob"}, MessageType: "image", Media: media, ReplyTo: first, CreatedAt: start + 3000},
			{ID: first, Sender: schema.Actor{ID: "alice", Username: "@alice"}, Content: "look here", MessageType: "text", Media: []schema.Media{}, CreatedAt: start + 2000, EditedAt: new(start + 4000)},
		}
		same(t, "messages", page.Items, want)
	})
	p.deletes("bob", c, second)
	got, said := p.sees("alice", c)
	if !slices.Equal(said, []string{"look here"}) || got.LastMessage.ID != first {
		t.Errorf("after the deletion %q, the last one is %s", said, got.LastMessage.ID)
	}
	p.refused(schema.MessageNotFound, "bob", "message:edit", schema.MessageEdit{ConversationID: c, MessageID: second, Content: "x"})
	p.refused(schema.MessageNotFound, "bob", "message:delete", schema.MessageRef{ConversationID: c, MessageID: second})
	p.refused(schema.NotPermitted, "bob", "message:delete", schema.MessageRef{ConversationID: c, MessageID: first})
	answer := words(c, "where?")
	answer.ReplyTo = second
	p.refused(schema.MessageNotFound, "alice", "message:send", answer)
	p.refused(schema.InvalidField, "alice", "message:send", schema.MessageSend{ConversationID: c, Content: "la", MessageType: "song"})
}
