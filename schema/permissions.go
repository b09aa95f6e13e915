package schema

import "slices"

// Relation is what the sender of a command is to what the command is about.
type Relation uint8

// The relations. Of several that hold, the sender's own part in it (the first
// three) is looked at first, and Blocked only where that allows the command.
const (
	AsAuthor        Relation = iota // made it, or it is theirs, or about themselves
	AsParticipant                   // takes part in the conversation
	AsStranger                      // none of these
	AsBlocked                       // might send it otherwise, but one of the two blocks the other
	AsExParticipant                 // took part in the conversation once: a stranger to it
	AsSuspended                     // suspended, whatever else they are
)

// Relations lists them all, in the order in which permissions are printed.
func Relations() []Relation {
	return []Relation{AsAuthor, AsParticipant, AsStranger, AsBlocked, AsExParticipant, AsSuspended}
}

func (r Relation) String() string {
	return [...]string{"author", "participant", "stranger", "blocked", "ex-participant", "suspended"}[r]
}

// Who is the class of senders that may send an event. The gateway checks roles,
// which are in the token; relations are decided by the projections, for a fact at
// its place in the log.
type Who string

// The classes of the catalogue.
const (
	AnyUser            Who = "any user"
	NotOneself         Who = "any user, about another user"
	Unblocked          Who = "any user, unless one of the two blocks the other"
	OtherUnblocked     Who = "any user, about others, unless one of the two blocks the other"
	PostAuthor         Who = "the post's author"
	CommentAuthor      Who = "the comment's author"
	CommentOrPostOwner Who = "the comment's author or the post's author"
	Participants       Who = "participants of the conversation"
	Hosts              Who = "participants of the conversation; they add nobody who blocks them or is blocked by them"
	Writers            Who = "participants of the conversation; of a direct one while neither blocks the other"
	OtherParticipants  Who = "participants of the conversation but the message's sender"
	ConversationOwner  Who = "the conversation's creator; of a direct one either, for themselves"
	MessageSender      Who = "the message's sender, while a participant"
	MessageEditor      Who = "the message's sender, while they may write in the conversation"
	Recipient          Who = "the notification's recipient"
	Witness            Who = "any user who can see it"
	Moderators         Who = "role moderator or admin"
	ModeratorsOfOthers Who = "role moderator or admin, about another user"
	Admins             Who = "role admin"
	Server             Who = "the server only"
)

// permission says who of a class may: the roles of which a token must carry one (nil:
// any user), and why those may not who are refused, "" for those who may.
type permission struct {
	roles                                  []Role
	author, participant, stranger, blocked Code
}

var moderators = []Role{RoleModerator, RoleAdmin}

// permissions are all that roomlog knows of permissions; who is suspended may do
// nothing. Those who must not know that a thing exists are told that it does not.
var permissions = map[Who]permission{
	AnyUser:        {},
	NotOneself:     {author: Oneself},
	Unblocked:      {blocked: Blocked},
	OtherUnblocked: {author: Oneself, blocked: Blocked},

	PostAuthor:         {participant: NotPermitted, stranger: NotPermitted, blocked: NotPermitted},
	CommentAuthor:      {participant: NotPermitted, stranger: NotPermitted, blocked: NotPermitted},
	CommentOrPostOwner: {participant: NotPermitted, stranger: NotPermitted, blocked: NotPermitted},

	Participants:      {stranger: ConversationNotFound},
	Hosts:             {stranger: ConversationNotFound, blocked: Blocked},
	Writers:           {stranger: ConversationNotFound, blocked: Blocked},
	OtherParticipants: {author: NotPermitted, stranger: ConversationNotFound},
	ConversationOwner: {participant: NotPermitted, stranger: ConversationNotFound},
	MessageSender:     {participant: NotPermitted, stranger: ConversationNotFound},
	MessageEditor:     {participant: NotPermitted, stranger: ConversationNotFound, blocked: Blocked},

	Recipient: {participant: NotificationNotFound, stranger: NotificationNotFound, blocked: NotificationNotFound},
	Witness:   {stranger: ConversationNotFound},

	Moderators:         {roles: moderators},
	ModeratorsOfOthers: {roles: moderators, author: Oneself},
	Admins:             {roles: []Role{RoleAdmin}},
}

// Roles returns the roles of which a token must carry one for the event, nil when
// every verified user may send it.
func (e *Event) Roles() []Role { return permissions[e.Who].roles }

// Permits reports whether a token with these roles may send the event.
func (e *Event) Permits(roles []Role) bool {
	needed := permissions[e.Who].roles
	return needed == nil || slices.ContainsFunc(needed, func(r Role) bool { return slices.Contains(roles, r) })
}

// Refuses returns why someone in the relation may not send the event, "" when they
// may. Roles are asked first.
func (e *Event) Refuses(r Relation) Code {
	p := permissions[e.Who]
	switch r {
	case AsAuthor:
		return p.author
	case AsParticipant:
		return p.participant
	case AsBlocked:
		return p.blocked
	case AsSuspended:
		return Suspended
	}
	return p.stranger
}

// TakesBack reports whether an action undoes an earlier one, or says no to it: that
// is allowed across a block, too.
func TakesBack(action string) bool {
	switch action {
	case ActionUnlike, ActionUnfollow, ActionUnblock, ActionDecline, ActionCancel, ActionStop:
		return true
	}
	return false
}
