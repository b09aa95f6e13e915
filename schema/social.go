package schema

// The payloads of /social. What a client sends is also what a record's data
// holds: ids, actors and times are never part of it, they stand in the record
// itself, and the entity that a record creates (post, comment) has the record's
// own id.

// Actions of post:like, user:follow, user:block, user:friend-request and typing.
const (
	ActionLike     = "like"
	ActionUnlike   = "unlike"
	ActionFollow   = "follow"
	ActionUnfollow = "unfollow"
	ActionBlock    = "block"
	ActionUnblock  = "unblock"
	ActionSend     = "send"
	ActionAccept   = "accept"
	ActionDecline  = "decline"
	ActionCancel   = "cancel"
	ActionStart    = "start"
	ActionStop     = "stop"
)

// Media is an attachment by reference; roomlog stores no blobs.
type Media struct {
	URL  string `json:"url"`
	Type string `json:"type"`
	Alt  string `json:"alt,omitempty"`
}

// PostCreate is the data of post:create. Of a client, nil Hashtags ask the gateway to
// take them from the content, and empty ones say that there are none. A record has
// them always, since version 2 (upcast.go).
type PostCreate struct {
	Content  string   `json:"content"`
	Media    []Media  `json:"media,omitempty"`
	Hashtags []string `json:"hashtags,omitzero"`
}

// PostUpdate is the data of post:update; Hashtags as in PostCreate.
type PostUpdate struct {
	PostID   string   `json:"postId"`
	Content  string   `json:"content"`
	Hashtags []string `json:"hashtags,omitzero"`
}

// PostRef is the data of post:delete, post:get, post:join and post:leave.
type PostRef struct {
	PostID string `json:"postId"`
}

// PostAction is the data of post:like and user:typing.
type PostAction struct {
	PostID string `json:"postId"`
	Action string `json:"action"`
}

// PostComment is the data of post:comment.
type PostComment struct {
	PostID   string `json:"postId"`
	Content  string `json:"content"`
	ParentID string `json:"parentId,omitempty"`
}

// CommentUpdate is the data of comment:update.
type CommentUpdate struct {
	PostID    string `json:"postId"`
	CommentID string `json:"commentId"`
	Content   string `json:"content"`
}

// CommentDelete is the data of comment:delete.
type CommentDelete struct {
	PostID    string `json:"postId"`
	CommentID string `json:"commentId"`
}

// PostShare is the data of post:share.
type PostShare struct {
	PostID  string `json:"postId"`
	Content string `json:"content,omitempty"`
}

// UserFollow is the data of user:follow.
type UserFollow struct {
	FollowingID string `json:"followingId"`
	Action      string `json:"action"`
}

// TargetAction is the data of user:friend-request and user:block.
type TargetAction struct {
	TargetID string `json:"targetId"`
	Action   string `json:"action"`
}

