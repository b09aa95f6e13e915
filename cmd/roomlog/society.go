package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// society makes up the facts of a social network, one at a time and always the same
// for a seed: who does something, whom they follow and what they look at follow
// Zipf's law, and most of it is about what is recent. Of a hundred facts some 30 are
// likes, 25 messages, 12 receipts, 10 comments, 8 posts, 7 follows, and the rest is
// all that is rarer; a few are void, as they are in life. Every fact has a key, as
// those of a client that reconnects by itself have.
type society struct {
	rng   *rand.Rand
	zipf  *rand.Zipf // a user by how much they do
	users int
	clock time.Time
	step  time.Duration // from one fact to the next
	made  int

	posts    recent[post]
	comments recent[comment]
	talks    []dialogue
	own      map[int][]int // user → their conversations
}

type post struct{ id string }

type comment struct {
	id, post string
	author   int
}

type dialogue struct {
	id      string
	members []int
	last    string // its newest message, "" for none
	sender  int
}

// recent is the newest things of a kind.
type recent[T any] struct {
	all  []T
	next int
}

const maxRecent = 50_000

func (r *recent[T]) add(v T) {
	if len(r.all) < maxRecent {
		r.all = append(r.all, v)
		return
	}
	r.all[r.next%maxRecent] = v
	r.next++
}

// pick returns one of the things, mostly one of the newest.
func (r *recent[T]) pick(rng *rand.Rand) (v T, ok bool) {
	n := len(r.all)
	if n == 0 {
		return v, false
	}
	back := int(rng.ExpFloat64() * 400)
	if rng.IntN(10) == 0 {
		back = rng.IntN(n)
	}
	return r.all[(r.next+n-1-back%n+n)%n], true
}

// newSociety makes one of so many users whose facts end at the time given.
func newSociety(seed uint64, users, facts int, end time.Time) *society {
	rng := rand.New(rand.NewPCG(seed, 1))
	// A hundred days, but no more than ten facts a millisecond.
	step := max(100*24*time.Hour/time.Duration(facts), 100*time.Microsecond)
	return &society{
		rng: rng, zipf: rand.NewZipf(rng, 1.1, 50, uint64(users-1)), users: users,
		clock: end.Add(-step * time.Duration(facts)), step: step, own: map[int][]int{},
	}
}

func (s *society) someone() int { return int(s.zipf.Uint64()) }

// another returns someone other than a user, of few users mostly one close by.
func (s *society) another(than int) int {
	for {
		if u := s.someone(); u != than {
			return u
		}
		than = (than + 1) % s.users
	}
}

func userName(u int) string { return "user" + strconv.Itoa(u) }

// words returns so many words, more or less, sometimes with a mention or a hashtag.
func (s *society) words(n int) string {
	var b strings.Builder
	for i := range max(1, n/2+s.rng.IntN(n)) {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch s.rng.IntN(60) {
		case 0:
			b.WriteByte('@')
			b.WriteString(userName(s.someone()))
		case 1:
			b.WriteByte('#')
			fallthrough
		default:
			b.WriteString(vocabulary[s.rng.IntN(len(vocabulary))])
		}
	}
	return b.String()
}

var vocabulary = strings.Fields("to be or not that is the question whether tis nobler in mind suffer slings and arrows of outrageous fortune take arms against a sea troubles by opposing end them die sleep no more")

// next makes the next fact.
func (s *society) next() (eventlog.Record, error) {
	s.made++
	s.clock = s.clock.Add(s.step)
	user := s.someone()
	r := eventlog.Record{
		ID: eventlog.NewID(s.clock), Time: schema.TimeOf(s.clock),
		Actor: schema.Actor{ID: userName(user), Username: userName(user)},
		Key:   "k" + strconv.Itoa(s.made),
	}
	var data any
	r.Event, r.Entity, data = s.fact(user, r.ID)
	var err error
	if r.Data, err = json.Marshal(data); err != nil {
		return r, fmt.Errorf("making up a fact: %w", err)
	}
	return r, nil
}

