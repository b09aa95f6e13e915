package realtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

// pair is two users of whom one will block the other, and carol, whom both know. All
// three are in the rooms of posts of each, and in a group.
type pair struct {
	*testing.T
	g              *gateway
	me, other      *peer // who acts, and who is not to notice
	carol          *peer
	blocker        *peer // one of the two
	blocked        *peer
	mine, theirs   string // posts of the two
	hers, hersToo  string // posts of carol
	group          string
	rooms          []string
	said, mySaid   string // comments on hers, of other and of me
	direct         string // the conversation of the two
	spoken, answer string // what other said there, and I
}

func newPair(t *testing.T, g *gateway, name string, actorBlocks bool) *pair {
	s := &pair{T: t, g: g, me: g.connect(t, name+"-me"), other: g.connect(t, name+"-other"), carol: g.connect(t, name+"-carol")}
	if s.blocker, s.blocked = s.me, s.other; !actorBlocks {
		s.blocker, s.blocked = s.other, s.me
	}
	s.mine, s.theirs, s.hers, s.hersToo = s.me.post("mine"), s.other.post("theirs"), s.carol.post("hers"), s.carol.post("hers, too")
	s.said, s.mySaid = s.other.comment(s.hers, "said"), s.me.comment(s.hers, "said by me")
	s.group = s.carol.group("All three", s.me.user, s.other.user)
	s.rooms = []string{schema.ConversationRoom(s.group)}
	for _, post := range []string{s.mine, s.theirs, s.hers, s.hersToo} {
		s.rooms = append(s.rooms, schema.PostRoom(post))
		for _, p := range []*peer{s.me, s.other, s.carol} {
			p.do("post:join", schema.PostRef{PostID: post})
		}
	}
	s.other.comesIn(s.group)
	return s
}

// talk opens the direct conversation of the two.
func (s *pair) talk() {
	s.direct = s.other.direct(s.me.user)
	s.spoken, s.answer = s.other.say(s.direct, "spoken"), s.me.say(s.direct, "answer")
	s.rooms = append(s.rooms, schema.ConversationRoom(s.direct))
	s.other.comesIn(s.direct)
}

func (s *pair) apart() {
	s.blocker.do("user:block", schema.TargetAction{TargetID: s.blocked.user, Action: "block"})
}

func (s *pair) together() {
	s.blocker.do("user:block", schema.TargetAction{TargetID: s.blocked.user, Action: "unblock"})
}

// news returns the facts that other was pushed since it was asked last, and the
// notifications.
func (s *pair) news() (pushes []schema.Frame, notes []schema.Frame) {
	s.other.bar()
	for len(s.other.pushes) > 0 {
		if f := <-s.other.pushes; f.Seq != 0 {
			pushes = append(pushes, f)
		}
	}
	for len(s.other.notes) > 0 {
		notes = append(notes, <-s.other.notes)
	}
	return pushes, notes
}

// line is one thing that a block keeps from happening, or does not.
type line func(s *pair)

// refused: me may not send it across the block, other hears nothing of the try, and it
// is possible again without the block. Before is done before the block.
func refused(event string, data func(s *pair) any, before ...func(*pair)) line {
	return func(s *pair) {
		for _, do := range before {
			do(s)
		}
		s.apart()
		s.news()
		s.me.refused(schema.Blocked, event, data(s))
		if pushes, notes := s.news(); len(pushes)+len(notes) > 0 {
			s.Errorf("heard of what was refused: %v %v", told(pushes), told(notes))
		}
		s.together()
		s.me.do(event, data(s))
	}
}

// unheard: me may do it, and other hears nothing of it across the block, live or
// coming back; without the block other hears the event. The act is done twice.
func unheard(event string, act func(s *pair, again bool), before ...func(*pair)) line {
	return func(s *pair) {
		for _, do := range before {
			do(s)
		}
		s.apart()
		s.news()
		heard := s.pushedOf(func() { act(s, false) })
		if !slices.Equal(heard, []string{"post:comment", "notification:new"}) {
			s.Errorf("heard across the block: %v", heard)
		}
		s.together()
		if heard = s.pushedOf(func() { act(s, true) }); len(heard) < 3 || !slices.Contains(heard, event) {
			s.Errorf("heard without the block: %v, want %s, too", heard, event)
		}
	}
}

