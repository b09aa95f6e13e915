package projections

import (
	"encoding/json"
	"slices"
	"strconv"

	"roomlog/schema"
)

// Post answers post:get.
func (v *View) Post(viewer, postID string) (schema.Post, error) {
	h, ok := v.state.feeds.post(postID)
	if !ok {
		return schema.Post{}, schema.NewError(schema.PostNotFound, "")
	}
	return v.post(viewer, postID, h), nil
}

// post shows a post that is there, with the viewer's own relation to it.
func (v *View) post(viewer, id string, h head) schema.Post {
	b := decodeBody(v.state.feeds.bodies.get(seqKey(h.seq)))
	p := schema.Post{
		ID: id, Author: v.actor(string(h.author)), Content: b.content,
		Media: []schema.Media{}, Hashtags: b.hashtags,
		CreatedAt: b.created, UpdatedAt: optional(b.updated),
	}
	if len(b.media) > 0 {
		if err := json.Unmarshal(b.media, &p.Media); err != nil {
			panic(damage("the media of a post: " + err.Error()))
		}
	}
	l, _ := v.state.likes.post(id)
	p.LikesCount = new(int(l.count))
	p.CommentsCount = new(int(h.comments))
	p.SharesCount = new(int(h.shares))
	p.Liked = new(v.state.likes.likes.has(likeKey(h.seq, viewer)))
	return p
}

func optional(t schema.Time) *schema.Time {
	if t == 0 {
		return nil
	}
	return &t
}

// actor shows a user under the name they act with today.
func (v *View) actor(id string) schema.Actor {
	u, _ := v.state.graph.user(id)
	return u.actor(id)
}

// Comments answers comment:list: the newest page, or the one before a comment,
// each in the order of the log, oldest first. Next leads to older ones. Those of
// whom a block keeps apart from the viewer are left out.
func (v *View) Comments(viewer string, q schema.CommentList) (schema.Items[schema.Comment], error) {
	page := schema.Items[schema.Comment]{Items: []schema.Comment{}}
	h, ok := v.state.feeds.post(q.PostID)
	if !ok {
		return page, schema.NewError(schema.PostNotFound, "")
	}
	bound := seqKey(h.seq + 1)
	if q.Before != "" {
		w, ok := v.state.feeds.find(h, q.Before)
		if !ok {
			return page, unknownCursor()
		}
		bound = commentKey(h.seq, w.seq)
	}
	limit, last, out := pageSize(q.Page), "", v.sieve(viewer)
	for _, row := range v.state.feeds.comments.before(seqKey(h.seq), bound) {
		c := decodeComment(row)
		shown := !out.hides(c.author)
		if out.ends(shown, len(page.Items) == limit) {
			page.Next = last
			break
		}
		if last = c.id; shown {
			page.Items = append(page.Items, v.comment(c))
		}
	}
	slices.Reverse(page.Items)
	return page, nil
}

func (v *View) comment(c comment) schema.Comment {
	return schema.Comment{
		ID: c.id, Author: v.actor(c.author), Content: c.content, ParentID: c.parent,
		CreatedAt: c.created, UpdatedAt: optional(c.updated),
	}
}

func unknownCursor() *schema.Error {
	return schema.NewError(schema.InvalidField, "/before: no page ended there")
}

// The number of items of a page.
const (
	defaultPage = 20
	maxPage     = 100
)

func pageSize(p schema.Page) int {
	if p.Limit <= 0 {
		return defaultPage
	}
	return min(p.Limit, maxPage)
}

// maxPassed is how many rows that the viewer does not see a query passes over for
// one page: about a millisecond's worth. Then the page ends early, with a cursor.
const maxPassed = 1000

// sieve leaves out of a page whom a block keeps apart from the viewer.
type sieve struct {
	*View
	viewer string
	hidden map[string]bool // users it has looked at
	passed int
}

func (v *View) sieve(viewer string) sieve {
	return sieve{View: v, viewer: viewer, hidden: map[string]bool{}}
}

func (s *sieve) hides(user string) bool {
	h, known := s.hidden[user]
	if !known {
		h = s.state.graph.isBlocked(s.viewer, user)
		s.hidden[user] = h
	}
	return h
}

// ends reports whether the page ends before a row that the viewer sees, or not. Its
// cursor is then the row before it, seen or not.
func (s *sieve) ends(shown, full bool) bool {
	if shown {
		return full
	}
	s.passed++
	return s.passed > maxPassed
}

// Profile answers user:get. Whether the user blocks the viewer is not told, nor
// when either of two who are blocked was last seen.
func (v *View) Profile(viewer, userID string) (schema.Profile, error) {
	g := &v.state.graph
	u, ok := g.user(userID)
	if !ok {
		return schema.Profile{}, schema.NewError(schema.UserNotFound, "")
	}
	var seen schema.Time
	if !g.isBlocked(viewer, userID) {
		seen, _ = v.state.presence.seen(userID)
	}
	return schema.Profile{
		User:           u.actor(userID),
		PostsCount:     int(v.state.feeds.postsOf(userID)),
		FollowersCount: int(u.followers),
		FollowingCount: int(u.following),
		LastSeen:       seen,
		Following:      g.isFollowing(viewer, userID),
		FollowsYou:     g.isFollowing(userID, viewer),
		Friend:         g.areFriends(viewer, userID),
		Blocked:        g.blocks.has(pair(viewer, userID)),
	}, nil
}

// Followers answers user:followers, the newest first, without those whom a block
// keeps apart from the viewer. Of one of them the list is empty.
func (v *View) Followers(viewer string, q schema.UserPage) (schema.Items[schema.Actor], error) {
	return v.users(viewer, &v.state.graph.followers, q)
}

// Following answers user:following, as Followers does.
func (v *View) Following(viewer string, q schema.UserPage) (schema.Items[schema.Actor], error) {
	return v.users(viewer, &v.state.graph.follows, q)
}

// users pages through a list of users. Its cursor is the place of a follow, so
// that it holds when that user is unfollowed between two pages.
func (v *View) users(viewer string, t *table, q schema.UserPage) (schema.Items[schema.Actor], error) {
	page := schema.Items[schema.Actor]{Items: []schema.Actor{}}
	if _, ok := v.state.graph.user(q.UserID); !ok {
		return page, schema.NewError(schema.UserNotFound, "")
	}
	bound := uint64(pastEnd)
	if q.Before != "" {
		var err error
		if bound, err = strconv.ParseUint(q.Before, 10, 64); err != nil {
			return page, unknownCursor()
		}
	}
	out := v.sieve(viewer)
	if out.hides(q.UserID) {
		return page, nil
	}
	limit, last := pageSize(q.Page), uint64(0)
	for key, id := range t.before(owned(q.UserID), place(q.UserID, bound)) {
		shown := !out.hides(string(id))
		if out.ends(shown, len(page.Items) == limit) {
			page.Next = strconv.FormatUint(last, 10)
			break
		}
		if last = seqOf(key); shown {
			page.Items = append(page.Items, v.actor(string(id)))
		}
	}
	return page, nil
}