// fact returns what a user does: the event, what it is about and its data.
func (s *society) fact(user int, id string) (event, entity string, data any) {
	switch k := s.rng.IntN(100); {
	case k < 30:
		if p, ok := s.posts.pick(s.rng); ok {
			action := schema.ActionLike
			if s.rng.IntN(15) == 0 {
				action = schema.ActionUnlike
			}
			return "post:like", "post:" + p.id, schema.PostAction{PostID: p.id, Action: action}
		}
	case k < 67:
		return s.messaging(user, id)
	case k < 77:
		if p, ok := s.posts.pick(s.rng); ok {
			s.comments.add(comment{id, p.id, user})
			return "post:comment", "post:" + p.id, schema.PostComment{PostID: p.id, Content: s.words(14)}
		}
	case k < 84:
		action := schema.ActionFollow
		if s.rng.IntN(12) == 0 {
			action = schema.ActionUnfollow
		}
		other := userName(s.another(user))
		return "user:follow", "user:" + other, schema.UserFollow{FollowingID: other, Action: action}
	case k < 86:
		if p, ok := s.posts.pick(s.rng); ok {
			return "post:share", "post:" + p.id, schema.PostShare{PostID: p.id, Content: s.words(6)}
		}
	case k < 87:
		other := userName(s.another(user))
		return "user:friend-request", "user:" + other, schema.TargetAction{TargetID: other, Action: schema.ActionSend}
	case k < 89:
		return "notification:read-all", "user:" + userName(user), schema.NotificationReadAll{}
	case k < 90:
		if c, ok := s.comments.pick(s.rng); ok {
			return "comment:delete", "comment:" + c.id, schema.CommentDelete{PostID: c.post, CommentID: c.id}
		}
	}
	s.posts.add(post{id})
	text := s.words(24)
	return "post:create", "post:" + id, schema.PostCreate{Content: text, Hashtags: schema.Hashtags(text)}
}

// messaging returns what a user does in one of their conversations, mostly one of the
// last they came into, or a new one.
func (s *society) messaging(user int, id string) (event, entity string, data any) {
	own := s.own[user]
	if len(own) == 0 || s.rng.IntN(40) == 0 {
		return s.beginTalk(user, id)
	}
	i := own[len(own)-1-int(s.rng.ExpFloat64()*5)%len(own)]
	t := &s.talks[i]
	entity = "conversation:" + t.id
	if s.rng.IntN(3) == 0 && t.last != "" && t.sender != user {
		return "message:read", entity, schema.MessageRef{ConversationID: t.id, MessageID: t.last}
	}
	if s.rng.IntN(50) == 0 && t.last != "" && t.sender == user {
		return "message:edit", entity, schema.MessageEdit{ConversationID: t.id, MessageID: t.last, Content: s.words(10)}
	}
	t.last, t.sender = id, user
	return "message:send", entity, schema.MessageSend{ConversationID: t.id, Content: s.words(10), MessageType: "text"}
}

func (s *society) beginTalk(user int, id string) (event, entity string, data any) {
	create := schema.ConversationCreate{Type: schema.ConversationDirect}
	members := []int{user}
	others := 1
	if s.rng.IntN(3) == 0 {
		create.Type, create.Name, others = schema.ConversationGroup, s.words(3), 2+s.rng.IntN(12)
	}
	seen := map[int]bool{user: true}
	for range others {
		if u := s.another(user); !seen[u] {
			seen[u] = true
			members = append(members, u)
			create.Participants = append(create.Participants, userName(u))
		}
	}
	s.talks = append(s.talks, dialogue{id: id, members: members})
	for _, u := range members {
		s.own[u] = append(s.own[u], len(s.talks)-1)
	}
	return "conversation:create", "conversation:" + id, create
}
