package realtime

import (
	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// socialFacts are the facts of /social. Who may send which is the projector's to
// decide, at the record's place in the log.
var socialFacts = map[string]command{
	"post:create": fact(func(r *eventlog.Record, p *schema.PostCreate) {
		if p.Hashtags == nil {
			p.Hashtags = schema.Hashtags(p.Content)
		}
		r.Entity = "post:" + r.ID
	}),
	"post:update": fact(func(r *eventlog.Record, p *schema.PostUpdate) {
		if p.Hashtags == nil {
			p.Hashtags = schema.Hashtags(p.Content)
		}
		r.Entity = "post:" + p.PostID
	}),
	"post:delete":         fact(func(r *eventlog.Record, p *schema.PostRef) { r.Entity = "post:" + p.PostID }),
	"post:like":           fact(func(r *eventlog.Record, p *schema.PostAction) { r.Entity = "post:" + p.PostID }),
	"post:comment":        fact(func(r *eventlog.Record, p *schema.PostComment) { r.Entity = "post:" + p.PostID }),
	"comment:update":      fact(func(r *eventlog.Record, p *schema.CommentUpdate) { r.Entity = "comment:" + p.CommentID }),
	"comment:delete":      fact(func(r *eventlog.Record, p *schema.CommentDelete) { r.Entity = "comment:" + p.CommentID }),
	"post:share":          fact(func(r *eventlog.Record, p *schema.PostShare) { r.Entity = "post:" + p.PostID }),
	"user:follow":         fact(func(r *eventlog.Record, p *schema.UserFollow) { r.Entity = "user:" + p.FollowingID }),
	"user:friend-request": fact(func(r *eventlog.Record, p *schema.TargetAction) { r.Entity = "user:" + p.TargetID }),
	"user:block":          fact(func(r *eventlog.Record, p *schema.TargetAction) { r.Entity = "user:" + p.TargetID }),
}

// socialQueries are the queries of /social. The viewer is the session's user,
// whatever the payload says.
var socialQueries = map[string]command{
	"feed:get": query(func(s *session, v *projections.View, q *schema.Page) (any, error) {
		return v.Feed(s.userID(), *q)
	}),
	"post:get": query(func(s *session, v *projections.View, q *schema.PostRef) (any, error) {
		return v.Post(s.userID(), q.PostID)
	}),
	"comment:list": query(func(s *session, v *projections.View, q *schema.CommentList) (any, error) {
		return v.Comments(s.userID(), *q)
	}),
	"user:get": query(func(s *session, v *projections.View, q *schema.UserPage) (any, error) {
		return v.Profile(s.userID(), q.UserID)
	}),
	"user:posts": query(func(s *session, v *projections.View, q *schema.UserPage) (any, error) {
		return v.UserPosts(s.userID(), *q)
	}),
	"user:followers": query(func(s *session, v *projections.View, q *schema.UserPage) (any, error) {
		return v.Followers(s.userID(), *q)
	}),
	"user:following": query(func(s *session, v *projections.View, q *schema.UserPage) (any, error) {
		return v.Following(s.userID(), *q)
	}),
	"presence:get": query(func(s *session, v *projections.View, q *schema.PresenceGet) (any, error) {
		answer := schema.Items[schema.Presence]{Items: make([]schema.Presence, 0, len(q.UserIDs))}
		for _, id := range q.UserIDs {
			answer.Items = append(answer.Items, s.server.presenceOf(v, s.userID(), id))
		}
		return answer, nil
	}),
}
