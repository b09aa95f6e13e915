package schema

import (
	"encoding/json"
	"fmt"
)

// payloads holds a constructor of the type of what a client sends, for each event
// that a client may send.
var payloads = map[string]func() any{
	"post:create":         func() any { return new(PostCreate) },
	"post:update":         func() any { return new(PostUpdate) },
	"post:delete":         func() any { return new(PostRef) },
	"post:like":           func() any { return new(PostAction) },
	"post:comment":        func() any { return new(PostComment) },
	"comment:update":      func() any { return new(CommentUpdate) },
	"comment:delete":      func() any { return new(CommentDelete) },
	"post:share":          func() any { return new(PostShare) },
	"user:follow":         func() any { return new(UserFollow) },
	"user:friend-request": func() any { return new(TargetAction) },
	"user:block":          func() any { return new(TargetAction) },
	"post:join":           func() any { return new(PostRef) },
	"post:leave":          func() any { return new(PostRef) },
	"user:typing":         func() any { return new(PostAction) },
	"feed:get":            func() any { return new(Page) },
	"post:get":            func() any { return new(PostRef) },
	"comment:list":        func() any { return new(CommentList) },
	"user:get":            func() any { return new(UserPage) },
	"user:posts":          func() any { return new(UserPage) },
	"user:followers":      func() any { return new(UserPage) },
	"user:following":      func() any { return new(UserPage) },
	"presence:get":        func() any { return new(PresenceGet) },

	"conversation:create": func() any { return new(ConversationCreate) },
	"conversation:update": func() any { return new(ConversationUpdate) },
	"conversation:delete": func() any { return new(ConversationRef) },
	"message:join":        func() any { return new(ConversationRef) },
	"message:leave":       func() any { return new(ConversationRef) },
	"message:typing":      func() any { return new(ConversationAction) },
	"message:send":        func() any { return new(MessageSend) },
	"message:delivered":   func() any { return new(MessageRef) },
	"message:read":        func() any { return new(MessageRef) },
	"message:edit":        func() any { return new(MessageEdit) },
	"message:delete":      func() any { return new(MessageRef) },
	"conversation:list":   func() any { return new(Page) },
	"conversation:get":    func() any { return new(ConversationRef) },
	"message:list":        func() any { return new(MessageList) },

	"notification:read":      func() any { return new(NotificationRef) },
	"notification:read-all":  func() any { return new(NotificationReadAll) },
	"notification:delete":    func() any { return new(NotificationRef) },
	"notification:get-count": func() any { return new(Empty) },
	"notification:list":      func() any { return new(NotificationList) },

	"admin:report":         func() any { return new(AdminReport) },
	"admin:resolve-report": func() any { return new(AdminResolveReport) },
	"admin:remove":         func() any { return new(AdminContent) },
	"admin:restore":        func() any { return new(AdminContent) },
	"admin:suspend":        func() any { return new(AdminSuspend) },
	"admin:reinstate":      func() any { return new(AdminReinstate) },
	"admin:announce":       func() any { return new(AdminAnnounce) },
	"admin:reports":        func() any { return new(AdminReports) },
	"admin:history":        func() any { return new(AdminHistory) },
	"admin:stats":          func() any { return new(Empty) },
	"admin:tail":           func() any { return new(AdminTail) },

	"socket:connect": func() any { return new(Connect) },
	"socket:refresh": func() any { return new(Refresh) },
	"socket:ping":    func() any { return new(Empty) },
}

// Decode reads the data of an event that a client may send into a pointer to its
// payload type, for example *PostCreate; nil data stands for {}. Encoding that
// again gives the data without doubled fields, white space or broken text, as
// records hold it. The data must have passed Validate: Decode alone checks nothing.
func Decode(e *Event, data json.RawMessage) (any, error) {
	made, ok := payloads[e.Name]
	if !ok {
		return nil, fmt.Errorf("decode %s: no client sends it", e.Name)
	}
	payload := made()
	if data == nil {
		return payload, nil
	}
	if err := Unmarshal(data, payload); err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.Name, err)
	}
	return payload, nil
}
