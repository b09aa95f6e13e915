package projections

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Whatever happens meanwhile, what was removed and restored is as if it never was
// removed: the other read models end up the same, byte by byte, and the same
// notifications are unread.
func TestRestoringUndoesRemoving(t *testing.T) {
	dir, round := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		e := &evening{T: rt, w: bare(t, path+".moderated")}
		e.happens()
		// The same records, but for those of the moderator, and for void ones, some
		// of which only the removals made void.
		calm := slices.Clone(e.records)
		for i := range calm {
			switch user := calm[i].Actor.ID; {
			case e.codes[i] != "":
				calm[i] = fact(i+1, user, "post:delete", schema.PostRef{PostID: unborn})
			case user == "mod": // is seen in both
				calm[i] = fact(i+1, user, "admin:announce", schema.AdminAnnounce{Content: "nothing"})
			}
		}
		undisturbed := bare(t, path+".calm")
		applyAll(rt, undisturbed, calm, 7, false)
		got, want := digestOf(rt, e.w.db).Projections, digestOf(rt, undisturbed.db).Projections
		for _, projector := range []string{"graph", "feeds", "likes", "conversations", "presence"} {
			if got[projector] != want[projector] {
				e.tell()
				rt.Fatalf("%s differs", projector)
			}
		}
		if got, want := unreadIn(rt, e.w), unreadIn(rt, undisturbed); got != want {
			e.tell()
			rt.Fatalf("unread are %s\nwant       %s", got, want)
		}
	})
}

// unreadIn shows what those who take part in an evening have not read.
func unreadIn(t rapid.TB, w *writer) string {
	unread := map[string][]schema.Notification{}
	err := w.db.View(func(tx *bolt.Tx) error {
		v := &View{tx: tx, state: newState(tx)}
		for _, user := range []string{"alice", "bob", "carol"} {
			page, err := v.Notifications(user, schema.NotificationList{UnreadOnly: true, Page: schema.Page{Limit: 100}})
			if unread[user] = page.Items; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text(unread)
}

// evening is a random history in which moderators are busy.
type evening struct {
	*rapid.T
	w       *writer
	records []eventlog.Record
	codes   []schema.Code
}

// tell logs what happened.
func (e *evening) tell() {
	for i, r := range e.records {
		e.Logf("%d %s %s %s %s", i+1, r.Actor.ID, r.Event, r.Data, e.codes[i])
	}
}

func (e *evening) does(user, event string, data any) (id string) {
	r := fact(len(e.records)+1, user, event, data)
	e.records = append(e.records, r)
	e.codes = append(e.codes, applyAll(e.T, e.w, []eventlog.Record{r}, 1, false)[0].Code)
	return r.ID
}

func (e *evening) happens() {
	users := []string{"alice", "bob", "carol"}
	post := e.does("alice", "post:create", schema.PostCreate{Content: "a post"})
	group := e.does("alice", "conversation:create", schema.ConversationCreate{Type: "group", Name: "The watch", Participants: []string{"bob", "carol"}})
	direct := e.does("alice", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"bob"}})
	comments := []string{e.does("bob", "post:comment", schema.PostComment{PostID: post, Content: "a comment"})}
	messages := []schema.Target{onMessage(group, e.does("bob", "message:send", words(group, "a message")))}
	targets := []schema.Target{onPost(post), onComment(comments[0]), messages[0]}
	for range rapid.IntRange(1, 60).Draw(e.T, "length") {
		user := rapid.SampledFrom(users).Draw(e.T, "user")
		message := rapid.SampledFrom(messages).Draw(e.T, "message")
		ref := schema.MessageRef{ConversationID: message.ConversationID, MessageID: message.ID}
		conversation := rapid.SampledFrom([]string{group, group, direct}).Draw(e.T, "conversation")
		switch rapid.IntRange(0, 13).Draw(e.T, "act") {
		case 0:
			e.does(user, "post:like", schema.PostAction{PostID: post, Action: rapid.SampledFrom([]string{"like", "unlike"}).Draw(e.T, "action")})
		case 1:
			comments = append(comments, e.does(user, "post:comment", schema.PostComment{PostID: post, Content: "more"}))
			targets = append(targets, onComment(comments[len(comments)-1]))
		case 2:
			e.does(user, "comment:delete", schema.CommentDelete{PostID: post, CommentID: rapid.SampledFrom(comments).Draw(e.T, "comment")})
		case 3:
			e.does(user, "post:share", schema.PostShare{PostID: post, Content: "look"})
		case 4, 5, 6:
			messages = append(messages, onMessage(conversation, e.does(user, "message:send", words(conversation, "more"))))
			targets = append(targets, messages[len(messages)-1])
		case 7, 8:
			e.does(user, "message:read", ref)
		case 9:
			e.does(user, "message:delete", ref)
		case 10:
			who := []string{rapid.SampledFrom(users[1:]).Draw(e.T, "member")}
			e.does("alice", "conversation:update", schema.ConversationUpdate{ConversationID: group, Updates: schema.ConversationUpdates{RemoveParticipants: who}})
			e.does("alice", "conversation:update", schema.ConversationUpdate{ConversationID: group, Updates: schema.ConversationUpdates{AddParticipants: who}})
		case 11:
			e.does(user, "conversation:delete", schema.ConversationRef{ConversationID: direct})
		default:
			event := rapid.SampledFrom([]string{"admin:remove", "admin:remove", "admin:restore"}).Draw(e.T, "moderation")
			e.does("mod", event, spam(rapid.SampledFrom(targets).Draw(e.T, "target")))
		}
	}
	for _, t := range targets {
		e.does("mod", "admin:restore", spam(t))
	}
}
