package projections

import (
	"slices"

	"roomlog/schema"
)

// stance is what somebody is to what a command of theirs is about.
type stance struct {
	relation schema.Relation // AsAuthor, AsParticipant or AsStranger
	blocked  bool            // besides, one of the two blocks the other
}

// permit says why a user may not send an event with such data, "" when they may as
// far as schema's permissions go. It is asked of a fact at its place in the log,
// before its home decides the rest, and of queries and signals as of now.
//
// This is the one place that looks into several read models to decide: each is
// asked whose a thing is, and none of them looks into another.
func (s *state) permit(e *schema.Event, user string, data any) schema.Code {
	in, known := s.stanceOf(e, user, data)
	if !known {
		return "" // about nobody's, or about what is not there: the home says so
	}
	if code := e.Refuses(in.relation); code != "" || !in.blocked {
		return code
	}
	return e.Refuses(schema.AsBlocked)
}

// stanceOf finds out whose the thing is that a command is about. known is false
// when it is nobody's, or is not there.
func (s *state) stanceOf(e *schema.Event, user string, data any) (in stance, known bool) {
	switch d := data.(type) {
	case *schema.PostUpdate:
		return s.toPost(user, d.PostID, "")
	case *schema.PostRef:
		return s.toPost(user, d.PostID, "")
	case *schema.PostAction:
		return s.toPost(user, d.PostID, d.Action)
	case *schema.PostComment:
		return s.toAnswer(user, d)
	case *schema.PostShare:
		return s.toPost(user, d.PostID, "")
	case *schema.CommentUpdate:
		return s.toComment(user, d.PostID, d.CommentID, false)
	case *schema.CommentDelete:
		return s.toComment(user, d.PostID, d.CommentID, true)
	case *schema.UserFollow:
		return s.toUser(user, d.FollowingID, d.Action), true
	case *schema.TargetAction:
		return s.toUser(user, d.TargetID, d.Action), true
	case *schema.AdminSuspend:
		return s.toUser(user, d.UserID, ""), true
	case *schema.AdminReinstate:
		return s.toUser(user, d.UserID, ""), true
	case *schema.ConversationCreate:
		return s.toUsers(user, d.Participants), true
	case *schema.ConversationUpdate:
		return s.toMore(user, d), true
	case *schema.ConversationRef:
		return s.toOwned(user, d.ConversationID), true
	case *schema.ConversationAction:
		return s.toConversation(user, d.ConversationID), true
	case *schema.MessageList:
		return s.toConversation(user, d.ConversationID), true
	case *schema.MessageSend:
		return s.toConversation(user, d.ConversationID), true
	case *schema.MessageRef:
		return s.toMessage(user, d.ConversationID, d.MessageID, e.Name != "message:delete")
	case *schema.MessageEdit:
		return s.toMessage(user, d.ConversationID, d.MessageID, false)
	case *schema.NotificationRef:
		if s.notifications.find(user, d.NotificationID) == nil {
			return stance{relation: schema.AsStranger}, true
		}
		return stance{relation: schema.AsAuthor}, true
	case *schema.AdminReport:
		if d.Target.Type == schema.TargetMessage {
			return s.toMessage(user, d.Target.ConversationID, d.Target.ID, false)
		}
	}
	return stance{}, false
}

func (s *state) toPost(user, postID, action string) (stance, bool) {
	h, ok := s.feeds.post(postID)
	if !ok {
		return stance{}, false
	}
	return s.toUser(user, string(h.author), action), true
}

// toAnswer is about a post and, where a comment answers one, that, too.
func (s *state) toAnswer(user string, d *schema.PostComment) (stance, bool) {
	h, ok := s.feeds.post(d.PostID)
	if !ok {
		return stance{}, false
	}
	in := s.toUser(user, string(h.author), "")
	if !in.blocked && d.ParentID != "" {
		in.blocked = s.graph.isBlocked(user, string(s.feeds.commenter(h, d.ParentID))) // none: nobody's
	}
	return in, true
}

// toComment is about a comment; ofPost: whose the post is, that is the comment, too.
func (s *state) toComment(user, postID, commentID string, ofPost bool) (stance, bool) {
	h, _, c, code := s.feeds.comment(postID, commentID)
	if code != "" {
		return stance{}, false
	}
	if ofPost && string(h.author) == user {
		return stance{relation: schema.AsAuthor}, true
	}
	return s.toUser(user, c.author, ""), true
}

// toUser is about another user, or what is theirs. Taking back is nothing that a
// block forbids.
func (s *state) toUser(user, other, action string) stance {
	if user == other {
		return stance{relation: schema.AsAuthor}
	}
	return stance{relation: schema.AsStranger, blocked: !schema.TakesBack(action) && s.graph.isBlocked(user, other)}
}

func (s *state) toUsers(user string, others []string) stance {
	in := stance{relation: schema.AsStranger}
	if slices.Contains(others, user) {
		in.relation = schema.AsAuthor
	}
	in.blocked = slices.ContainsFunc(others, func(other string) bool { return s.graph.isBlocked(user, other) })
	return in
}

// toConversation knows no author. Groups ignore blocks. To a conversation that is not
// there everybody is a stranger.
func (s *state) toConversation(user, id string) stance {
	in, _, _ := s.enter(user, id)
	return in
}

// enter is toConversation, and what a participant finds there.
func (s *state) enter(user, id string) (in stance, h conversation, m membership) {
	h, m, ok := s.conversations.enter(user, id)
	if !ok {
		return stance{relation: schema.AsStranger}, h, m
	}
	in.relation = schema.AsParticipant
	if !h.group {
		for other := range inRoster(s.conversations.rosters.get([]byte(id))) {
			in.blocked = in.blocked || string(other) != user && s.graph.isBlocked(user, string(other))
		}
	}
	return in, h, m
}

// toMore is about a group and those who are added to it.
func (s *state) toMore(user string, d *schema.ConversationUpdate) stance {
	in, h, _ := s.enter(user, d.ConversationID)
	in.blocked = h.group && s.toUsers(user, d.Updates.AddParticipants).blocked
	return in
}

// toOwned is about a conversation whose creator may do what others may not. One of two
// is everybody's own.
func (s *state) toOwned(user, id string) stance {
	in, h, _ := s.enter(user, id)
	if in.relation == schema.AsParticipant && (!h.group || string(h.creator) == user) {
		in.relation = schema.AsAuthor
	}
	return in
}

// toMessage is about a message that a participant sees; gone: one that is not there
// any more still is somebody's position.
func (s *state) toMessage(user, id, messageID string, gone bool) (stance, bool) {
	in, h, m := s.enter(user, id)
	if in.relation == schema.AsStranger {
		return in, true
	}
	p, ok := s.conversations.sees(h, m, messageID)
	if !ok || p.fate != there && !gone {
		return stance{}, false
	}
	if string(p.sender) == user {
		in.relation = schema.AsAuthor
	}
	return in, true
}
