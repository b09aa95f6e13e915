package projections

import (
	"bytes"
	"encoding/binary"

	"roomlog/schema"
)

// graph is who users are and how they relate. It is home to user:follow,
// user:friend-request and user:block.
type graph struct {
	users     table // user → user row
	following table // follower, followed → place of the follow
	follows   table // follower, place → followed: whom a user follows, by time
	followers table // followed, place → follower
	blocks    table // blocker, blocked → present
	apart     table // user, other → place since which a block of either's keeps them apart; a row each way
	friends   table // the pair in order → requester, or friendship
}

// present is the value of a row that says all with its key.
var present = []byte{1}

// friendship in place of a requester: no user id is empty.
var friendship = []byte{0}

// user is a row of users. One that only others named has no name of its own yet.
type user struct {
	username, avatar     []byte
	followers, following uint64
	apart                uint64 // how many a block keeps apart from them
}

func (u user) encode(b []byte) []byte {
	b = appendText(b, u.username)
	b = appendText(b, u.avatar)
	b = binary.AppendUvarint(b, u.followers)
	b = binary.AppendUvarint(b, u.following)
	return binary.AppendUvarint(b, u.apart)
}

func decodeUser(row []byte) user {
	f := fields{row}
	return user{f.bytes(), f.bytes(), f.uint(), f.uint(), f.uint()}
}

func (u user) describe() Fields {
	return append(Fields{}.maybe("username", string(u.username)).maybe("avatar", string(u.avatar)),
		Field{"followers", u.followers}, Field{"following", u.following}, Field{"apart", u.apart})
}

func friendRow(_, row []byte) Fields {
	if bytes.Equal(row, friendship) {
		return Fields{{"friends", true}}
	}
	return Fields{{"friends", false}, {"requester", string(row)}}
}

func (u user) actor(id string) schema.Actor {
	a := schema.Actor{ID: id, Username: string(u.username), Avatar: string(u.avatar)}
	if a.Username == "" {
		a.Username = id
	}
	return a
}

func (g *graph) user(id string) (u user, ok bool) {
	row := g.users.get([]byte(id))
	if row == nil {
		return user{}, false
	}
	return decodeUser(row), true
}

func (g *graph) setUser(id string, u user) { g.users.put([]byte(id), u.encode(g.users.blank())) }

// meet makes sure that a user exists, under the name they act with.
func (g *graph) meet(a schema.Actor) {
	u, ok := g.user(a.ID)
	if ok && string(u.username) == a.Username && string(u.avatar) == a.Avatar {
		return
	}
	u.username, u.avatar = []byte(a.Username), []byte(a.Avatar)
	g.setUser(a.ID, u)
}

// mention makes sure that a user exists whom someone else acts upon.
func (g *graph) mention(id string) user {
	u, ok := g.user(id)
	if !ok {
		g.setUser(id, u)
	}
	return u
}

// observe meets who did something that others may see. What users do with their own
// notifications is not yet decided when the graph is told of it.
func (g *graph) observe(r *record, v *verdict) error {
	if v.Code == "" && !v.left {
		g.meet(r.Actor)
	}
	return nil
}

func (g *graph) isFollowing(follower, followed string) bool {
	return g.following.has(pair(follower, followed))
}

// isBlocked reports whether either of two users blocks the other.
func (g *graph) isBlocked(a, b string) bool { return g.apart.has(pair(a, b)) }

func (g *graph) areFriends(a, b string) bool {
	row := g.friends.get(couple(a, b))
	return row != nil && row[0] == friendship[0]
}

// couple is the key of a relation that has no direction.
func couple(a, b string) []byte {
	if a > b {
		a, b = b, a
	}
	return pair(a, b)
}

func (g *graph) follow(r *record, d *schema.UserFollow) (verdict, error) {
	if !schema.ValidUserID(d.FollowingID) {
		return void(schema.InvalidField), nil
	}
	following := g.isFollowing(r.Actor.ID, d.FollowingID)
	switch {
	case d.Action == schema.ActionFollow && following:
		return void(schema.AlreadyFollowing), nil
	case d.Action == schema.ActionUnfollow && !following:
		return void(schema.NotFollowing), nil
	case d.Action != schema.ActionFollow && d.Action != schema.ActionUnfollow:
		return void(schema.InvalidField), nil
	}
	g.meet(r.Actor)
	if following {
		g.unlink(r.Actor.ID, d.FollowingID)
	} else {
		g.link(r.Actor.ID, d.FollowingID, r.Seq)
	}
	followed, _ := g.user(d.FollowingID)
	return g.turnedTo(r, d, followed, followed.followers), nil
}

// followed is for who comes back across a block, too: it ended what they would be told.
func (g *graph) followed(r *record, d *schema.UserFollow, count uint64) verdict {
	followed, _ := g.user(d.FollowingID)
	return g.turnedTo(r, d, followed, count)
}

// turnedTo is followed for who knows whom it is about.
func (g *graph) turnedTo(r *record, d *schema.UserFollow, followed user, count uint64) verdict {
	return r.counted(count, schema.UserFollowed{
		FollowerID: r.Actor.ID, FollowerUsername: r.Actor.Username,
		FollowingID: d.FollowingID, FollowingUsername: followed.actor(d.FollowingID).Username,
		Action: d.Action, FollowersCount: int(count),
	}, schema.UserRoom(r.Actor.ID), schema.UserRoom(d.FollowingID)).butApartFrom(r.Actor.ID)
}

