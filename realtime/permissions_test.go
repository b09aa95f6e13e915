package realtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

var allRoles = []schema.Role{schema.RoleUser, schema.RoleModerator, schema.RoleAdmin, schema.RoleAuditor, schema.RoleOperator}

// TestPermissions sends every event of the catalogue as a user of every role who is
// in every relation to what it is about, each time over a real socket, and expects
// what schema's table says.
func TestPermissions(t *testing.T) {
	g := openGateway(t, nil)
	for _, role := range allRoles {
		for _, relation := range schema.Relations() {
			t.Run(fmt.Sprintf("%s/%s", role, relation), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, g, role, relation)
				for _, event := range schema.Events() {
					if event.Kind != schema.Push {
						s.try(&event)
					}
				}
				s.tryReports()
			})
		}
	}
}

// permitted is the cell of the table; the table itself is what the gateway asks.
func permitted(e *schema.Event, role schema.Role, relation schema.Relation) schema.Code {
	switch {
	case relation == schema.AsSuspended:
		return schema.Suspended
	case !e.Permits([]schema.Role{role}):
		return schema.NotPermitted
	}
	return e.Refuses(relation)
}

// scene is a sender in one relation to what owner has, and to what the two share.
type scene struct {
	t             *testing.T
	g             *gateway
	role          schema.Role
	relation      schema.Relation
	sender, owner *peer
	witness       *peer // has no part in anything but what it is given
	moderator     *peer
}

func newScene(t *testing.T, g *gateway, role schema.Role, relation schema.Relation) *scene {
	name := fmt.Sprintf("%s-%d-", role, relation)
	s := &scene{t: t, g: g, role: role, relation: relation}
	s.owner, s.witness = g.connect(t, name+"owner"), g.connect(t, name+"witness")
	s.moderator = g.connect(t, name+"moderator", schema.RoleModerator)
	s.sender = g.connect(t, name+"sender", role)
	if relation == schema.AsSuspended {
		s.sender.bar()
		s.moderator.do("admin:suspend", schema.AdminSuspend{UserID: s.sender.user, Reason: "a test"})
		s.sender.closedWith(schema.CloseSuspended)
	}
	return s
}

// try sets the stage for one event and sends it.
func (s *scene) try(e *schema.Event) {
	s.t.Helper()
	data := s.stage(e.Name)
	if code, want := s.send(e, data), permitted(e, s.role, s.relation); code != want {
		s.t.Errorf("%s: %q, want %q", e.Name, code, want)
	}
}

// tryReports reports what is no message, which is public: who has no part in it sees
// it, whoever blocks whom, and only themselves nobody reports.
func (s *scene) tryReports() {
	s.t.Helper()
	e, _ := schema.Lookup("admin:report")
	for _, targetType := range []string{schema.TargetPost, schema.TargetComment, schema.TargetUser} {
		target := schema.Target{Type: targetType, ID: s.author().user}
		if post := s.author().post("rude"); targetType == schema.TargetPost {
			target.ID = post
		} else if targetType == schema.TargetComment {
			target.ID = s.author().comment(post, "ruder")
		}
		s.block()
		want := schema.Code("")
		switch {
		case s.relation == schema.AsSuspended:
			want = schema.Suspended
		case s.relation == schema.AsAuthor && targetType == schema.TargetUser:
			want = schema.Oneself
		}
		if code := s.send(e, schema.AdminReport{Target: target, Reason: "a test"}); code != want {
			s.t.Errorf("admin:report of a %s: %q, want %q", targetType, code, want)
		}
	}
}

// send returns the code with which the event is refused, and takes back the blocks.
func (s *scene) send(e *schema.Event, data any) (code schema.Code) {
	s.t.Helper()
	if s.relation == schema.AsSuspended || e.Name == "socket:connect" {
		code = s.sendFirst(e.Name, data)
	} else {
		_, err := s.sender.Do(s.t.Context(), e.Name, data, "")
		code = codeIn(err)
	}
	if s.relation == schema.AsBlocked {
		s.owner.do("user:block", schema.TargetAction{TargetID: s.sender.user, Action: "unblock"})
	}
	if e.Name == "user:block" && code == "" {
		s.sender.do("user:block", schema.TargetAction{TargetID: s.owner.user, Action: "unblock"})
	}
	return code
}

