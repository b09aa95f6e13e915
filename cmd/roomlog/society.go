package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
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
	group   bool
	last    string // its newest message, "" for none
	sender  int
}

// deed is what a user does.
type deed struct {
	event, entity string
	data          any
	made          func(id string) // lets the society know what was made, under its id; nil: nothing was
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
		rng: rng, zipf: rand.NewZipf(rng, 1.1, 50, uint64(users-1)),
		clock: end.Add(-step * time.Duration(facts)), step: step, own: map[int][]int{},
	}
}

func (s *society) someone() int { return int(s.zipf.Uint64()) }

// another returns someone other than a user.
func (s *society) another(than int) int {
	for {
		if u := s.someone(); u != than {
			return u
		}
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
	d := s.deed(user)
	if d.made != nil {
		d.made(r.ID)
	}
	r.Event, r.Entity = d.event, d.entity
	if strings.HasSuffix(r.Entity, ":") {
		r.Entity += r.ID
	}
	var err error
	if r.Data, err = json.Marshal(d.data); err != nil {
		return r, fmt.Errorf("making up a fact: %w", err)
	}
	return r, nil
}

// deed returns what a user does. The entity of what is about to be made ends with a
// colon, after which its id comes.
func (s *society) deed(user int) deed {
	switch k := s.rng.IntN(100); {
	case k < 30:
		return s.like()
	case k < 67:
		return s.messaging(user)
	default:
		return s.rest(user, k-67)
	}
}

// posting is a deed that is no messaging, in the shares that these have of all deeds.
func (s *society) posting(user int) deed {
	if k := s.rng.IntN(63) - 30; k >= 0 {
		return s.rest(user, k)
	}
	return s.like()
}

func (s *society) like() deed {
	p, ok := s.posts.pick(s.rng)
	if !ok {
		return s.post()
	}
	action := schema.ActionLike
	if s.rng.IntN(15) == 0 {
		action = schema.ActionUnlike
	}
	return deed{event: "post:like", entity: "post:" + p.id, data: schema.PostAction{PostID: p.id, Action: action}}
}

// rest is one of the deeds that are no likes and no messaging, by a number below 33.
func (s *society) rest(user, k int) deed {
	switch {
	case k < 10:
		if p, ok := s.posts.pick(s.rng); ok {
			return deed{
				event: "post:comment", entity: "post:" + p.id, data: schema.PostComment{PostID: p.id, Content: s.words(14)},
				made: func(id string) { s.comments.add(comment{id, p.id, user}) },
			}
		}
	case k < 17:
		action := schema.ActionFollow
		if s.rng.IntN(12) == 0 {
			action = schema.ActionUnfollow
		}
		other := userName(s.another(user))
		return deed{event: "user:follow", entity: "user:" + other, data: schema.UserFollow{FollowingID: other, Action: action}}
	case k < 19:
		if p, ok := s.posts.pick(s.rng); ok {
			return deed{event: "post:share", entity: "post:" + p.id, data: schema.PostShare{PostID: p.id, Content: s.words(6)}}
		}
	case k < 20:
		other := userName(s.another(user))
		return deed{event: "user:friend-request", entity: "user:" + other, data: schema.TargetAction{TargetID: other, Action: schema.ActionSend}}
	case k < 22:
		return deed{event: "notification:read-all", entity: "user:" + userName(user), data: schema.NotificationReadAll{}}
	case k < 23:
		if c, ok := s.comments.pick(s.rng); ok {
			return deed{event: "comment:delete", entity: "comment:" + c.id, data: schema.CommentDelete{PostID: c.post, CommentID: c.id}}
		}
	}
	return s.post()
}

func (s *society) post() deed {
	text := s.words(24)
	return deed{
		event: "post:create", entity: "post:", data: schema.PostCreate{Content: text, Hashtags: schema.Hashtags(text)},
		made: func(id string) { s.posts.add(post{id}) },
	}
}

// messaging returns what a user does in one of their conversations, mostly one of the
// last they came into, or a new one.
func (s *society) messaging(user int) deed {
	own := s.own[user]
	if len(own) == 0 || s.rng.IntN(40) == 0 {
		return s.beginTalk(user)
	}
	i := own[len(own)-1-int(s.rng.ExpFloat64()*5)%len(own)]
	t := s.talks[i]
	entity := "conversation:" + t.id
	if s.rng.IntN(3) == 0 && t.last != "" && t.sender != user {
		return deed{event: "message:read", entity: entity, data: schema.MessageRef{ConversationID: t.id, MessageID: t.last}}
	}
	if s.rng.IntN(50) == 0 && t.last != "" && t.sender == user {
		return deed{event: "message:edit", entity: entity, data: schema.MessageEdit{ConversationID: t.id, MessageID: t.last, Content: s.words(10)}}
	}
	return deed{
		event: "message:send", entity: entity, data: schema.MessageSend{ConversationID: t.id, Content: s.words(10), MessageType: schema.MessageText},
		made: func(id string) { s.talks[i].last, s.talks[i].sender = id, user },
	}
}

func (s *society) beginTalk(user int) deed {
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
	return deed{event: "conversation:create", entity: "conversation:", data: create, made: func(id string) {
		s.talks = append(s.talks, dialogue{id: id, members: members, group: create.Type == schema.ConversationGroup})
		for _, u := range members {
			s.own[u] = append(s.own[u], len(s.talks)-1)
		}
	}}
}

// knows reports whether a user has come into a conversation.
func (s *society) knows(user int, id string) bool {
	return slices.ContainsFunc(s.own[user], func(i int) bool { return s.talks[i].id == id })
}

// leaves makes a user forget a conversation that they are not in any more.
func (s *society) leaves(user int, id string) {
	s.own[user] = slices.DeleteFunc(s.own[user], func(i int) bool { return s.talks[i].id == id })
}

// talk returns one of a user's conversations.
func (s *society) talk(user int) (d dialogue, ok bool) {
	own := s.own[user]
	if len(own) == 0 {
		return d, false
	}
	return s.talks[own[s.rng.IntN(len(own))]], true
}
