package schema_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"roomlog/schema"
)

// Decoding what a client sent and encoding it again, as the gateway does for a
// record, loses nothing and stays valid.
func TestGoodExamplesSurviveTheirPayloadType(t *testing.T) {
	for _, e := range schema.Events() {
		if e.Kind == schema.Push {
			continue
		}
		for _, good := range readSchemaFile(t, &e).Examples {
			b := reencoded(t, &e, good)
			if err := schema.Validate(&e, b); err != nil {
				t.Errorf("%s %s becomes %s: %v", e.Name, good, b, err)
			}
			if got, want := anyOf(t, b), anyOf(t, good); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s becomes %s", e.Name, good, b)
			}
		}
	}
}

// What the server answers and pushes has a payload type too, which loses nothing of
// the examples in the schema files.
func TestAnswersSurviveTheirPayloadType(t *testing.T) {
	for name, made := range map[string]any{
		"post:create push": new(schema.PostCreated), "post:update push": new(schema.PostUpdated), "post:delete push": new(schema.PostDeleted),
		"post:like push": new(schema.PostLiked), "post:comment push": new(schema.PostCommented), "comment:update push": new(schema.CommentUpdated),
		"comment:delete push": new(schema.CommentDeleted), "post:share push": new(schema.PostShared), "user:follow push": new(schema.UserFollowed),
		"user:friend-request push": new(schema.FriendRequested), "user:block push": new(schema.TargetAction), "user:typing push": new(schema.UserTyping),
		"user:online": new(schema.UserPresence), "user:offline": new(schema.UserPresence),
		"feed:get ack": new(schema.Items[schema.FeedItem]), "post:get ack": new(schema.Post), "comment:list ack": new(schema.Items[schema.Comment]),
		"user:get ack": new(schema.Profile), "user:posts ack": new(schema.Items[schema.FeedItem]), "user:followers ack": new(schema.Items[schema.Actor]),
		"user:following ack": new(schema.Items[schema.Actor]),

		"conversation:create push": new(schema.ConversationCreated), "conversation:update push": new(schema.ConversationUpdated),
		"conversation:delete push": new(schema.ConversationDeleted), "message:joined": new(schema.ConversationRef), "message:typing push": new(schema.MessageTyping),
		"message:send push": new(schema.MessageSent), "message:delivered push": new(schema.MessageDelivered), "message:read push": new(schema.MessageRead),
		"message:edit push": new(schema.MessageEdited), "message:delete push": new(schema.MessageDeleted),
		"conversation:list ack": new(schema.Items[schema.Conversation]), "conversation:get ack": new(schema.Conversation), "message:list ack": new(schema.Items[schema.Message]),

		"notification:new": new(schema.NotificationNew), "notification:read push": new(schema.NotificationRead), "notification:read-all push": new(schema.NotificationsRead),
		"notification:delete push": new(schema.NotificationDeleted), "notification:count": new(schema.NotificationCount),
		"notification:get-count ack": new(schema.NotificationCount), "notification:list ack": new(schema.Items[schema.Notification]),

		"admin:report push": new(schema.Reported), "admin:resolve-report push": new(schema.ReportResolved), "admin:remove push": new(schema.ContentModerated),
		"admin:restore push": new(schema.ContentModerated), "admin:suspend push": new(schema.UserSuspended), "admin:reinstate push": new(schema.UserReinstated),
		"admin:announce push": new(schema.Announcement), "admin:record": new(schema.AdminRecord), "admin:reports ack": new(schema.Items[schema.Report]),
		"admin:history ack": new(schema.Items[schema.AuditEntry]), "admin:stats ack": new(schema.AdminStats),

		"socket:hello": new(schema.Hello), "socket:connect ack": new(schema.Connected), "socket:resumed": new(schema.Resumed), "socket:resync": new(schema.Resync),
		"socket:disconnect": new(schema.Disconnect), "socket:ping ack": new(schema.Pong), "error": new(schema.ErrorBody),
	} {
		var eventName, part string
		if n, _ := fmt.Sscan(name, &eventName, &part); n == 0 {
			t.Fatal(name)
		}
		f := readSchemaFile(t, event(t, eventName))
		examples := f.Examples
		if part != "" {
			examples = f.Defs[part].Examples
		}
		if len(examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, example := range examples {
			payload := reflect.New(reflect.TypeOf(made).Elem()).Interface()
			if err := json.Unmarshal(example, payload); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			b, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := anyOf(t, b), anyOf(t, example); !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n%s becomes\n%s", name, compact(t, example), b)
			}
		}
	}
}

func anyOf(t testing.TB, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUpcastKnowsTodaysVersionOnly(t *testing.T) {
	for _, e := range schema.Events() {
		data := json.RawMessage(`{"a":1}`)
		if got, err := e.Upcast(e.Version, data); err != nil || string(got) != string(data) {
			t.Errorf("%s: %s, %v", e.Name, got, err)
		}
		for _, version := range []int{-1, 0, e.Version + 1} {
			if _, err := e.Upcast(version, data); err == nil {
				t.Errorf("%s: version %d is understood", e.Name, version)
			}
		}
	}
}