// sendFirst sends the event as the first command of a socket whose handshake had a
// token that is still good.
func (s *scene) sendFirst(event string, data any) schema.Code {
	s.t.Helper()
	socket := s.g.user(s.t, s.sender.user, s.role)
	socket.text(cmd(event, string(encode(s.t, data))))
	answer := socket.next()
	if s.relation == schema.AsSuspended {
		socket.expect("push socket:disconnect", "close 4503 suspended")
	}
	code, acked := strings.CutPrefix(answer, "ack 1")
	if !acked {
		s.t.Errorf("%s: %s", event, answer)
	}
	return schema.Code(strings.TrimSpace(code))
}

func codeIn(err error) schema.Code {
	var refusal *schema.Error
	var closed *client.CloseError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return refusal.Code
	case errors.As(err, &closed):
		return schema.Code(fmt.Sprintf("closed with %d", closed.Code))
	}
	return schema.Code(err.Error())
}

// stage makes what the event is about, of whom it has to be for the relation, and
// returns the event's data. The block comes last: what it forbids was there before.
func (s *scene) stage(event string) any {
	defer s.block()
	switch schema.NamespaceOf(event) {
	case schema.Messaging:
		return s.stageTalk(event)
	case schema.Notifications:
		return s.stageNotification(event)
	case schema.Admin:
		return s.stageModeration(event)
	case schema.Connection:
		return s.stageConnection(event)
	}
	return s.stageSocial(event)
}

func (s *scene) block() {
	if s.relation == schema.AsBlocked {
		s.owner.do("user:block", schema.TargetAction{TargetID: s.sender.user, Action: "block"})
	}
}

// author is whose things the events are about.
func (s *scene) author() *peer {
	if s.relation == schema.AsAuthor {
		return s.sender
	}
	return s.owner
}

func (s *scene) stageSocial(event string) any {
	author := s.author()
	post := author.post("about " + event)
	switch event {
	case "post:create":
		return schema.PostCreate{Content: "mine"}
	case "post:update":
		return schema.PostUpdate{PostID: post, Content: "changed"}
	case "post:like":
		return schema.PostAction{PostID: post, Action: "like"}
	case "post:comment":
		return schema.PostComment{PostID: post, Content: "a word"}
	case "comment:update":
		return schema.CommentUpdate{PostID: post, CommentID: author.comment(post, "so"), Content: "changed"}
	case "comment:delete":
		return schema.CommentDelete{PostID: post, CommentID: author.comment(post, "so")}
	case "post:share":
		return schema.PostShare{PostID: post}
	case "user:typing":
		if s.relation != schema.AsSuspended {
			s.sender.do("post:join", schema.PostRef{PostID: post})
		}
		return schema.PostAction{PostID: post, Action: "start"}
	case "user:follow":
		return schema.UserFollow{FollowingID: author.user, Action: "follow"}
	case "user:friend-request":
		return schema.TargetAction{TargetID: author.user, Action: "send"}
	case "user:block":
		return schema.TargetAction{TargetID: author.user, Action: "block"}
	case "feed:get":
		return schema.Page{}
	case "comment:list":
		return schema.CommentList{PostID: post}
	case "user:get":
		return map[string]string{"userId": author.user}
	case "user:posts", "user:followers", "user:following":
		return schema.UserPage{UserID: author.user}
	case "presence:get":
		return schema.PresenceGet{UserIDs: []string{author.user}}
	}
	return schema.PostRef{PostID: post}
}

// talk opens a conversation in which the sender is what the relation says.
func (s *scene) talk() string {
	switch s.relation {
	case schema.AsAuthor:
		return s.sender.group("mine", s.witness.user)
	case schema.AsParticipant:
		return s.owner.group("ours", s.sender.user, s.witness.user)
	case schema.AsExParticipant:
		id := s.owner.group("ours", s.sender.user, s.witness.user)
		s.owner.removes(id, s.sender.user)
		return id
	case schema.AsBlocked:
		return s.owner.direct(s.sender.user)
	}
	return s.owner.group("theirs", s.witness.user)
}