// pushedOf returns the events that other hears of an act, and of a comment of carol's,
// which is heard in any case. Coming back must tell the same.
func (s *pair) pushedOf(act func()) (events []string) {
	s.news()
	before := s.g.log.Durable()
	act()
	word := s.carol.do("post:comment", schema.PostComment{PostID: s.theirs, Content: "a word"}).Seq
	pushes, notes := s.news()
	back := s.g.comesBack(s, s.other.user, before, s.rooms...)
	sameAs(s, slices.DeleteFunc(back.until("socket:resumed"), s.othersOwn), pushes)
	back.Close()
	carols := 0
	for _, f := range pushes {
		if events = append(events, f.Event); f.Seq == word {
			carols++
		}
	}
	for _, f := range notes {
		if f.Event != "notification:new" {
			continue
		}
		if events = append(events, f.Event); as[schema.NotificationNew](s, f).Notification.Sender.ID == s.carol.user {
			carols++
		}
	}
	if carols != 2 {
		s.Fatalf("carol's word, and the notification of it, were not heard: %v", events)
	}
	return events
}

// othersOwn reports whether a push is of what other did, or of no record.
func (s *pair) othersOwn(f schema.Frame) bool {
	if f.Seq == 0 {
		return true
	}
	r, err := s.g.log.Get(s.Context(), f.Seq)
	if err != nil {
		s.Fatal(err)
	}
	return r.Actor.ID == s.other.user
}

// hidden: other sees something of me in the answer of a query, but not across the block.
func hidden(sees func(s *pair) bool, before ...func(*pair)) line {
	return func(s *pair) {
		for _, do := range before {
			do(s)
		}
		look := func(when string, want bool) {
			s.Helper()
			if sees(s) != want {
				s.Errorf("%s: seen %v", when, !want)
			}
		}
		look("before", true)
		s.apart()
		look("across the block", false)
		s.together()
		look("after", true)
	}
}

func shows(p *peer, event string, data any, what string) bool {
	return strings.Contains(string(p.do(event, data).Data), what)
}

