package main

import (
	"encoding/json"
	"math/rand/v2"

	"roomlog/schema"
)

// pageSize is how much an app shows at once.
const pageSize = 20

// choose returns what a user does next.
func (v *visitor) choose() request {
	switch k := rand.IntN(10); {
	case k < 7:
		return v.read()
	case k < 9:
		return v.message()
	default:
		return v.anythingElse()
	}
}

// take takes the first of what is left to do.
func take(left *[]request) request {
	r := (*left)[0]
	*left = (*left)[1:]
	return r
}

// read goes on with what is being looked at, or turns to something else.
func (v *visitor) read() request {
	if len(v.reading) == 0 {
		v.reading = v.look()
	}
	return take(&v.reading)
}

// look returns what an app asks for when a user turns to something.
func (v *visitor) look() []request {
	switch k := rand.IntN(100); {
	case k < 30:
		return []request{v.feed("")}
	case k < 40 && v.next != "":
		return []request{v.feed(v.next)}
	case k < 60:
		if id := v.somePost(); id != "" {
			return v.openPost(id)
		}
	case k < 70:
		return []request{v.talks(), {event: "notification:get-count"}}
	case k < 85:
		if t, ok := v.someTalk(); ok {
			return v.openTalk(t.id)
		}
	case k < 92:
		return []request{{event: "notification:list", data: schema.NotificationList{Page: schema.Page{Limit: pageSize}}}}
	default:
		return v.openProfile(v.somebody())
	}
	return []request{v.feed("")}
}

func (v *visitor) feed(before string) request {
	return request{
		event: "feed:get", data: schema.Page{Before: before, Limit: pageSize},
		then: func(f schema.Frame) {
			var page schema.Items[json.RawMessage]
			json.Unmarshal(f.Data, &page)
			v.next = page.Next
		},
	}
}

func (v *visitor) talks() request {
	return request{event: "conversation:list", data: schema.Page{Limit: pageSize}}
}

// openPost looks at a post, its comments and, of one in three, what happens to it from
// then on.
func (v *visitor) openPost(id string) []request {
	at := schema.PostRef{PostID: id}
	all := []request{
		{event: "post:get", data: at},
		{event: "comment:list", data: schema.CommentList{PostID: id, Page: schema.Page{Limit: pageSize}}},
	}
	if v.post == id || rand.IntN(3) > 0 {
		return all
	}
	if v.post != "" {
		all = append(all, request{event: "post:leave", data: schema.PostRef{PostID: v.post}})
	}
	v.post = ""
	return append(all, request{event: "post:join", data: at, then: func(schema.Frame) { v.post = id }})
}

func (v *visitor) openTalk(id string) []request {
	at := schema.ConversationRef{ConversationID: id}
	all := []request{{event: "message:list", data: schema.MessageList{ConversationID: id, Page: schema.Page{Limit: pageSize}}}}
	if v.room == id {
		return all
	}
	if v.room != "" {
		all = append(all, request{event: "message:leave", data: schema.ConversationRef{ConversationID: v.room}})
	}
	v.room = ""
	return append(all, request{event: "message:join", data: at, then: func(schema.Frame) { v.room = id }})
}

func (v *visitor) openProfile(user string) []request {
	page := schema.UserPage{UserID: user, Page: schema.Page{Limit: pageSize}}
	return []request{
		{event: "user:get", data: map[string]string{"userId": user}},
		{event: "presence:get", data: schema.PresenceGet{UserIDs: []string{user}}},
		{event: "user:posts", data: page},
		{event: [2]string{"user:followers", "user:following"}[rand.IntN(2)], data: page},
	}
}

// message returns what a user does in their conversations: what came is marked as
// delivered or read, and who sends types first.
func (v *visitor) message() request {
	if len(v.writing) > 0 {
		return take(&v.writing)
	}
	if ref, ok := v.newest(); ok && rand.IntN(2) == 0 {
		event := "message:delivered"
		if ref.ConversationID == v.room || rand.IntN(2) == 0 {
			event = "message:read"
		}
		return request{event: event, data: ref}
	}
	r := v.deed((*society).messaging)
	if send, ok := r.data.(schema.MessageSend); ok {
		v.writing = []request{r}
		typing := schema.ConversationAction{ConversationID: send.ConversationID, Action: schema.ActionStart}
		return request{event: "message:typing", data: typing}
	}
	return r
}

// newest takes one of the conversations in which others wrote.
func (v *visitor) newest() (ref schema.MessageRef, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, message := range v.unread {
		delete(v.unread, id)
		return schema.MessageRef{ConversationID: id, MessageID: message}, true
	}
	return ref, false
}

// deed returns what the society has the user do, and lets it know when that is done.
func (v *visitor) deed(of func(*society, int) deed) request {
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	d := of(v.load.people, v.user)
	return request{event: d.event, data: d.data, then: func(f schema.Frame) {
		id := madeIn(f)
		v.remember(d, id)
		v.load.mu.Lock()
		defer v.load.mu.Unlock()
		// Of two users there is one direct conversation, which each may try to begin.
		if d.made != nil && !(f.Duplicate && v.load.people.knows(v.user, id)) {
			d.made(id)
		}
	}}
}

