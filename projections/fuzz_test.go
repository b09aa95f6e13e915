package projections

import (
	"encoding/json"
	"testing"

	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Whatever a row holds, reading it gives a value or says that it is damaged.
func FuzzRows(f *testing.F) {
	f.Add(head{seq: 7, comments: 3, author: []byte("alice")}.encode(nil))
	f.Add(body{created: start, content: "hello", hashtags: []string{"a"}, media: []byte("[]")}.encode(nil))
	f.Add(comment{id: id(1), author: "bob", content: "hi"}.encode(nil))
	f.Add(timelineEntry{postID: id(1), shareID: id(2), at: start}.encode(nil))
	f.Add(answer{at: start, seq: 9, result: []byte("{}")}.encode(nil))
	f.Add(conversation{group: true, seq: 7, creator: []byte("alice"), name: []byte("The watch"), size: 2, total: 9, last: 8, lastAt: start}.encode(nil))
	f.Add(membership{joined: 7, at: start, since: 7, floor: 2, read: 3, own: 1}.encode(nil))
	f.Add(message{sender: "alice", id: id(1), kind: "text", created: start, content: "hi", media: []byte("[]")}.encode(nil))
	f.Add(position{conversation: 7, number: 2, sender: []byte("alice")}.encode(nil))
	f.Add(appendMention(nil, nil, mention{7, asRoom}))
	like := item{user: "alice", seq: 7, kind: kindLike, id: ulidText([]byte(id(9))), sender: "bob", post: id(1), created: start, readAt: start, hidden: hiddenPost}
	said := decode(fact(7, "bob", "message:send", words(id(2), "hi")))
	made := madeBy(nil, &said, &verdict{group: true, number: 4})
	var talk seats
	talk.add(&seat{[]byte("alice"), spans{{1, 2}, {4, 4}}.encode(nil), spans{{3, 3}}.encode(nil), 7, made})
	talk.add(&seat{[]byte("carol"), spans{{4, 4}}.encode(nil), noSpans, 7, made})
	f.Add(like.encode(nil))
	f.Add(talk.row)
	f.Add(mailbox{unread: 3, kept: 9, username: []byte("@alice"), named: 7}.encode(nil))
	f.Add(report{seq: 7, created: start, reporter: "alice", reason: "spam", target: onMessage(id(2), id(1)), resolution: "dismissed"}.encode(nil))
	f.Fuzz(func(t *testing.T, row []byte) {
		for _, read := range []func(){
			func() { decodeHead(row) },
			func() { decodeBody(row) },
			func() { decodeComment(row) },
			func() { decodeWhereabouts(row) },
			func() { decodeTimelineEntry(row) },
			func() { decodeAnswer(row) },
			func() { decodeUser(row) },
			func() { decodeLikeable(row) },
			func() { seqOf(row) },
			func() { decodeConversation(row) },
			func() { decodeRoster(row) },
			func() { decodeMembership(row) },
			func() { decodeMessage(row) },
			func() { senderOf(row) },
			func() { decodePosition(row) },
			func() { decodeItem(itemKey("alice", 7, kindLike), row) },
			func() { decodeItem(row, like.encode(nil)) },
			func() { awaitingRow([]byte(id(2)), row) },
			func() { decodeMailbox(row) },
			func() { decodeReport(row) },
			func() {
				for range eachMention(row) {
				}
			},
		} {
			func() {
				defer func() {
					if p := recover(); p != nil {
						_ = p.(damage) // any other panic goes on
					}
				}()
				read()
			}()
		}
	})
}

// Whatever a client gives as a cursor, a query answers or says INVALID_FIELD.
func FuzzCursors(f *testing.F) {
	w := bare(f, f.TempDir()+"/models.db")
	applyAll(f, w, []eventlog.Record{
		fact(1, "alice", "post:create", schema.PostCreate{Content: "hello"}),
		fact(2, "bob", "post:comment", schema.PostComment{PostID: id(1), Content: "hi"}),
		fact(3, "bob", "user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"}),
		fact(4, "bob", "post:share", schema.PostShare{PostID: id(1)}),
		fact(5, "alice", "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"bob"}}),
		fact(6, "alice", "message:send", words(id(5), "hello")),
		fact(7, "alice", "admin:report", schema.AdminReport{Target: onUser("bob"), Reason: "spam"}),
	}, 7, false)
	for _, seed := range []string{id(1), id(2), id(4), id(5), id(6), id(7), notificationID(id(6), 6, kindMessage, "bob").String(), notificationID(id(2), 2, kindComment, "alice").String(), "3", "18446744073709551615", "-1", "\x00", ""} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, before string, limit int) {
		page := schema.Page{Before: before, Limit: limit}
		users := schema.UserPage{UserID: "alice", Page: page}
		err := w.db.View(func(tx *bolt.Tx) error {
			v := &View{tx: tx, state: newState(tx)}
			_, e1 := v.Feed("bob", page)
			_, e2 := v.UserPosts("bob", users)
			_, e3 := v.Comments("bob", schema.CommentList{PostID: id(1), Page: page})
			_, e4 := v.Followers("bob", users)
			_, e5 := v.Following("bob", users)
			_, e6 := v.Conversations("bob", page)
			_, e7 := v.Messages("bob", schema.MessageList{ConversationID: id(5), Page: page})
			_, e8 := v.Messages("bob", schema.MessageList{ConversationID: id(5), After: before})
			_, e9 := v.Messages("bob", schema.MessageList{ConversationID: id(5), Around: before})
			_, e10 := v.Reports(schema.AdminReports{Page: page})
			_, e11 := v.Notifications("bob", schema.NotificationList{Page: page})
			_, e12 := v.Notifications("alice", schema.NotificationList{UnreadOnly: true, Page: page})
			for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12} {
				if err != nil && codeOf(err) != schema.InvalidField {
					t.Errorf("query %d before %q: %v", i+1, before, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever a record of the log holds, it is applied, void or parked, and the
// read models stay readable.
func FuzzRecords(f *testing.F) {
	for _, e := range []string{"post:create", "post:like", "user:follow", "post:comment"} {
		f.Add(e, `{"content":"x"}`, "alice", id(3), "k", 1)
	}
	f.Add("user:follow", `{"followingId":"a\u0000b","action":"follow"}`, "alice", id(3), "", 1)
	f.Add("post:like", `{"postId":"`+id(1)+`","action":"like"}`, "alice", id(3), "k", 1)
	for event, data := range map[string]string{
		"conversation:create": `{"type":"group","name":"x","participants":["bob","bob"]}`,
		"conversation:update": `{"conversationId":"` + id(2) + `","updates":{"addParticipants":["","dave"],"removeParticipants":[""]}}`,
		"conversation:delete": `{"conversationId":"\u0000"}`,
		"message:send":        `{"conversationId":"` + id(2) + `","messageType":"text","replyTo":"` + id(1) + `"}`,
		"message:read":        `{"conversationId":"` + id(2) + `","messageId":"` + id(3) + `"}`,
		"message:delete":      `{"conversationId":"` + id(2) + `","messageId":""}`,
		"message:edit":        `{}`,
		"admin:report":        `{"target":{"type":"message","id":"` + id(3) + `","conversationId":"` + id(2) + `"}}`,
		"admin:remove":        `{"target":{"type":"post","id":"` + id(1) + `"}}`,
		"admin:restore":       `{"target":{"type":"room","id":""}}`,
		"admin:suspend":       `{"userId":""}`,
		"admin:reinstate":     `{"userId":"bob"}`,

		"admin:resolve-report":  `{"reportId":"` + id(4) + `","resolution":""}`,
		"admin:announce":        `{}`,
		"notification:read":     `{"notificationId":"` + notificationID(id(3), 3, kindMessage, "bob").String() + `"}`,
		"notification:read-all": `{"upTo":"` + notificationID(id(3), 3, kindMessage, "alice").String() + `"}`,
		"notification:delete":   `{"notificationId":"7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}`,
	} {
		for _, user := range []string{"alice", "bob", "mallory"} {
			f.Add(event, data, user, id(7), "", 1)
		}
	}
	for _, e := range schema.Events() {
		var file struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(schema.SchemaFile(&e), &file); err != nil {
			f.Fatal(err)
		}
		for _, good := range file.Examples {
			if e.Kind == schema.Fact {
				f.Add(e.Name, string(good), "alice", id(8), "", 1)
			}
		}
	}
	w := bare(f, f.TempDir()+"/models.db")
	applyAll(f, w, []eventlog.Record{
		fact(1, "alice", "post:create", schema.PostCreate{Content: "hello"}),
		fact(2, "alice", "conversation:create", schema.ConversationCreate{Type: "group", Name: "x", Participants: []string{"bob"}}),
		fact(3, "alice", "message:send", words(id(2), "hello")),
		fact(4, "bob", "admin:report", schema.AdminReport{Target: onPost(id(1)), Reason: "spam"}),
	}, 1, false)
	f.Fuzz(func(t *testing.T, event, data, user, recordID, key string, version int) {
		r := eventlog.Record{Event: event, Time: start + 60_000, Data: []byte(data), ID: recordID, Key: key, Version: version, Actor: schema.Actor{ID: user, Username: user}, Entity: user}
		applyAll(t, w, []eventlog.Record{r}, 1, true)
		viewOf(t, w, func(v *View) {
			if _, err := v.Feed("alice", schema.Page{}); err != nil {
				t.Error(err)
			}
			if _, err := v.Conversations("alice", schema.Page{}); err != nil {
				t.Error(err)
			}
			if _, err := v.Reports(schema.AdminReports{}); err != nil {
				t.Error(err)
			}
			for _, user := range []string{"alice", "bob"} {
				all, err := v.Notifications(user, schema.NotificationList{UnreadOnly: true, Page: schema.Page{Limit: maxPage}})
				if n := v.UnreadNotifications(user); err != nil || n != len(all.Items) && n <= maxPage {
					t.Errorf("%s has %d unread, and is shown %d: %v", user, n, len(all.Items), err)
				}
			}
			r.Seq = w.at.Seq
			v.Retell(r)
		})
	})
}