var blocking = map[string]line{
	"message in the direct conversation": refused("message:send", func(s *pair) any { return text(s.direct, "words") }, (*pair).talk),
	"editing what was said there": refused("message:edit", func(s *pair) any {
		return schema.MessageEdit{ConversationID: s.direct, MessageID: s.answer, Content: "words"}
	}, (*pair).talk),
	"typing there": refused("message:typing", func(s *pair) any {
		return schema.ConversationAction{ConversationID: s.direct, Action: "start"}
	}, (*pair).talk),
	"asking for the direct conversation again": refused("conversation:create", func(s *pair) any { return directWith(s.other.user) }, (*pair).talk),
	"a new direct conversation":                refused("conversation:create", func(s *pair) any { return directWith(s.other.user) }),
	"a new group": refused("conversation:create", func(s *pair) any {
		return schema.ConversationCreate{Type: "group", Name: "New", Participants: []string{s.carol.user, s.other.user}}
	}),
	"adding to a group": func(s *pair) {
		s.group = s.me.group("Without", s.carol.user)
		refused("conversation:update", func(s *pair) any {
			return schema.ConversationUpdate{ConversationID: s.group, Updates: schema.ConversationUpdates{AddParticipants: []string{s.other.user}}}
		})(s)
	},
	"follow": refused("user:follow", func(s *pair) any { return schema.UserFollow{FollowingID: s.other.user, Action: "follow"} }),
	"friend request": refused("user:friend-request", func(s *pair) any {
		return schema.TargetAction{TargetID: s.other.user, Action: "send"}
	}),
	"like":    refused("post:like", func(s *pair) any { return schema.PostAction{PostID: s.theirs, Action: "like"} }),
	"share":   refused("post:share", func(s *pair) any { return schema.PostShare{PostID: s.theirs} }),
	"comment": refused("post:comment", func(s *pair) any { return schema.PostComment{PostID: s.theirs, Content: "words"} }),
	"answer to a comment elsewhere": refused("post:comment", func(s *pair) any {
		return schema.PostComment{PostID: s.hers, ParentID: s.said, Content: "words"}
	}),

	"like elsewhere":         unheard("post:like", like((*pair).ofCarol, "like", "unlike")),
	"unlike elsewhere":       unheard("post:like", like((*pair).ofCarol, "unlike", "like"), likes((*pair).ofCarol)),
	"unlike of their post":   unheard("post:like", like((*pair).ofOther, "unlike", "like"), likes((*pair).ofOther)),
	"comment elsewhere":      unheard("post:comment", func(s *pair, _ bool) { s.me.comment(s.hers, "words") }),
	"comment with a mention": unheard("notification:new", func(s *pair, _ bool) { s.me.comment(s.hers, "@"+s.other.user) }),
	"comment on my own post": unheard("post:comment", func(s *pair, _ bool) { s.me.comment(s.mine, "words") }),
	"edited comment": unheard("comment:update", func(s *pair, _ bool) {
		s.me.do("comment:update", schema.CommentUpdate{PostID: s.hers, CommentID: s.mySaid, Content: "other words"})
	}),
	"share elsewhere": unheard("post:share", func(s *pair, again bool) {
		s.me.do("post:share", schema.PostShare{PostID: map[bool]string{false: s.hers, true: s.hersToo}[again]})
	}),
	"post with a mention": unheard("notification:new", func(s *pair, _ bool) { s.me.post("@" + s.other.user) }),
	"post for followers": unheard("post:create", func(s *pair, again bool) {
		if again {
			s.other.follow(s.me.user) // a block ends that for good
		}
		s.me.post("words")
	}, func(s *pair) { s.other.follow(s.me.user) }),
	"receipt in the direct conversation": unheard("message:read", func(s *pair, again bool) {
		if again {
			s.spoken = s.other.say(s.direct, "once more")
		}
		s.me.do("message:read", schema.MessageRef{ConversationID: s.direct, MessageID: s.spoken})
	}, (*pair).talk),
	"delivery there": unheard("message:delivered", func(s *pair, again bool) {
		if again {
			s.spoken = s.other.say(s.direct, "once more")
		}
		s.me.do("message:delivered", schema.MessageRef{ConversationID: s.direct, MessageID: s.spoken})
	}, (*pair).talk),

	"comment:list": hidden(func(s *pair) bool {
		return shows(s.other, "comment:list", schema.CommentList{PostID: s.hers}, s.me.user)
	}),
	"user:followers of a third": hidden(func(s *pair) bool {
		return shows(s.other, "user:followers", schema.UserPage{UserID: s.carol.user}, s.me.user)
	}, func(s *pair) { s.me.follow(s.carol.user) }),
	"user:following of a third": hidden(func(s *pair) bool {
		return shows(s.other, "user:following", schema.UserPage{UserID: s.carol.user}, s.me.user)
	}, func(s *pair) { s.carol.follow(s.me.user) }),
	"user:followers": hidden(func(s *pair) bool {
		return shows(s.other, "user:followers", schema.UserPage{UserID: s.me.user}, s.carol.user)
	}, func(s *pair) { s.carol.follow(s.me.user) }),
	"user:following": hidden(func(s *pair) bool {
		return shows(s.other, "user:following", schema.UserPage{UserID: s.me.user}, s.carol.user)
	}, func(s *pair) { s.me.follow(s.carol.user) }),
	"user:posts": hidden(func(s *pair) bool {
		return shows(s.other, "user:posts", schema.UserPage{UserID: s.me.user}, s.mine)
	}),
	"shared into the feed": hidden(func(s *pair) bool { return shows(s.other, "feed:get", schema.Page{}, s.mine) }, func(s *pair) {
		s.other.follow(s.carol.user)
		s.carol.do("post:share", schema.PostShare{PostID: s.mine})
	}),
	"last seen": hidden(func(s *pair) bool {
		return as[schema.Profile](s, s.other.do("user:get", map[string]string{"userId": s.me.user})).LastSeen != 0
	}),
	"presence:get": hidden(func(s *pair) bool {
		p := as[schema.Items[schema.Presence]](s, s.other.do("presence:get", schema.PresenceGet{UserIDs: []string{s.me.user}})).Items[0]
		return p.Online && p.LastSeen != nil
	}),
	"who read what was said": hidden(func(s *pair) bool {
		return strings.Contains(s.other.readers(s.direct)[0], s.me.user)
	}, (*pair).talk, func(s *pair) {
		s.me.do("message:read", schema.MessageRef{ConversationID: s.direct, MessageID: s.spoken})
	}),
}

func (s *pair) ofCarol() string { return s.hers }
func (s *pair) ofOther() string { return s.theirs }

func likes(post func(*pair) string) func(*pair) {
	return func(s *pair) { s.me.do("post:like", schema.PostAction{PostID: post(s), Action: "like"}) }
}

func like(post func(*pair) string, first, then string) func(*pair, bool) {
	return func(s *pair, again bool) {
		action := first
		if again {
			action = then
		}
		s.me.do("post:like", schema.PostAction{PostID: post(s), Action: action})
	}
}

// TestBlocking goes through everything that there could be between two users of whom
// one blocks the other, in both directions and over real sockets.
func TestBlocking(t *testing.T) {
	g := openGateway(t, func(c *realtime.Config) { c.PresenceGrace = time.Hour })
	pairs := 0
	for name, line := range blocking {
		for who, actorBlocks := range map[string]bool{"who acts blocks": true, "who is not to notice blocks": false} {
			pairs++
			t.Run(name+"/"+who, func(t *testing.T) { line(newPair(t, g, fmt.Sprint(pairs), actorBlocks)) })
		}
	}
}
