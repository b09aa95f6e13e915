package realtime_test

import (
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

// bothWays runs a test with the block of either of two.
func bothWays(t *testing.T, test func(s *pair)) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = 20 * time.Millisecond })
	t.Run("who acts blocks", func(t *testing.T) { test(newPair(t, g, "a", true)) })
	t.Run("who is not to notice blocks", func(t *testing.T) { test(newPair(t, g, "b", false)) })
}

// A post's room is open to all, but of two of whom one blocks the other neither
// notices the other typing there. Groups are told, by a typist of what is said to all.
func TestTypingAcrossABlock(t *testing.T) {
	bothWays(t, func(s *pair) {
		types := func(p *peer, action string) {
			p.do("user:typing", schema.PostAction{PostID: s.hers, Action: action})
		}
		typist := func() string {
			for {
				if f := s.other.until("user:typing"); f[len(f)-1].Room == schema.PostRoom(s.hers) {
					return as[schema.UserTyping](s, f[len(f)-1]).UserID
				}
			}
		}
		s.apart()
		types(s.me, "start")
		types(s.carol, "start")
		if got := typist(); got != s.carol.user {
			s.Errorf("%s types across the block", got)
		}
		s.me.do("message:join", schema.ConversationRef{ConversationID: s.group})
		s.me.do("message:typing", schema.ConversationAction{ConversationID: s.group, Action: "start"})
		s.other.until("message:typing")
		s.together()
		types(s.me, "stop")
		if got := typist(); got != s.me.user {
			s.Errorf("%s types, want %s", got, s.me.user)
		}
	})
}

// Across a block nobody is told that the other comes or goes, whatever group both
// are in.
func TestPresenceAcrossABlock(t *testing.T) {
	bothWays(t, func(s *pair) {
		next := func(event string) string {
			f := s.other.until(event)
			return as[schema.UserPresence](s, f[len(f)-1]).UserID
		}
		goes := func(p *peer) {
			p.Close()
			witness := s.g.connect(s, s.carol.user+"-witness")
			eventually(s.T, p.user+" is gone", func() bool { return !online(s, witness, p.user).Online })
			witness.Close()
		}
		s.apart()
		goes(s.me)
		goes(s.carol)
		if got := next("user:offline"); got != s.carol.user {
			s.Errorf("%s is told to go across the block", got)
		}
		me := s.g.connect(s, s.me.user)
		carol := s.g.connect(s, s.carol.user)
		if got := next("user:online"); got != carol.user {
			s.Errorf("%s is told to come across the block", got)
		}
		if s.blocker.user == s.me.user {
			s.blocker = me // her first socket is closed
		}
		s.together()
		me.Close()
		if got := next("user:offline"); got != s.me.user {
			s.Errorf("%s goes, want %s", got, s.me.user)
		}
	})
}

// What people were to each other ends with a block, and does not come back with its
// end; what they can read of each other does.
func TestABlockEndsFollowsAndRequests(t *testing.T) {
	bothWays(t, func(s *pair) {
		ask := schema.TargetAction{TargetID: s.other.user, Action: "send"}
		answer := func(action string) schema.TargetAction {
			return schema.TargetAction{TargetID: s.me.user, Action: action}
		}
		profile := func() schema.Profile {
			return as[schema.Profile](s, s.other.do("user:get", map[string]string{"userId": s.me.user}))
		}
		s.me.follow(s.other.user)
		s.other.follow(s.me.user)
		s.me.do("user:friend-request", ask)
		s.apart()
		if p := profile(); p.Following || p.FollowsYou || p.FollowersCount+p.FollowingCount > 0 || p.Blocked != (s.blocker == s.other) {
			s.Errorf("across the block: %+v", p)
		}
		s.other.refused(schema.Blocked, "user:friend-request", answer("accept"))
		s.other.refused(schema.RequestNotFound, "user:friend-request", answer("decline"))
		s.together()
		s.other.refused(schema.RequestNotFound, "user:friend-request", answer("accept"))
		s.me.do("user:friend-request", ask)
		s.other.do("user:friend-request", answer("accept"))
		if p := profile(); p.Following || p.FollowsYou || !p.Friend || p.Blocked {
			s.Errorf("after the block: %+v", p)
		}
		s.apart()
		if profile().Friend {
			s.Error("friends across the block")
		}
	})
}

