package projections

import (
	"encoding/json"
	"slices"
	"strings"

	"roomlog/eventlog"
	"roomlog/schema"
)

// oracle is what the read models should say, kept in plain lists that are
// searched from end to end. It shares no code with the projectors.
type oracle struct {
	users    map[string]schema.Actor // "" username: only named by others
	lastSeen map[string]schema.Time
	follows  []edge // in the order they were made
	blocks   []edge
	friends  []edge // from lower to higher id
	requests []edge // from requester to target
	posts    []*oraclePost
	items    []oracleItem
	keys     map[edge]oracleAnswer
	now      schema.Time
	outcomes []schema.Code
	records  []eventlog.Record
	tellings []telling // by record

	followed map[edge]uint64 // place of the follow
	talks    []*oracleTalk
}

type edge struct{ from, to string }

type oraclePost struct {
	post     schema.Post
	deleted  bool
	likes    []string
	shares   int
	comments []*oracleComment
}

type oracleComment struct {
	comment schema.Comment
	deleted bool
}

type oracleItem struct {
	id, by string
	post   *oraclePost
	share  bool
	at     schema.Time
	text   string
}

type oracleAnswer struct {
	at     schema.Time
	seq    uint64
	event  string
	data   string
	result string
}

func newOracle() *oracle {
	return &oracle{users: map[string]schema.Actor{}, lastSeen: map[string]schema.Time{}, keys: map[edge]oracleAnswer{}, followed: map[edge]uint64{}}
}

// asked is what a record's client asked for, of whichever version the record is.
func asked(r eventlog.Record) string { return string(asVersion1(r).Data) }

// apply returns what should become of a record: the code, and for an applied or
// repeated one the answer.
func (o *oracle) apply(r eventlog.Record) (code schema.Code, result string) {
	r.Seq = uint64(len(o.records) + 1)
	o.now = max(o.now, r.Time)
	var told telling
	first, known := o.keys[edge{r.Actor.ID, r.Key}]
	switch {
	case r.Key != "" && known && o.now-first.at < 24*3600*1000:
		code = schema.KeyReused
		if first.event == r.Event && first.data == asked(r) {
			code, result = schema.DuplicateKey, first.result
		}
	default:
		code, result, told = o.carryOut(r)
		if code == "" {
			o.users[r.Actor.ID] = r.Actor
			o.lastSeen[r.Actor.ID] = max(o.lastSeen[r.Actor.ID], r.Time)
			if r.Key != "" {
				o.keys[edge{r.Actor.ID, r.Key}] = oracleAnswer{o.now, r.Seq, r.Event, asked(r), result}
			}
		}
	}
	o.records = append(o.records, r)
	o.outcomes = append(o.outcomes, code)
	o.tellings = append(o.tellings, told)
	return code, result
}

func (o *oracle) carryOut(r eventlog.Record) (code schema.Code, result string, told telling) {
	var payload any
	if schema.NamespaceOf(r.Event) == schema.Messaging {
		code, payload, told = o.decideTalk(r)
	} else {
		code, payload, told.rooms = o.decide(r)
	}
	if told.own != nil {
		payload = told.own
	}
	if payload != nil && (code == "" || told.first != 0) {
		raw, _ := json.Marshal(payload)
		result = string(raw)
	}
	if code != "" {
		told = telling{first: told.first}
	}
	return code, result, told
}

func read[T any](r eventlog.Record) T {
	var d T
	if err := json.Unmarshal(r.Data, &d); err != nil {
		panic(err)
	}
	return d
}

func (o *oracle) post(id string) *oraclePost {
	for _, p := range o.posts {
		if p.post.ID == id && !p.deleted {
			return p
		}
	}
	return nil
}

func (p *oraclePost) comment(id string) *oracleComment {
	for _, c := range p.comments {
		if c.comment.ID == id && !c.deleted {
			return c
		}
	}
	return nil
}

func (p *oraclePost) commentsCount() int {
	n := 0
	for _, c := range p.comments {
		if !c.deleted {
			n++
		}
	}
	return n
}

func (o *oracle) decide(r eventlog.Record) (schema.Code, any, []string) {
	noun, _, _ := strings.Cut(r.Event, ":")
	switch {
	case noun == "user":
		return o.decideUser(r)
	case r.Event == "post:create":
		d := read[schema.PostCreate](r)
		post := schema.Post{ID: r.ID, Author: r.Actor, Content: d.Content, Media: d.Media, Hashtags: d.Hashtags, CreatedAt: r.Time}
		if post.Media == nil {
			post.Media = []schema.Media{}
		}
		if post.Hashtags == nil {
			post.Hashtags = []string{}
		}
		p := &oraclePost{post: post}
		o.posts = append(o.posts, p)
		o.items = append(o.items, oracleItem{id: r.ID, by: r.Actor.ID, post: p})
		return "", schema.PostCreated{Post: post}, []string{"user:" + r.Actor.ID}
	}
	var named struct{ PostID, CommentID string }
	if err := json.Unmarshal(r.Data, &named); err != nil {
		panic(err)
	}
	p := o.post(named.PostID)
	if p == nil {
		return schema.PostNotFound, nil, nil
	}
	rooms := []string{"post:" + p.post.ID, "user:" + p.post.Author.ID}
	if noun == "comment" {
		code, payload := o.decideComment(r, p, named.CommentID)
		return code, payload, rooms[:1]
	}
	code, payload := o.decidePost(r, p)
	return code, payload, rooms
}

