package realtime_test

import (
	"encoding/json"

	"roomlog/eventlog"
	"roomlog/schema"
)

type modelPost struct {
	author   string
	deleted  bool
	likes    map[string]bool
	shares   map[string]bool
	comments map[string]bool
}

type modelComment struct{ id, post string }

// apply moves the model on by one applied record. It returns the rooms that
// must hear of it and the follow edges that it changed.
func (w *world) apply(r eventlog.Record) (rooms []string, changed [][2]string) {
	user := r.Actor.ID
	data := func(v any) {
		if err := json.Unmarshal(r.Data, v); err != nil {
			w.rt.Fatalf("record %d: %v", r.Seq, err)
		}
	}
	postRooms := func(id string) []string {
		if w.posts[id] == nil || w.posts[id].deleted {
			w.rt.Fatalf("record %d (%s) was applied to post %s, which is not there", r.Seq, r.Event, id)
		}
		return []string{"post:" + id, "user:" + w.posts[id].author}
	}
	switch r.Event {
	case "post:create":
		w.posts[r.ID] = &modelPost{author: user, likes: map[string]bool{}, shares: map[string]bool{}, comments: map[string]bool{}}
		w.postIDs = append(w.postIDs, r.ID)
		return []string{"user:" + user}, nil
	case "post:update", "post:delete":
		var d schema.PostRef
		data(&d)
		rooms = postRooms(d.PostID)
		if w.posts[d.PostID].author != user {
			w.rt.Fatalf("record %d: %s changed a post of %s", r.Seq, user, w.posts[d.PostID].author)
		}
		w.posts[d.PostID].deleted = r.Event == "post:delete"
	case "post:like":
		var d schema.PostAction
		data(&d)
		rooms = postRooms(d.PostID)
		w.toggle(r, w.posts[d.PostID].likes, user, d.Action == schema.ActionLike)
	case "post:share":
		var d schema.PostShare
		data(&d)
		rooms = postRooms(d.PostID)
		w.toggle(r, w.posts[d.PostID].shares, user, true)
	case "post:comment":
		var d schema.PostComment
		data(&d)
		rooms = postRooms(d.PostID)
		w.posts[d.PostID].comments[r.ID] = true
		w.comments = append(w.comments, modelComment{r.ID, d.PostID})
	case "comment:update":
		var d schema.CommentUpdate
		data(&d)
		rooms = postRooms(d.PostID)[:1]
		if !w.posts[d.PostID].comments[d.CommentID] {
			w.rt.Fatalf("record %d changed comment %s, which is not there", r.Seq, d.CommentID)
		}
	case "comment:delete":
		var d schema.CommentDelete
		data(&d)
		rooms = postRooms(d.PostID)[:1]
		w.toggle(r, w.posts[d.PostID].comments, d.CommentID, false)
	case "user:follow":
		var d schema.UserFollow
		data(&d)
		edge := [2]string{user, d.FollowingID}
		if user == d.FollowingID || w.follows[edge] == (d.Action == schema.ActionFollow) {
			w.rt.Fatalf("record %d: %s %s %s was applied", r.Seq, user, d.Action, d.FollowingID)
		}
		w.follows[edge] = d.Action == schema.ActionFollow
		return []string{"user:" + user, "user:" + d.FollowingID}, [][2]string{edge}
	case "user:friend-request":
		var d schema.TargetAction
		data(&d)
		rooms = []string{"user:" + user, "user:" + d.TargetID}
	case "user:block":
		var d schema.TargetAction
		data(&d)
		w.blocks[[2]string{user, d.TargetID}] = d.Action == schema.ActionBlock
		if d.Action == schema.ActionBlock {
			for _, edge := range [][2]string{{user, d.TargetID}, {d.TargetID, user}} {
				w.follows[edge] = false
				changed = append(changed, edge)
			}
		}
		rooms = []string{"user:" + user}
	default:
		w.rt.Fatalf("the model does not know %s", r.Event)
	}
	return rooms, changed
}

// apart returns who is not told what a user did to a post, because of a block; nil
// where blocks do not matter.
func (w *world) apart(r eventlog.Record) map[string]bool {
	switch r.Event {
	case "post:like", "post:share", "post:comment", "comment:update":
	default:
		return nil
	}
	apart := map[string]bool{}
	for _, u := range w.users {
		apart[u] = w.blocks[[2]string{u, r.Actor.ID}] || w.blocks[[2]string{r.Actor.ID, u}]
	}
	return apart
}

// pairOf returns the two of a block, in order.
func (w *world) pairOf(r eventlog.Record) [2]string {
	var d schema.TargetAction
	if err := json.Unmarshal(r.Data, &d); err != nil {
		w.rt.Fatalf("record %d: %v", r.Seq, err)
	}
	return [2]string{min(r.Actor.ID, d.TargetID), max(r.Actor.ID, d.TargetID)}
}

// notSure is told between whom a block began or ended in the round: who is told of
// one's doings is looked up a moment after the record's place.
func (e *expectation) notSure(parted map[[2]string]bool) {
	if e.apart == nil {
		return
	}
	e.unsure = map[string]bool{}
	for pair := range parted {
		for i, u := range pair {
			if pair[1-i] == e.actor {
				e.unsure[u] = true
			}
		}
	}
}

// toggle puts a member into a set or takes it out; a record that changes
// nothing must have been void.
func (w *world) toggle(r eventlog.Record, set map[string]bool, member string, on bool) {
	if set[member] == on {
		w.rt.Fatalf("record %d (%s %s) was applied but changes nothing", r.Seq, r.Event, r.Data)
	}
	if on {
		set[member] = true
	} else {
		delete(set, member)
	}
}