func (s *scene) stageTalk(event string) any {
	if event == "conversation:create" {
		return schema.ConversationCreate{Type: "group", Participants: []string{s.author().user, s.witness.user}, Name: "new"}
	}
	if event == "conversation:update" && s.relation == schema.AsBlocked {
		group := s.sender.group("mine", s.witness.user)
		return schema.ConversationUpdate{ConversationID: group, Updates: schema.ConversationUpdates{AddParticipants: []string{s.owner.user}}}
	}
	id := s.talk()
	ref := schema.ConversationRef{ConversationID: id}
	switch event {
	case "conversation:update":
		return schema.ConversationUpdate{ConversationID: id, Updates: schema.ConversationUpdates{Name: "renamed"}}
	case "message:typing":
		return schema.ConversationAction{ConversationID: id, Action: "start"}
	case "message:send":
		return text(id, "hello")
	case "message:list":
		return schema.MessageList{ConversationID: id}
	case "conversation:list":
		return schema.Page{}
	case "message:delivered", "message:read":
		return schema.MessageRef{ConversationID: id, MessageID: s.author().say(id, "read me")}
	case "message:edit":
		return schema.MessageEdit{ConversationID: id, MessageID: s.writer().say(id, "as it was"), Content: "changed"}
	case "message:delete":
		return schema.MessageRef{ConversationID: id, MessageID: s.writer().say(id, "gone soon")}
	}
	return ref
}

// writer is whose message it is that is to be changed: the one who is blocked might
// change it otherwise.
func (s *scene) writer() *peer {
	if s.relation == schema.AsBlocked {
		return s.sender
	}
	return s.author()
}

// stageNotification makes a notification of the author.
func (s *scene) stageNotification(event string) any {
	switch event {
	case "notification:get-count":
		return schema.Empty{}
	case "notification:list":
		return schema.NotificationList{}
	}
	author := s.author()
	s.witness.comment(author.post("for a notification"), "well said")
	if event == "notification:read-all" && s.relation != schema.AsSuspended {
		s.witness.comment(s.sender.post("for mine"), "well said")
		return schema.NotificationReadAll{}
	}
	mine := as[schema.Items[schema.Notification]](s.t, author.do("notification:list", schema.NotificationList{}))
	return schema.NotificationRef{NotificationID: mine.Items[0].ID}
}

func (s *scene) stageConnection(event string) any {
	if event == "socket:refresh" {
		return schema.Refresh{Token: tokenFor(s.t, s.sender.user, s.role)}
	}
	return schema.Empty{}
}

func (s *scene) stageModeration(event string) any {
	post := schema.Target{Type: schema.TargetPost, ID: s.author().post("to be moderated")}
	suspend := schema.AdminSuspend{UserID: s.author().user + "-of-" + event[len("admin:"):], Reason: "a test"}
	if s.relation == schema.AsAuthor {
		suspend.UserID = s.sender.user
	}
	switch event {
	case "admin:report":
		id := s.talk()
		return schema.AdminReport{Target: schema.Target{Type: schema.TargetMessage, ID: s.author().say(id, "rude"), ConversationID: id}, Reason: "a test"}
	case "admin:resolve-report":
		report := as[schema.Reported](s.t, s.witness.do("admin:report", schema.AdminReport{Target: post, Reason: "a test"})).Report
		return schema.AdminResolveReport{ReportID: report.ID, Resolution: schema.ResolutionDismissed}
	case "admin:remove":
		return schema.AdminContent{Target: post, Reason: "a test"}
	case "admin:restore":
		s.moderator.do("admin:remove", schema.AdminContent{Target: post, Reason: "a test"})
		return schema.AdminContent{Target: post, Reason: "a test"}
	case "admin:suspend":
		return suspend
	case "admin:reinstate":
		if s.relation != schema.AsAuthor {
			s.moderator.do("admin:suspend", suspend)
		}
		return schema.AdminReinstate{UserID: suspend.UserID, Reason: "a test"}
	case "admin:announce":
		return schema.AdminAnnounce{Content: "hear, hear"}
	case "admin:reports":
		return schema.AdminReports{}
	case "admin:history":
		return schema.AdminHistory{}
	case "admin:tail":
		return schema.AdminTail{Stop: true}
	}
	return schema.Empty{}
}
