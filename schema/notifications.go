package schema

// The payloads of /notifications.

// Types of notifications.
const (
	NotifyLike          = "like"
	NotifyComment       = "comment"
	NotifyFollow        = "follow"
	NotifyMention       = "mention"
	NotifyMessage       = "message"
	NotifyFriendRequest = "friend_request"
)

// NotificationRef is the data of notification:read and notification:delete.
type NotificationRef struct {
	NotificationID string `json:"notificationId"`
}

// NotificationReadAll is the data of notification:read-all. The gateway fills in
// UpTo with the newest notification that the client could see when it sends none,
// so that the record means the same in any replay; Newest then says so.
type NotificationReadAll struct {
	UpTo   string `json:"upTo,omitempty"`
	Newest bool   `json:"newest,omitempty"`
}

// NotificationList is the data of notification:list.
type NotificationList struct {
	UnreadOnly bool `json:"unreadOnly,omitempty"`
	Page
}

// Notification tells Recipient of something Sender did. Post, Comment, Message and
// Conversation are ids, where the type has one.
type Notification struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	Sender       Actor  `json:"sender"`
	Recipient    string `json:"recipient"`
	Post         string `json:"post,omitempty"`
	Comment      string `json:"comment,omitempty"`
	Message      string `json:"message,omitempty"`
	Conversation string `json:"conversation,omitempty"`
	Count        int    `json:"count,omitempty"`  // of a message: how many it stands for
	Renews       string `json:"renews,omitempty"` // in notification:new: the id of the one whose place it takes
	CreatedAt    Time   `json:"createdAt"`
	ReadAt       *Time  `json:"readAt,omitempty"`
}

// The pushes of /notifications. The sender's ack carries the same data.
type (
	// NotificationNew is pushed as notification:new.
	NotificationNew struct {
		Notification Notification `json:"notification"`
	}
	// NotificationRead is pushed as notification:read.
	NotificationRead struct {
		NotificationID string `json:"notificationId"`
		ReadAt         Time   `json:"readAt"`
	}
	// NotificationsRead is pushed as notification:read-all.
	NotificationsRead struct {
		UserID string `json:"userId"`
		ReadAt Time   `json:"readAt"`
	}
	// NotificationDeleted is pushed as notification:delete.
	NotificationDeleted struct {
		NotificationID string `json:"notificationId"`
		DeletedBy      string `json:"deletedBy"`
	}
	// NotificationCount is pushed as notification:count and answers
	// notification:get-count: the absolute number of unread ones, never a delta.
	NotificationCount struct {
		Count int `json:"count"`
	}
)
