package projections

import (
	"encoding/binary"

	"roomlog/schema"
)

// likes is who likes what. It is home to post:like.
type likes struct {
	posts table // post id → likeable
	likes table // place of the post, user → present
}

// likeable is a row of posts, from the post's creation to its deletion.
type likeable struct {
	removed    bool   // by a moderator: it is not there, but keeps its likes
	seq, count uint64 // place of the post
	author     []byte
}

func (l likeable) encode(b []byte) []byte {
	b = append(b, marker(l.removed))
	b = binary.AppendUvarint(b, l.seq)
	b = binary.AppendUvarint(b, l.count)
	return append(b, l.author...)
}

func decodeLikeable(row []byte) likeable {
	f := fields{row}
	return likeable{f.uint() == 1, f.uint(), f.uint(), f.rest}
}

func (l likeable) describe() Fields {
	return Fields{{"removed", l.removed}, {"seq", l.seq}, {"author", string(l.author)}, {"likes", l.count}}
}

func likeKey(post uint64, user string) []byte { return by(post, user) }

// post returns a post that is there.
func (l *likes) post(id string) (p likeable, ok bool) {
	row := l.posts.get([]byte(id))
	if row == nil {
		return likeable{}, false
	}
	p = decodeLikeable(row)
	return p, !p.removed
}

func (l *likes) observe(r *record, v *verdict) error {
	if v.Code != "" {
		return nil
	}
	switch r.Event {
	case "post:create":
		l.posts.put([]byte(r.ID), likeable{seq: r.Seq, author: []byte(r.Actor.ID)}.encode(l.posts.blank()))
	case "post:delete":
		l.posts.remove([]byte(r.data.(*schema.PostRef).PostID))
	case "admin:remove", "admin:restore":
		if t, now, _ := moderatedContent(r, v); t.Type == schema.TargetPost {
			p, _ := l.post(t.ID)
			p.removed = now == removed
			l.posts.put([]byte(t.ID), p.encode(l.posts.blank()))
		}
	}
	return nil
}

func (l *likes) like(r *record, d *schema.PostAction) (verdict, error) {
	p, ok := l.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound), nil
	}
	key := likeKey(p.seq, r.Actor.ID)
	switch likes := l.likes.has(key); {
	case d.Action == schema.ActionLike && likes:
		return void(schema.AlreadyLiked), nil
	case d.Action == schema.ActionUnlike && !likes:
		return void(schema.NotLiked), nil
	case d.Action == schema.ActionLike:
		l.likes.put(key, present)
		p.count++
	case d.Action == schema.ActionUnlike:
		l.likes.remove(key)
		p.count--
	default:
		return void(schema.InvalidField), nil
	}
	author := string(p.author)
	l.posts.put([]byte(d.PostID), p.encode(l.posts.blank()))
	v := l.likedOf(r, d, author, p.count)
	v.owner = author
	return v, nil
}

func (l *likes) liked(r *record, d *schema.PostAction, count uint64) verdict {
	p, ok := l.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound)
	}
	return l.likedOf(r, d, string(p.author), count)
}

func (l *likes) likedOf(r *record, d *schema.PostAction, author string, count uint64) verdict {
	return r.counted(count, schema.PostLiked{
		PostID: d.PostID, UserID: r.Actor.ID, Username: r.Actor.Username, Action: d.Action, LikesCount: int(count),
	}, r.postRoom(d.PostID), schema.UserRoom(author)).butApartFrom(r.Actor.ID)
}