// madeIn is the id of what an ack says was made, "" for nothing.
func madeIn(f schema.Frame) string {
	var of map[string]json.RawMessage
	json.Unmarshal(f.Data, &of)
	for _, name := range []string{"comment", "message", "conversation", "post"} {
		var it struct{ ID string }
		if json.Unmarshal(of[name], &it) == nil && it.ID != "" {
			return it.ID
		}
	}
	return ""
}

func (v *visitor) remember(d deed, id string) {
	switch data := d.data.(type) {
	case schema.PostCreate:
		v.own.post = id
	case schema.PostComment:
		v.own.comment, v.own.ofPost = id, data.PostID
	case schema.MessageSend:
		v.own.message, v.own.inTalk = id, data.ConversationID
	}
}

// gone takes note of what is not there any more.
func (v *visitor) gone(code schema.Code, data any) {
	if code != schema.ConversationNotFound {
		return
	}
	var at schema.ConversationRef
	text, err := json.Marshal(data)
	if err != nil || json.Unmarshal(text, &at) != nil {
		return
	}
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	v.load.people.leaves(v.user, at.ConversationID)
}

// anythingElse is mostly a like, a comment, a follow, a post or a share, and seldom a
// second thought.
func (v *visitor) anythingElse() request {
	if rand.IntN(6) == 0 {
		if r, ok := v.secondThought(rand.IntN(12)); ok {
			return r
		}
	}
	for {
		r := v.deed((*society).posting)
		if r.event != "comment:delete" { // of anybody's comment: here each deletes their own
			return r
		}
	}
}

// secondThought is what is done about what was made or was told of, if it was.
func (v *visitor) secondThought(k int) (r request, ok bool) {
	own := v.own
	text := v.words()
	switch k {
	case 0:
		return request{event: "post:update", data: schema.PostUpdate{PostID: own.post, Content: text}}, own.post != ""
	case 1:
		v.own.post = ""
		return request{event: "post:delete", data: schema.PostRef{PostID: own.post}}, own.post != ""
	case 2:
		return request{event: "comment:update", data: schema.CommentUpdate{PostID: own.ofPost, CommentID: own.comment, Content: text}}, own.comment != ""
	case 3:
		v.own.comment = ""
		return request{event: "comment:delete", data: schema.CommentDelete{PostID: own.ofPost, CommentID: own.comment}}, own.comment != ""
	case 4:
		v.own.message = ""
		return request{event: "message:delete", data: schema.MessageRef{ConversationID: own.inTalk, MessageID: own.message}}, own.message != ""
	case 5:
		id, ok := v.lately(&v.asked)
		action := [2]string{schema.ActionAccept, schema.ActionDecline}[rand.IntN(2)]
		return request{event: "user:friend-request", data: schema.TargetAction{TargetID: id, Action: action}}, ok
	case 6, 7:
		id, ok := v.lately(&v.notes)
		return request{event: [2]string{"notification:read", "notification:delete"}[k-6], data: schema.NotificationRef{NotificationID: id}}, ok
	case 8:
		return v.block(), true
	case 9:
		t, ok := v.someTalk()
		updates := schema.ConversationUpdates{Name: text}
		if rand.IntN(2) == 0 {
			updates = schema.ConversationUpdates{AddParticipants: []string{v.somebody()}}
		}
		return request{event: "conversation:update", data: schema.ConversationUpdate{ConversationID: t.id, Updates: updates}}, ok && t.group
	case 10:
		t, ok := v.someTalk()
		return request{
			event: "conversation:delete", data: schema.ConversationRef{ConversationID: t.id},
			then: func(schema.Frame) { v.gone(schema.ConversationNotFound, schema.ConversationRef{ConversationID: t.id}) },
		}, ok && !t.group && rand.IntN(10) == 0
	default:
		id := v.somePost()
		return request{event: "admin:report", data: schema.AdminReport{Target: schema.Target{Type: schema.TargetPost, ID: id}, Reason: text}}, id != ""
	}
}

// block blocks somebody, or lets them be again.
func (v *visitor) block() request {
	who, action := v.own.blocked, schema.ActionUnblock
	if who == "" {
		who, action = v.somebody(), schema.ActionBlock
	}
	return request{event: "user:block", data: schema.TargetAction{TargetID: who, Action: action}, then: func(schema.Frame) {
		v.own.blocked = ""
		if action == schema.ActionBlock {
			v.own.blocked = who
		}
	}}
}

// lately takes one of what pushes told.
func (v *visitor) lately(ids *[]string) (id string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(*ids) == 0 {
		return "", false
	}
	last := len(*ids) - 1
	id, *ids = (*ids)[last], (*ids)[:last]
	return id, true
}

func (v *visitor) words() string {
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	return v.load.people.words(8)
}

// somebody is another user.
func (v *visitor) somebody() string {
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	return userName(v.load.people.another(v.user))
}

func (v *visitor) someTalk() (dialogue, bool) {
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	return v.load.people.talk(v.user)
}

func (v *visitor) somePost() string {
	v.load.mu.Lock()
	defer v.load.mu.Unlock()
	p, _ := v.load.people.posts.pick(v.load.people.rng)
	return p.id
}
