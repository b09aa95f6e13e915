package realtime_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// exhibit has content of every kind that a moderator can remove, and people who see it.
type exhibit struct {
	*gateway
	mod, alice, bob, carol    *peer
	post, other, group, after string
	targets                   map[string]schema.Target // by type
	begins                    uint64

	mu   sync.Mutex
	wire []string // every frame that alice, bob and carol got; guarded by mu
}

// The words of what is removed; nothing else has them.
var removedWords = map[string]string{"post": "ghosts", "comment": "phantoms", "message": "spectres"}

func (s *exhibit) enter(t *testing.T, user string, resume *schema.Resume) *peer {
	t.Helper()
	return s.connectWith(t, user, client.Options{Token: tokenFor(t, user), Resume: resume, OnFrame: func(frame []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wire = append(s.wire, user+": "+string(frame))
	}})
}

// forget makes wire begin here.
func (s *exhibit) forget() {
	for _, p := range []*peer{s.alice, s.bob, s.carol} {
		p.bar()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wire = nil
}

// silent checks that no frame since forget has a word of what is removed, nor, but for
// what says that it is removed, is about it.
func (s *exhibit) silent(t *testing.T, target schema.Target) {
	t.Helper()
	for _, p := range []*peer{s.alice, s.bob, s.carol} {
		p.bar()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wire) == 0 {
		t.Fatal("nobody heard anything: this shows nothing")
	}
	for _, frame := range s.wire {
		if strings.Contains(frame, removedWords[target.Type]) || strings.Contains(frame, target.ID) && !strings.Contains(frame, `"admin:remove"`) {
			t.Errorf("while the %s is removed: %s", target.Type, frame)
		}
	}
}

func newExhibit(t *testing.T) *exhibit {
	s := &exhibit{gateway: openGateway(t, nil)}
	s.mod = s.moderates(t, "mod")
	s.alice, s.bob, s.carol = s.enter(t, "alice", nil), s.enter(t, "bob", nil), s.enter(t, "carol", nil)
	s.bob.follow("alice")
	s.begins = s.carol.do("user:follow", schema.UserFollow{FollowingID: "bob", Action: "follow"}).Seq
	s.post, s.other = s.alice.post("Buy my ghosts, @carol"), s.bob.post("Good evening")
	s.bob.do("post:like", schema.PostAction{PostID: s.post, Action: "like"})
	s.bob.do("post:share", schema.PostShare{PostID: s.post, Content: "look"})
	s.bob.comment(s.post, "how much?")
	comment := s.alice.comment(s.other, "I sell phantoms, too, @carol")
	s.group = s.alice.group("Elsinore", "bob")
	s.after = s.alice.say(s.group, "good evening")
	message := s.alice.say(s.group, "Spectres? spectres!")
	s.targets = map[string]schema.Target{
		"post": {Type: "post", ID: s.post}, "comment": {Type: "comment", ID: comment}, "message": {Type: "message", ID: message, ConversationID: s.group},
	}
	return s
}

// queries asks every query of the catalogue, of and about everybody; a query without
// a row here fails the test.
func (s *exhibit) queries(t *testing.T) (answers map[string]string) {
	t.Helper()
	users := []string{"alice", "bob", "carol"}
	ofUsers := func(data func(user string) any) (all []any) {
		for _, user := range users {
			all = append(all, data(user))
		}
		return all
	}
	pages := ofUsers(func(user string) any { return schema.UserPage{UserID: user} })
	of := schema.ConversationRef{ConversationID: s.group}
	rows := map[string][]any{
		"feed:get": {schema.Page{}, schema.Page{Limit: 1}}, "post:get": {schema.PostRef{PostID: s.post}, schema.PostRef{PostID: s.other}},
		"comment:list": {schema.CommentList{PostID: s.post}, schema.CommentList{PostID: s.other}},
		"user:get":     ofUsers(func(user string) any { return map[string]string{"userId": user} }),
		"user:posts":   pages, "user:followers": pages, "user:following": pages,
		"presence:get":      {schema.PresenceGet{UserIDs: users}},
		"conversation:list": {schema.Page{}}, "conversation:get": {of},
		"message:list": {
			schema.MessageList{ConversationID: s.group}, schema.MessageList{ConversationID: s.group, Page: schema.Page{Limit: 1}},
			schema.MessageList{ConversationID: s.group, After: s.after}, schema.MessageList{ConversationID: s.group, Around: s.after},
		},
		"notification:get-count": {nil}, "notification:list": {schema.NotificationList{}, schema.NotificationList{UnreadOnly: true}},
		"admin:reports": {schema.AdminReports{}}, "admin:history": {schema.AdminHistory{}}, "admin:stats": {nil}, "socket:ping": {nil},
	}
	answers = map[string]string{}
	for _, e := range schema.Events() {
		if e.Kind != schema.Query {
			continue
		}
		if len(rows[e.Name]) == 0 {
			t.Errorf("%s is not asked", e.Name)
		}
		for i, data := range rows[e.Name] {
			for _, p := range []*peer{s.alice, s.bob, s.carol, s.mod} {
				f, err := p.Do(t.Context(), e.Name, data, "")
				if f.ID = nil; err != nil {
					f.Data = encode(t, codeIn(err))
				}
				answers[fmt.Sprintf("%s %d for %s", e.Name, i, p.user)] = string(f.Data)
			}
		}
	}
	return answers
}

// shownBy are the queries whose answers have the words, or name the target.
func shownBy(answers map[string]string, target schema.Target) (queries []string) {
	found := map[string]bool{}
	for asked, answer := range answers {
		event, _, _ := strings.Cut(asked, " ")
		if strings.Contains(answer, removedWords[target.Type]) || strings.Contains(answer, target.ID) && schema.NamespaceOf(event) != schema.Admin {
			found[event] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// moving is what differs from one moment to the next whatever is removed.
var moving = regexp.MustCompile(`"(lastSeen|time)":"[^"]*"`)

// sameAnswers checks that nobody sees anything else than before.
func sameAnswers(t *testing.T, got, want map[string]string) {
	t.Helper()
	for asked, answer := range want {
		if event, _, _ := strings.Cut(asked, " "); event == "admin:history" || event == "admin:stats" {
			continue // they tell of the removal
		}
		if a, b := moving.ReplaceAllString(got[asked], ""), moving.ReplaceAllString(answer, ""); a != b {
			t.Errorf("%s: restored it is\n  %s\nand was\n  %s", asked, a, b)
		}
	}
}

// again is what bob is told who missed everything, but for moderation.
func (s *exhibit) again(t *testing.T) []schema.Frame {
	t.Helper()
	resume := &schema.Resume{Epoch: s.log.Epoch(), Seq: s.begins, Rooms: []string{schema.PostRoom(s.post), schema.PostRoom(s.other), schema.ConversationRoom(s.group)}}
	back := s.enter(t, "bob", resume)
	defer back.Close()
	return slices.DeleteFunc(back.until("socket:resumed"), func(f schema.Frame) bool {
		return schema.NamespaceOf(f.Event) == schema.Admin || f.Seq == 0
	})
}

// goesOn does what may still be done around the removed content, and what may not.
func (s *exhibit) goesOn() {
	s.carol.do("post:share", schema.PostShare{PostID: s.other})
	s.carol.comment(s.other, "quiet here")
	s.bob.do("post:update", schema.PostUpdate{PostID: s.other, Content: "Good night"})
	s.bob.adds(s.group, "carol")
	s.bob.do("conversation:update", schema.ConversationUpdate{ConversationID: s.group, Updates: schema.ConversationUpdates{Name: "The castle"}})
	s.bob.do("message:read", schema.MessageRef{ConversationID: s.group, MessageID: s.after})
	s.bob.do("notification:read-all", schema.NotificationReadAll{})
	s.carol.follow("alice")
	s.bob.follow("carol")
	for _, d := range []struct {
		event string
		data  any
	}{
		{"post:like", schema.PostAction{PostID: s.post, Action: "like"}}, {"post:share", schema.PostShare{PostID: s.post}},
		{"comment:update", schema.CommentUpdate{PostID: s.other, CommentID: s.targets["comment"].ID, Content: "phantoms again"}},
		{"message:edit", schema.MessageEdit{ConversationID: s.group, MessageID: s.targets["message"].ID, Content: "spectres again"}},
	} {
		_, _ = s.alice.Do(s.alice.t.Context(), d.event, d.data, "") // of the one that is removed it is refused
	}
}

// What is removed is in no query of the catalogue, in no feed and no notification, is
// not told to who comes back, and in nothing that is pushed later; and it all comes
// back, as it was.
func TestRemovedContentIsNowhere(t *testing.T) {
	for kind, shown := range map[string][]string{
		"post":    {"feed:get", "notification:list", "post:get", "user:posts"},
		"comment": {"comment:list", "notification:list"},
		"message": {"conversation:get", "conversation:list", "message:list", "notification:list"},
	} {
		t.Run(kind, func(t *testing.T) {
			s := newExhibit(t)
			target := s.targets[kind]
			before, missed := s.queries(t), s.again(t)
			if got := shownBy(before, target); !slices.Equal(got, shown) {
				t.Errorf("it is shown by %v, want %v", got, shown)
			}
			s.mod.do("admin:remove", spam(target))
			s.forget()
			if left := shownBy(s.queries(t), target); len(left) > 0 {
				t.Errorf("removed, it is still shown by %v", left)
			}
			if left := s.again(t); len(left) >= len(missed) {
				t.Errorf("who comes back is told as much as before: %v", told(left))
			}
			s.silent(t, target)

			s.mod.do("admin:restore", spam(target))
			sameAnswers(t, s.queries(t), before)
			sameAs(t, s.again(t), missed)

			s.mod.do("admin:remove", spam(target))
			s.forget()
			s.goesOn()
			s.silent(t, target)
		})
	}
}
