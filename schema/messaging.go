package schema

// The payloads of /messaging.

// Types of conversations.
const (
	ConversationDirect = "direct"
	ConversationGroup  = "group"
)

// Types of messages. All but MessageText have media.
const (
	MessageText  = "text"
	MessageImage = "image"
	MessageVideo = "video"
	MessageFile  = "file"
)

// ConversationCreate is the data of conversation:create. Participants are the
// others: one of a direct conversation, which has no Name.
type ConversationCreate struct {
	Type         string   `json:"type"`
	Participants []string `json:"participants"`
	Name         string   `json:"name,omitempty"`
}

// ConversationUpdate is the data of conversation:update.
type ConversationUpdate struct {
	ConversationID string              `json:"conversationId"`
	Updates        ConversationUpdates `json:"updates"`
}

// ConversationUpdates are the changes to a conversation, at least one.
type ConversationUpdates struct {
	Name               string   `json:"name,omitempty"`
	AddParticipants    []string `json:"addParticipants,omitempty"`
	RemoveParticipants []string `json:"removeParticipants,omitempty"`
}

// ConversationRef is the data of conversation:delete, conversation:get,
// message:join and message:leave, and of the push message:joined.
type ConversationRef struct {
	ConversationID string `json:"conversationId"`
}

// ConversationAction is the data of message:typing: ActionStart or ActionStop.
type ConversationAction struct {
	ConversationID string `json:"conversationId"`
	Action         string `json:"action"`
}

// MessageSend is the data of message:send. Content may be empty when there is media.
type MessageSend struct {
	ConversationID string  `json:"conversationId"`
	Content        string  `json:"content"`
	MessageType    string  `json:"messageType"`
	Media          []Media `json:"media,omitempty"`
	ReplyTo        string  `json:"replyTo,omitempty"`
}

// MessageRef is the data of message:delivered, message:read and message:delete.
type MessageRef struct {
	ConversationID string `json:"conversationId"`
	MessageID      string `json:"messageId"`
}

// MessageEdit is the data of message:edit.
type MessageEdit struct {
	ConversationID string `json:"conversationId"`
	MessageID      string `json:"messageId"`
	Content        string `json:"content"`
}

// MessageList is the data of message:list. At most one of Before, After and Around
// is set; each is the id of a message.
type MessageList struct {
	ConversationID string `json:"conversationId"`
	Page
	After  string `json:"after,omitempty"`
	Around string `json:"around,omitempty"`
}

// Conversation is a conversation as pushes and queries show it. What is omitted
// when nil is only in query answers, and is the viewer's own.
type Conversation struct {
	ID           string   `json:"id"`
	Type         string   `json:"type"`
	Name         string   `json:"name"` // "" of a direct one
	Participants []Actor  `json:"participants"`
	CreatedAt    Time     `json:"createdAt"`
	LastMessage  *Message `json:"lastMessage,omitempty"`
	LastActivity *Time    `json:"lastActivity,omitempty"`
	UnreadCount  *int     `json:"unreadCount,omitempty"`
}

// Message is a message as pushes and queries show it. DeliveredTo and ReadBy are
// only in query answers, and only of groups of at most 100.
type Message struct {
	ID          string   `json:"id"`
	Sender      Actor    `json:"sender"`
	Content     string   `json:"content"`
	MessageType string   `json:"messageType"`
	Media       []Media  `json:"media"`
	ReplyTo     string   `json:"replyTo,omitempty"`
	CreatedAt   Time     `json:"createdAt"`
	EditedAt    *Time    `json:"editedAt,omitempty"`
	DeliveredTo []string `json:"deliveredTo,omitempty"`
	ReadBy      []string `json:"readBy,omitempty"`
}

// The pushes of /messaging. The sender's ack carries the same data.
type (
	// ConversationCreated is pushed as conversation:create.
	ConversationCreated struct {
		Conversation Conversation `json:"conversation"`
	}
	// ConversationUpdated is pushed as conversation:update.
	ConversationUpdated struct {
		ConversationID string              `json:"conversationId"`
		Updates        ConversationUpdates `json:"updates"`
		UpdatedAt      Time                `json:"updatedAt"`
	}
	// ConversationDeleted is pushed as conversation:delete.
	ConversationDeleted struct {
		ConversationID string `json:"conversationId"`
		DeletedBy      string `json:"deletedBy"`
	}
	// MessageTyping is pushed as message:typing.
	MessageTyping struct {
		ConversationID string `json:"conversationId"`
		UserID         string `json:"userId"`
		Username       string `json:"username"`
		Action         string `json:"action"`
	}
	// MessageSent is pushed as message:send.
	MessageSent struct {
		ConversationID string  `json:"conversationId"`
		Message        Message `json:"message"`
	}
	// MessageDelivered is pushed as message:delivered.
	MessageDelivered struct {
		MessageID      string `json:"messageId"`
		ConversationID string `json:"conversationId"`
		DeliveredTo    string `json:"deliveredTo"`
		DeliveredAt    Time   `json:"deliveredAt"`
	}
	// MessageRead is pushed as message:read. UnreadCount is the reader's own, for
	// their other sockets and the ack alone.
	MessageRead struct {
		MessageID      string `json:"messageId"`
		ConversationID string `json:"conversationId"`
		ReadBy         string `json:"readBy"`
		ReadAt         Time   `json:"readAt"`
		UnreadCount    *int   `json:"unreadCount,omitempty"`
	}
	// MessageEdited is pushed as message:edit.
	MessageEdited struct {
		MessageID      string `json:"messageId"`
		ConversationID string `json:"conversationId"`
		Content        string `json:"content"`
		EditedAt       Time   `json:"editedAt"`
	}
	// MessageDeleted is pushed as message:delete.
	MessageDeleted struct {
		MessageID      string `json:"messageId"`
		ConversationID string `json:"conversationId"`
		DeletedBy      string `json:"deletedBy"`
	}
)