func (o *oracle) decidePost(r eventlog.Record, p *oraclePost) (schema.Code, any) {
	id, me, own := p.post.ID, r.Actor.ID, r.Actor.ID == p.post.Author.ID
	reacts := r.Event == "post:comment" || r.Event == "post:share" || r.Event == "post:like" && read[schema.PostAction](r).Action != "unlike"
	if reacts && o.blocked(me, p.post.Author.ID) {
		return schema.Blocked, nil
	}
	switch r.Event {
	case "post:update":
		if !own {
			return schema.NotPermitted, nil
		}
		d := read[schema.PostUpdate](r)
		p.post.Content, p.post.Hashtags, p.post.UpdatedAt = d.Content, append([]string{}, d.Hashtags...), &r.Time
		return "", schema.PostUpdated{PostID: id, Content: d.Content, Hashtags: p.post.Hashtags, UpdatedAt: r.Time}
	case "post:delete":
		if !own {
			return schema.NotPermitted, nil
		}
		p.deleted = true
		return "", schema.PostDeleted{PostID: id, AuthorID: me}
	case "post:like":
		d := read[schema.PostAction](r)
		at := slices.Index(p.likes, me)
		switch {
		case d.Action == "like" && at >= 0:
			return schema.AlreadyLiked, nil
		case d.Action == "unlike" && at < 0:
			return schema.NotLiked, nil
		case d.Action == "like":
			p.likes = append(p.likes, me)
		case d.Action == "unlike":
			p.likes = slices.Delete(p.likes, at, at+1)
		default:
			return schema.InvalidField, nil
		}
		return "", schema.PostLiked{PostID: id, UserID: me, Username: r.Actor.Username, Action: d.Action, LikesCount: len(p.likes)}
	case "post:share":
		for _, i := range o.items {
			if i.share && i.post == p && i.by == me {
				return schema.AlreadyShared, nil
			}
		}
		p.shares++
		o.items = append(o.items, oracleItem{r.ID, me, p, true, r.Time, read[schema.PostShare](r).Content})
		return "", schema.PostShared{PostID: id, UserID: me, Username: r.Actor.Username, SharesCount: p.shares}
	case "post:comment":
		d := read[schema.PostComment](r)
		if answered := p.comment(d.ParentID); d.ParentID != "" && answered == nil {
			return schema.CommentNotFound, nil
		} else if answered != nil && o.blocked(me, answered.comment.Author.ID) {
			return schema.Blocked, nil
		}
		c := schema.Comment{ID: r.ID, Author: r.Actor, Content: d.Content, ParentID: d.ParentID, CreatedAt: r.Time}
		p.comments = append(p.comments, &oracleComment{comment: c})
		return "", schema.PostCommented{PostID: id, Comment: c, CommentsCount: p.commentsCount()}
	}
	panic(r.Event)
}

func (o *oracle) decideComment(r eventlog.Record, p *oraclePost, commentID string) (schema.Code, any) {
	c := p.comment(commentID)
	if c == nil {
		return schema.CommentNotFound, nil
	}
	own := c.comment.Author.ID == r.Actor.ID
	if r.Event == "comment:delete" {
		if !own && p.post.Author.ID != r.Actor.ID {
			return schema.NotPermitted, nil
		}
		c.deleted = true
		return "", schema.CommentDeleted{PostID: p.post.ID, CommentID: commentID, DeletedBy: r.Actor.ID, CommentsCount: p.commentsCount()}
	}
	if !own {
		return schema.NotPermitted, nil
	}
	c.comment.Content, c.comment.UpdatedAt = read[schema.CommentUpdate](r).Content, &r.Time
	return "", schema.CommentUpdated{PostID: p.post.ID, CommentID: commentID, Content: c.comment.Content, UpdatedAt: r.Time, CommentsCount: p.commentsCount()}
}

// shown is a post as a viewer should see it.
func (o *oracle) shown(viewer string, p *oraclePost) schema.Post {
	s := p.post
	s.Author = o.actor(s.Author.ID)
	s.LikesCount, s.CommentsCount, s.SharesCount = new(len(p.likes)), new(p.commentsCount()), new(p.shares)
	s.Liked = new(slices.Contains(p.likes, viewer))
	return s
}

// timeline lists what a viewer should see of what some users posted and shared.
func (o *oracle) timeline(viewer string, users []string) []schema.FeedItem {
	var items []schema.FeedItem
	for _, i := range slices.Backward(o.items) {
		author := i.post.post.Author.ID
		if !slices.Contains(users, i.by) || i.post.deleted || o.blocked(viewer, i.by) || o.blocked(viewer, author) {
			continue
		}
		item := schema.FeedItem{ID: i.id, Post: o.shown(viewer, i.post)}
		if i.share {
			item.SharedBy, item.SharedAt = new(o.actor(i.by)), &i.at
			if i.text != "" {
				item.Comment = &i.text
			}
		}
		items = append(items, item)
	}
	return items
}