func (g *graph) link(follower, followed string, seq uint64) {
	g.following.put(pair(follower, followed), seqKey(seq))
	g.follows.put(place(follower, seq), []byte(followed))
	g.followers.put(place(followed, seq), []byte(follower))
	g.count(follower, followed, 1)
}

// unlink ends a follow, if there is one.
func (g *graph) unlink(follower, followed string) {
	key := pair(follower, followed)
	row := g.following.get(key)
	if row == nil {
		return
	}
	seq := seqOf(row)
	g.following.remove(key)
	g.follows.remove(place(follower, seq))
	g.followers.remove(place(followed, seq))
	g.count(follower, followed, -1)
}

func (g *graph) count(follower, followed string, by int) {
	u, _ := g.user(follower)
	u.following += uint64(by)
	g.setUser(follower, u)
	u, _ = g.user(followed)
	u.followers += uint64(by)
	g.setUser(followed, u)
}

func (g *graph) friendRequest(r *record, d *schema.TargetAction) (verdict, error) {
	if !schema.ValidUserID(d.TargetID) {
		return void(schema.InvalidField), nil
	}
	requester, target := parties(r, d)
	key := couple(requester, target)
	row := g.friends.get(key)
	friends := row != nil && row[0] == friendship[0]
	open := row != nil && string(row) == requester
	switch d.Action {
	case schema.ActionSend:
		switch {
		case friends:
			return void(schema.AlreadyFriends), nil
		case row != nil:
			return void(schema.RequestExists), nil
		}
		g.friends.put(key, []byte(requester))
	case schema.ActionAccept, schema.ActionDecline, schema.ActionCancel:
		switch {
		case !open:
			return void(schema.RequestNotFound), nil
		case d.Action == schema.ActionAccept:
			g.friends.put(key, friendship)
		default:
			g.friends.remove(key)
		}
	default:
		return void(schema.InvalidField), nil
	}
	g.meet(r.Actor)
	g.mention(d.TargetID)
	return g.friendRequested(r, d, 0), nil
}

func (g *graph) friendRequested(r *record, d *schema.TargetAction, _ uint64) verdict {
	requester, target := parties(r, d)
	return r.applied(schema.FriendRequested{RequesterID: requester, TargetID: target, Action: d.Action, At: r.Time},
		schema.UserRoom(r.Actor.ID), schema.UserRoom(d.TargetID)).butApartFrom(r.Actor.ID)
}

// parties says who asked whom: the target answers, the requester does the rest.
func parties(r *record, d *schema.TargetAction) (requester, target string) {
	if d.Action == schema.ActionAccept || d.Action == schema.ActionDecline {
		return d.TargetID, r.Actor.ID
	}
	return r.Actor.ID, d.TargetID
}

func (g *graph) block(r *record, d *schema.TargetAction) (verdict, error) {
	if !schema.ValidUserID(d.TargetID) {
		return void(schema.InvalidField), nil
	}
	key := pair(r.Actor.ID, d.TargetID)
	switch blocked := g.blocks.has(key); {
	case d.Action == schema.ActionBlock && blocked:
		return void(schema.AlreadyBlocked), nil
	case d.Action == schema.ActionUnblock && !blocked:
		return void(schema.NotBlocked), nil
	case d.Action == schema.ActionUnblock:
		g.blocks.remove(key)
		if !g.blocks.has(pair(d.TargetID, r.Actor.ID)) {
			g.rejoin(r.Actor.ID, d.TargetID)
		}
	case d.Action == schema.ActionBlock:
		g.blocks.put(key, present)
		g.separate(r.Actor.ID, d.TargetID, r.Seq)
		g.unlink(r.Actor.ID, d.TargetID)
		g.unlink(d.TargetID, r.Actor.ID)
		g.friends.remove(couple(r.Actor.ID, d.TargetID))
	default:
		return void(schema.InvalidField), nil
	}
	g.meet(r.Actor)
	g.mention(d.TargetID)
	return g.blocked(r, d, 0), nil
}

// separate keeps two users apart, if nothing does already.
func (g *graph) separate(a, b string, seq uint64) {
	if g.isBlocked(a, b) {
		return
	}
	for _, two := range [][2]string{{a, b}, {b, a}} {
		g.apart.put(pair(two[0], two[1]), seqKey(seq))
		g.countApart(two[0], 1)
	}
}

// rejoin lets two users meet again whom a block kept apart.
func (g *graph) rejoin(a, b string) {
	for _, two := range [][2]string{{a, b}, {b, a}} {
		g.apart.remove(pair(two[0], two[1]))
		g.countApart(two[0], -1)
	}
}

func (g *graph) countApart(id string, by int) {
	u, _ := g.user(id)
	u.apart += uint64(by)
	g.setUser(id, u)
}

// blocked does not tell the other side.
func (g *graph) blocked(r *record, d *schema.TargetAction, _ uint64) verdict {
	return r.applied(d, schema.UserRoom(r.Actor.ID))
}
