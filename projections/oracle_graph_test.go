package projections

import (
	"encoding/json"
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

func (o *oracle) decideUser(r eventlog.Record) (schema.Code, any, []string) {
	me := r.Actor.ID
	var d struct{ FollowingID, TargetID, Action string }
	if err := json.Unmarshal(r.Data, &d); err != nil {
		panic(err)
	}
	other := d.FollowingID + d.TargetID
	if other == me {
		return schema.Oneself, nil, nil
	}
	blocked := o.blocked(me, other)
	var code schema.Code
	var payload any
	rooms := []string{"user:" + me, "user:" + other}
	switch r.Event {
	case "user:follow":
		code = o.follow(me, other, d.Action, blocked)
		payload = schema.UserFollowed{FollowerID: me, FollowerUsername: r.Actor.Username, FollowingID: other,
			FollowingUsername: o.actor(other).Username, Action: d.Action, FollowersCount: len(o.followersOf(other))}
	case "user:friend-request":
		requester, target := me, other
		if d.Action == "accept" || d.Action == "decline" {
			requester, target = other, me
		}
		code = o.friendRequest(requester, target, d.Action, blocked)
		payload = schema.FriendRequested{RequesterID: requester, TargetID: target, Action: d.Action, At: r.Time}
	case "user:block":
		code = o.block(me, other, d.Action)
		payload = schema.TargetAction{TargetID: other, Action: d.Action}
		rooms = rooms[:1]
	}
	if code != "" {
		return code, nil, nil
	}
	if _, ok := o.users[other]; !ok {
		o.users[other] = schema.Actor{ID: other}
	}
	return "", payload, rooms
}

func (o *oracle) follow(me, other, action string, blocked bool) schema.Code {
	e := edge{me, other}
	following := slices.Contains(o.follows, e)
	switch {
	case action != "unfollow" && blocked:
		return schema.Blocked
	case action == "follow" && following:
		return schema.AlreadyFollowing
	case action == "unfollow" && !following:
		return schema.NotFollowing
	case action == "follow":
		o.follows = append(o.follows, e)
		o.followed[e] = uint64(len(o.records) + 1)
	case action == "unfollow":
		delete(o.followed, e)
		o.follows = without(o.follows, e)
	default:
		return schema.InvalidField
	}
	return ""
}

func (o *oracle) friendRequest(requester, target, action string, blocked bool) schema.Code {
	e, friends := edge{requester, target}, edge{min(requester, target), max(requester, target)}
	if blocked && action != "decline" && action != "cancel" {
		return schema.Blocked
	}
	if action == "send" {
		switch {
		case slices.Contains(o.friends, friends):
			return schema.AlreadyFriends
		case slices.Contains(o.requests, e) || slices.Contains(o.requests, edge{target, requester}):
			return schema.RequestExists
		}
		o.requests = append(o.requests, e)
		return ""
	}
	if !slices.Contains([]string{"accept", "decline", "cancel"}, action) {
		return schema.InvalidField
	}
	if !slices.Contains(o.requests, e) {
		return schema.RequestNotFound
	}
	o.requests = without(o.requests, e)
	if action == "accept" {
		o.friends = append(o.friends, friends)
	}
	return ""
}

func (o *oracle) block(me, other, action string) schema.Code {
	e, back := edge{me, other}, edge{other, me}
	blocks := slices.Contains(o.blocks, e)
	switch {
	case action == "block" && blocks:
		return schema.AlreadyBlocked
	case action == "unblock" && !blocks:
		return schema.NotBlocked
	case action == "unblock":
		o.blocks = without(o.blocks, e)
	case action == "block":
		o.blocks = append(o.blocks, e)
		o.follows = without(o.follows, e, back)
		delete(o.followed, e)
		delete(o.followed, back)
		o.requests = without(o.requests, e, back)
		o.friends = without(o.friends, e, back)
	default:
		return schema.InvalidField
	}
	return ""
}

func without(list []edge, gone ...edge) []edge {
	return slices.DeleteFunc(list, func(e edge) bool { return slices.Contains(gone, e) })
}

func (o *oracle) blocked(a, b string) bool {
	return slices.Contains(o.blocks, edge{a, b}) || slices.Contains(o.blocks, edge{b, a})
}

func (o *oracle) actor(id string) schema.Actor {
	a := o.users[id]
	if a.Username == "" {
		return schema.Actor{ID: id, Username: id}
	}
	return a
}

// followersOf lists who follows a user, the newest first.
func (o *oracle) followersOf(user string) (ids []string) {
	for _, e := range slices.Backward(o.follows) {
		if e.to == user {
			ids = append(ids, e.from)
		}
	}
	return ids
}

func (o *oracle) followedBy(user string) (ids []string) {
	for _, e := range slices.Backward(o.follows) {
		if e.from == user {
			ids = append(ids, e.to)
		}
	}
	return ids
}