// Who comes back across a block is not told what it has ended: that the other followed
// them, or asked to be a friend.
func TestWhatABlockEndedIsNotToldAgain(t *testing.T) {
	bothWays(t, func(s *pair) {
		left := s.g.log.Durable()
		s.carol.follow(s.other.user)
		s.me.follow(s.other.user)
		s.me.do("user:friend-request", schema.TargetAction{TargetID: s.other.user, Action: "send"})
		s.apart()
		back := s.g.comesBack(s, s.other.user, left)
		var events []string
		for _, f := range back.until("socket:resumed") {
			if f.Seq != 0 && f.Event != "user:block" {
				events = append(events, f.Event+" "+string(f.Data))
			}
		}
		if len(events) != 1 || !strings.Contains(events[0], s.carol.user) {
			s.Errorf("told of what is no more: %v", events)
		}
	})
}

// A block takes back what was not read of the other, but for a group's messages; what
// was read stays. The other notices nothing.
func TestNotificationsOfBeforeTheBlock(t *testing.T) {
	bothWays(t, func(s *pair) {
		s.me.do("post:like", schema.PostAction{PostID: s.theirs, Action: "like"})
		listed := func() (all []string) {
			for _, n := range as[schema.Items[schema.Notification]](s, s.other.do("notification:list", schema.NotificationList{})).Items {
				if n.Sender.ID == s.me.user {
					all = append(all, n.Type)
				}
			}
			return all
		}
		items := as[schema.Items[schema.Notification]](s, s.other.do("notification:list", schema.NotificationList{})).Items
		s.other.do("notification:read", schema.NotificationRef{NotificationID: items[0].ID})
		s.me.comment(s.theirs, "@"+s.other.user)
		s.me.say(s.group, "to all")
		if got := strings.Join(listed(), " "); got != "message mention comment like" && got != "message comment mention like" {
			s.Fatalf("before the block: %s", got)
		}
		s.other.hasUnread(3)
		s.apart()
		s.other.hasUnread(1)
		if got := strings.Join(listed(), " "); got != "message like" {
			s.Errorf("across the block: %s", got)
		}
		s.news()
		s.me.say(s.group, "@"+s.other.user) // groups are heard, but notify of nothing
		if pushes, notes := s.news(); len(pushes) != 1 || pushes[0].Event != "message:send" || len(notes) > 0 {
			s.Errorf("of a group's message: %v %v", told(pushes), told(notes))
		}
		s.together()
		s.other.hasUnread(1)
		s.me.say(s.group, "@"+s.other.user)
		s.other.hasUnread(2)
	})
}

// What one asks for by its id is answered, and what vanishes is told to everybody.
func TestWhatABlockLeavesOpen(t *testing.T) {
	bothWays(t, func(s *pair) {
		s.talk()
		s.apart()
		for event, data := range map[string]any{
			"post:get": schema.PostRef{PostID: s.mine}, "post:join": schema.PostRef{PostID: s.mine},
			"user:get": map[string]string{"userId": s.me.user}, "conversation:get": schema.ConversationRef{ConversationID: s.direct},
		} {
			s.other.do(event, data)
		}
		s.other.sees(s.direct, "spoken", "answer")
		s.other.do("message:read", schema.MessageRef{ConversationID: s.direct, MessageID: s.answer})
		if n := s.other.unread(s.direct); n != 0 {
			s.Errorf("%d messages cannot be read", n)
		}
		s.news()
		s.me.do("comment:delete", schema.CommentDelete{PostID: s.hers, CommentID: s.mySaid})
		s.me.do("message:delete", schema.MessageRef{ConversationID: s.direct, MessageID: s.answer})
		s.me.do("post:update", schema.PostUpdate{PostID: s.mine, Content: "other words"})
		s.me.do("post:delete", schema.PostRef{PostID: s.mine})
		s.other.until("comment:delete")
		s.other.until("message:delete")
		s.other.until("post:update")
		s.other.until("post:delete")
	})
}