// Page is the part of a query that asks for a page: items strictly before a
// cursor that an earlier page returned as next, at most Limit (1..100, default 20).
type Page struct {
	Before string `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// CommentList is the data of comment:list.
type CommentList struct {
	PostID string `json:"postId"`
	Page
}

// UserPage is the data of user:posts, user:followers, user:following, and
// (without a page) user:get.
type UserPage struct {
	UserID string `json:"userId"`
	Page
}

// PresenceGet is the data of presence:get, for at most 100 users.
type PresenceGet struct {
	UserIDs []string `json:"userIds"`
}

// Post is a post as pushes and queries show it. The counts and Viewer's own
// relation are only in query answers.
type Post struct {
	ID            string   `json:"id"`
	Author        Actor    `json:"author"`
	Content       string   `json:"content"`
	Media         []Media  `json:"media"`
	Hashtags      []string `json:"hashtags"`
	CreatedAt     Time     `json:"createdAt"`
	UpdatedAt     *Time    `json:"updatedAt,omitempty"`
	LikesCount    *int     `json:"likesCount,omitempty"`
	CommentsCount *int     `json:"commentsCount,omitempty"`
	SharesCount   *int     `json:"sharesCount,omitempty"`
	Liked         *bool    `json:"liked,omitempty"`
}

// Comment is a comment as pushes and queries show it.
type Comment struct {
	ID        string `json:"id"`
	Author    Actor  `json:"author"`
	Content   string `json:"content"`
	ParentID  string `json:"parentId,omitempty"`
	CreatedAt Time   `json:"createdAt"`
	UpdatedAt *Time  `json:"updatedAt,omitempty"`
}

// The pushes of /social. The sender's ack carries the same data.
type (
	// PostCreated is pushed as post:create.
	PostCreated struct {
		Post Post `json:"post"`
	}
	// PostUpdated is pushed as post:update.
	PostUpdated struct {
		PostID    string   `json:"postId"`
		Content   string   `json:"content"`
		Hashtags  []string `json:"hashtags"`
		UpdatedAt Time     `json:"updatedAt"`
	}
	// PostDeleted is pushed as post:delete.
	PostDeleted struct {
		PostID   string `json:"postId"`
		AuthorID string `json:"authorId"`
	}
	// PostLiked is pushed as post:like.
	PostLiked struct {
		PostID     string `json:"postId"`
		UserID     string `json:"userId"`
		Username   string `json:"username"`
		Action     string `json:"action"`
		LikesCount int    `json:"likesCount"`
	}
	// PostCommented is pushed as post:comment.
	PostCommented struct {
		PostID        string  `json:"postId"`
		Comment       Comment `json:"comment"`
		CommentsCount int     `json:"commentsCount"`
	}
	// CommentUpdated is pushed as comment:update.
	CommentUpdated struct {
		PostID        string `json:"postId"`
		CommentID     string `json:"commentId"`
		Content       string `json:"content"`
		UpdatedAt     Time   `json:"updatedAt"`
		CommentsCount int    `json:"commentsCount"`
	}
	// CommentDeleted is pushed as comment:delete.
	CommentDeleted struct {
		PostID        string `json:"postId"`
		CommentID     string `json:"commentId"`
		DeletedBy     string `json:"deletedBy"`
		CommentsCount int    `json:"commentsCount"`
	}
	// PostShared is pushed as post:share.
	PostShared struct {
		PostID      string `json:"postId"`
		UserID      string `json:"userId"`
		Username    string `json:"username"`
		SharesCount int    `json:"sharesCount"`
	}
	// UserFollowed is pushed as user:follow.
	UserFollowed struct {
		FollowerID        string `json:"followerId"`
		FollowerUsername  string `json:"followerUsername"`
		FollowingID       string `json:"followingId"`
		FollowingUsername string `json:"followingUsername"`
		Action            string `json:"action"`
		FollowersCount    int    `json:"followersCount"`
	}
	// FriendRequested is pushed as user:friend-request.
	FriendRequested struct {
		RequesterID string `json:"requesterId"`
		TargetID    string `json:"targetId"`
		Action      string `json:"action"`
		At          Time   `json:"at"`
	}
	// UserTyping is pushed as user:typing.
	UserTyping struct {
		PostID   string `json:"postId"`
		UserID   string `json:"userId"`
		Username string `json:"username"`
		Action   string `json:"action"`
	}
	// UserPresence is pushed as user:online and user:offline.
	UserPresence struct {
		UserID   string `json:"userId"`
		Username string `json:"username"`
		Avatar   string `json:"avatar"`
		LastSeen Time   `json:"lastSeen"`
	}
)

// FeedItem is one entry of feed:get and user:posts: a post, or a share of one.
type FeedItem struct {
	ID       string  `json:"id"` // the cursor of this item: the post's id, or the share's
	Post     Post    `json:"post"`
	SharedBy *Actor  `json:"sharedBy,omitempty"`
	SharedAt *Time   `json:"sharedAt,omitempty"`
	Comment  *string `json:"shareContent,omitempty"`
}

// Items is a page of T, with the cursor of the next page, "" at the end.
type Items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// Profile is the answer to user:get.
type Profile struct {
	User           Actor `json:"user"`
	PostsCount     int   `json:"postsCount"`
	FollowersCount int   `json:"followersCount"`
	FollowingCount int   `json:"followingCount"`
	LastSeen       Time  `json:"lastSeen"`
	Following      bool  `json:"following"` // the viewer follows this user
	FollowsYou     bool  `json:"followsYou"`
	Friend         bool  `json:"friend"`
	Blocked        bool  `json:"blocked"` // the viewer blocks this user
}

// Presence is one user's entry in the answer to presence:get.
type Presence struct {
	UserID   string `json:"userId"`
	Online   bool   `json:"online"`
	LastSeen *Time  `json:"lastSeen,omitempty"` // nil: never seen
}
