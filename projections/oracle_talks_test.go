package projections

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"roomlog/schema"
)

// compareTalks asks every query of /messaging for every user.
func compareTalks(t rapid.TB, v *View, want *oracle) {
	t.Helper()
	for _, user := range cast {
		same(t, "conversations of "+user, pages(t, func(before string) (schema.Items[schema.Conversation], error) {
			return v.Conversations(user, schema.Page{Before: before, Limit: 2})
		}), want.conversations(user))
		partners := map[string]bool{}
		for _, talk := range want.talks {
			m := talk.member(user)
			same(t, "participates", v.Participates(user, talk.shown.ID), m != nil)
			same(t, "may write", mayType(v, user, talk.shown.ID), m != nil && !want.silent(talk))
			if m == nil {
				stranger(t, v, user, talk.shown.ID)
				continue
			}
			got, err := v.Conversation(user, talk.shown.ID)
			if err != nil {
				t.Fatalf("conversation: %v", err)
			}
			same(t, "conversation", got, want.conversation(talk, m))
			compareMessages(t, v, want, talk, m)
			for _, other := range talk.users() {
				if other != user && !want.blocked(user, other) {
					partners[other] = true
				}
			}
		}
		found := map[string]bool{}
		for partner := range v.Partners(user) {
			if found[partner] {
				t.Fatalf("%s is a partner of %s twice", partner, user)
			}
			found[partner] = true
		}
		same(t, "partners of "+user, found, partners)
	}
}

// stranger makes sure that nobody but a participant learns of a conversation.
func stranger(t rapid.TB, v *View, user, id string) {
	t.Helper()
	_, err := v.Conversation(user, id)
	_, listErr := v.Messages(user, schema.MessageList{ConversationID: id})
	_, pageErr := v.Conversations(user, schema.Page{Before: id})
	if codeOf(err) != schema.ConversationNotFound || codeOf(listErr) != schema.ConversationNotFound || codeOf(pageErr) != schema.InvalidField {
		t.Fatalf("%s, no participant of %s: %v, %v, %v", user, id, err, listErr, pageErr)
	}
}

// compareMessages reads the messages that a member sees in both directions, and
// from each of them.
func compareMessages(t rapid.TB, v *View, want *oracle, talk *oracleTalk, m *oracleMember) {
	t.Helper()
	ask := func(q schema.MessageList, limit int) (schema.Items[schema.Message], error) {
		q.ConversationID, q.Limit = talk.shown.ID, limit
		return v.Messages(m.user, q)
	}
	newest := want.visible(talk, m)
	slices.Reverse(newest)
	same(t, "messages", pages(t, func(before string) (schema.Items[schema.Message], error) {
		return ask(schema.MessageList{Page: schema.Page{Before: before}}, 3)
	}), newest)
	number := func(id string) int { return talk.number(m, id) }
	for i, cursor := range talk.messages {
		id := cursor.shown.ID
		before, beforeErr := ask(schema.MessageList{Page: schema.Page{Before: id}}, 2)
		after, afterErr := ask(schema.MessageList{After: id}, 2)
		around, aroundErr := ask(schema.MessageList{Around: id}, 4)
		if i < m.from {
			for _, err := range []error{beforeErr, afterErr, aroundErr} {
				if codeOf(err) != schema.InvalidField {
					t.Fatalf("a cursor before the member's time: %v", err)
				}
			}
			continue
		}
		var older, newer []schema.Message // newest first; newer has the cursor itself
		for _, s := range newest {
			if number(s.ID) >= i+1 {
				newer = append(newer, s)
			} else {
				older = append(older, s)
			}
		}
		same(t, "before", before.Items, orNone(older[:min(2, len(older))]))
		same(t, "more before", before.Next != "", len(older) > 2)
		same(t, "around", around.Items, orNone(slices.Concat(newer[max(0, len(newer)-2):], older[:min(2, len(older))])))
		same(t, "more around", around.Next != "", len(older) > 2)
		if !cursor.deleted {
			newer = newer[:len(newer)-1]
		}
		same(t, "after", after.Items, orNone(newer[max(0, len(newer)-2):]))
		same(t, "more after", after.Next != "", len(newer) > 2)
		if after.Next != "" && after.Next != after.Items[0].ID {
			t.Fatalf("after goes on from %s", after.Next)
		}
	}
}

func orNone[T any](list []T) []T { return append([]T{}, list...) }

// compareRetold asks for what each user has missed, and for what would be told of
// it again.
func compareRetold(t rapid.TB, v *View, want *oracle, outcomes []Outcome) {
	t.Helper()
	all := uint64(len(want.records))
	for _, user := range cast {
		rooms := []string{"user:" + user}
		for _, talk := range want.talks { // those of others too: they are not to be heard
			rooms = append(rooms, talk.room())
		}
		for _, rooms := range [][]string{rooms, rooms[:1]} {
			seqs := want.missed(user, rooms)
			for _, after := range []uint64{0, all / 2} {
				later := slices.DeleteFunc(slices.Clone(seqs), func(seq uint64) bool { return seq <= after })
				found, ok := v.Missed(user, rooms, after, all, int(all))
				got := slices.DeleteFunc(slices.Clone(found.Seqs), func(seq uint64) bool { return found.Notified[seq] })
				if !ok || !slices.Equal(got, later) {
					t.Fatalf("%s missed %v after %d, want %v", user, got, after, later)
				}
				if _, ok := v.Missed(user, rooms, after, all, len(found.Seqs)-1); ok && len(found.Seqs) > 0 {
					t.Fatalf("%s missed more than %d", user, len(found.Seqs)-1)
				}
			}
		}
	}
	for i, r := range want.records {
		got, ok := v.Retell(r)
		if expected := want.outcomes[i] == "" && want.retold(r); ok != expected {
			t.Fatalf("record %d, %s %s: told again %v, want %v", i+1, r.Event, r.Data, ok, expected)
		}
		if !ok {
			continue
		}
		live := outcomes[i].Pushes[0]
		live.Users = nil                   // Missed says whom it is for
		got.Except, live.Except = nil, nil // as of now, and as of then
		if nameless(r.Event) {
			got.Data, live.Data = withoutNames(got.Data), withoutNames(live.Data)
		}
		if !reflect.DeepEqual(got, live) {
			t.Fatalf("record %d is told again as %s, was %s", i+1, text(got), text(live))
		}
	}
}

// nameless: others than the actor are named in it, as they go by today.
func nameless(event string) bool { return event == "conversation:create" || event == "user:follow" }

func withoutNames(data json.RawMessage) json.RawMessage {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		panic(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range []string{"username", "avatar", "followingUsername"} {
				delete(v, name)
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(v)
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b)
}
