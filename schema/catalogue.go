package schema

// The projectors that are home to the facts of the catalogue.
const (
	HomeGraph         = "graph"
	HomeFeeds         = "feeds"
	HomeLikes         = "likes"
	HomeConversations = "conversations"
	HomeNotifications = "notifications"
	HomeModeration    = "moderation"
)

// catalogue is every event of roomlog, in the order the documentation shows them.
var catalogue = []Event{
	// /social
	{"post:create", Fact, 2, AnyUser, "followers' user rooms, author's other sockets", HomeFeeds, "post", "Publishes a post."},
	{"post:update", Fact, 2, PostAuthor, "post room, author", HomeFeeds, "post", "Replaces a post's content."},
	{"post:delete", Fact, 1, PostAuthor, "post room, author", HomeFeeds, "post", "Takes a post and its comments away."},
	{"post:like", Fact, 1, Unblocked, "post room, author", HomeLikes, "post", "Likes or unlikes a post."},
	{"post:comment", Fact, 1, Unblocked, "post room, author", HomeFeeds, "post", "Comments on a post or answers a comment."},
	{"comment:update", Fact, 1, CommentAuthor, "post room", HomeFeeds, "comment", "Replaces a comment's content."},
	{"comment:delete", Fact, 1, CommentOrPostOwner, "post room", HomeFeeds, "comment", "Takes a comment away."},
	{"post:share", Fact, 1, Unblocked, "post room, author; the sharer's followers get it in their feed", HomeFeeds, "post", "Puts a post into the sharer's timeline."},
	{"user:follow", Fact, 1, OtherUnblocked, "both users' rooms", HomeGraph, "user", "Follows or unfollows a user."},
	{"user:friend-request", Fact, 1, OtherUnblocked, "both users' rooms", HomeGraph, "user", "Sends, accepts, declines or cancels a friend request."},
	{"user:block", Fact, 1, NotOneself, "own user room only", HomeGraph, "user", "Blocks or unblocks a user."},
	{"post:join", Signal, 1, AnyUser, "", "", "post", "Joins a post's room on this socket."},
	{"post:leave", Signal, 1, AnyUser, "", "", "post", "Leaves a post's room on this socket."},
	{"user:typing", Signal, 1, AnyUser, "post room", "", "post", "Says that the user is writing a comment, or stopped."},
	{"user:online", Push, 1, Server, "connected users who follow them or share a conversation", "", "user", "A user's first socket opened."},
	{"user:offline", Push, 1, Server, "connected users who follow them or share a conversation", "", "user", "A user's last socket closed, a grace period ago."},
	{"feed:get", Query, 1, AnyUser, "", "", "", "The user's own feed, newest first."},
	{"post:get", Query, 1, AnyUser, "", "", "post", "One post with its counts."},
	{"comment:list", Query, 1, AnyUser, "", "", "post", "A post's comments, oldest first."},
	{"user:get", Query, 1, AnyUser, "", "", "user", "A user's profile and counts."},
	{"user:posts", Query, 1, AnyUser, "", "", "user", "A user's posts and shares, newest first."},
	{"user:followers", Query, 1, AnyUser, "", "", "user", "Who follows a user."},
	{"user:following", Query, 1, AnyUser, "", "", "user", "Whom a user follows."},
	{"presence:get", Query, 1, AnyUser, "", "", "", "Whether users are online, and when they were last seen."},

	// /messaging
	{"conversation:create", Fact, 1, OtherUnblocked, "every participant's user room", HomeConversations, "conversation", "Opens a direct or group conversation."},
	{"conversation:update", Fact, 1, Hosts, "conversation room; participants not in it, added and removed users in their user room", HomeConversations, "conversation", "Renames a conversation, adds or removes participants."},
	{"conversation:delete", Fact, 1, ConversationOwner, "a group's room, and its participants not in it in their user room; of a direct one the own user room only", HomeConversations, "conversation", "Deletes a group for everyone, a direct conversation for oneself."},
	{"message:join", Signal, 1, Participants, "", "", "conversation", "Joins a conversation's room on this socket."},
	{"message:joined", Push, 1, Server, "the socket that joined", "", "conversation", "The socket is in the conversation's room."},
	{"message:leave", Signal, 1, AnyUser, "", "", "conversation", "Leaves a conversation's room on this socket."},
	{"message:typing", Signal, 1, Writers, "conversation room", "", "conversation", "Says that the user is writing a message, or stopped."},
	{"message:send", Fact, 1, Writers, "conversation room; participants not in it in their user room", HomeConversations, "conversation", "Sends a message."},
	{"message:delivered", Fact, 1, OtherParticipants, "conversation room and own user room; with more than 100 participants own user room only", HomeConversations, "conversation", "Marks all messages up to one as delivered."},
	{"message:read", Fact, 1, OtherParticipants, "conversation room and own user room; with more than 100 participants own user room only", HomeConversations, "conversation", "Marks all messages up to one as read."},
	{"message:edit", Fact, 1, MessageEditor, "conversation room; participants not in it in their user room; only those who see the message", HomeConversations, "message", "Replaces a message's content."},
	{"message:delete", Fact, 1, MessageSender, "conversation room; participants not in it in their user room; only those who see the message", HomeConversations, "message", "Takes a message away."},
	{"conversation:list", Query, 1, AnyUser, "", "", "", "The user's conversations, the latest activity first."},
	{"conversation:get", Query, 1, Participants, "", "", "conversation", "One conversation."},
	{"message:list", Query, 1, Participants, "", "", "conversation", "A conversation's messages by page, newest first, in either direction or around one."},

	// /notifications
	{"notification:new", Push, 1, Server, "recipient's user room", "", "notification", "A notification was made or renewed."},
	{"notification:read", Fact, 1, Recipient, "own user room", HomeNotifications, "notification", "Marks one notification as read."},
	{"notification:read-all", Fact, 1, AnyUser, "own user room", HomeNotifications, "user", "Marks all notifications up to one as read."},
	{"notification:delete", Fact, 1, Recipient, "own user room", HomeNotifications, "notification", "Deletes one notification."},
	{"notification:count", Push, 1, Server, "own user room, after every change", "", "user", "The absolute number of unread notifications."},
	{"notification:get-count", Query, 1, AnyUser, "", "", "", "The number of unread notifications."},
	{"notification:list", Query, 1, AnyUser, "", "", "", "The user's notifications, newest first."},

	// /admin
	{"admin:report", Fact, 1, Witness, "room admin", HomeModeration, "report", "Reports content or a user to the moderators."},
	{"admin:resolve-report", Fact, 1, Moderators, "room admin", HomeModeration, "report", "Closes a report."},
	{"admin:remove", Fact, 1, Moderators, "the rooms that showed it, room admin", HomeModeration, "target", "Takes content out of every read model."},
	{"admin:restore", Fact, 1, Moderators, "the rooms that showed it, room admin", HomeModeration, "target", "Returns removed content."},
	{"admin:suspend", Fact, 1, ModeratorsOfOthers, "room admin", HomeModeration, "user", "Suspends a user: sockets close, commands are refused."},
	{"admin:reinstate", Fact, 1, ModeratorsOfOthers, "room admin", HomeModeration, "user", "Ends a suspension."},
	{"admin:announce", Fact, 1, Admins, "room public", HomeModeration, "", "Tells every connected socket something."},
	{"admin:reports", Query, 1, Moderators, "", "", "", "Reports, open ones first."},
	{"admin:history", Query, 1, Moderators, "", "", "", "The ADMIN stream by page."},
	{"admin:stats", Query, 1, Moderators, "", "", "", "Live figures."},
	{"admin:tail", Signal, 1, Moderators, "", "", "", "Follows the log on this socket, filtered."},
	{"admin:record", Push, 1, Server, "the socket that follows", "", "", "A committed record that matches a tail's filter."},

	// the connection
	{"socket:hello", Push, 1, Server, "the socket", "", "", "The first frame from the server."},
	{"socket:connect", Signal, 1, AnyUser, "", "", "", "The first frame from the client: who it is, and where it was."},
	{"socket:refresh", Signal, 1, AnyUser, "", "", "", "A new token for the same user before the old one ends."},
	{"socket:resumed", Push, 1, Server, "the socket", "", "", "Every missed push has been sent."},
	{"socket:resync", Push, 1, Server, "the socket", "", "", "What was missed cannot be sent again: read by query."},
	{"socket:disconnect", Push, 1, Server, "the socket", "", "", "The last frame before the server closes."},
	{"socket:ping", Query, 1, AnyUser, "", "", "", "For clients that cannot see WebSocket pings."},
	{"error", Push, 1, Server, "the socket", "", "", "An error for a frame that could not be tied to an id."},
}

// aliases are older names that are still accepted for an event of the catalogue.
var aliases = map[string]string{"socket:typing": "user:typing"}

var byName = func() map[string]*Event {
	m := make(map[string]*Event, len(catalogue)+len(aliases))
	for i := range catalogue {
		m[catalogue[i].Name] = &catalogue[i]
	}
	for old, name := range aliases {
		m[old] = m[name]
	}
	return m
}()

// names holds every name that Lookup knows, so that a frame's event costs no
// allocation.
var names = func() map[string]string {
	m := make(map[string]string, len(byName))
	for name := range byName {
		m[name] = name
	}
	return m
}()

// Events returns the whole catalogue. The caller must not change it.
func Events() []Event { return catalogue }

// Lookup returns the event of that name, or the one that the name is an older
// name of.
func Lookup(name string) (*Event, bool) {
	e, ok := byName[name]
	return e, ok
}
