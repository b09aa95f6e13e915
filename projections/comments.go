package projections

import (
	"encoding/binary"
	"fmt"

	"roomlog/schema"
)

// comment is a row of comments.
type comment struct {
	id, author, parent string
	created, updated   schema.Time // updated 0: never
	content            string
}

func (c comment) encode(b []byte) []byte {
	b = appendText(b, c.id)
	b = appendText(b, c.author)
	b = appendText(b, c.parent)
	b = appendTime(b, c.created)
	b = appendTime(b, c.updated)
	return append(b, c.content...)
}

func decodeComment(row []byte) comment {
	f := fields{row}
	return comment{f.text(), f.text(), f.text(), f.time(), f.time(), string(f.rest)}
}

func (c comment) describe() Fields {
	return append(Fields{{"comment", c.id}, {"author", c.author}}.maybe("parent", c.parent).
		at("created", c.created).at("updated", c.updated), Field{"content", c.content})
}

// commenterOf reads no more of a comment than whose it is.
func commenterOf(row []byte) []byte {
	f := fields{row}
	f.bytes()
	return f.bytes()
}

// whereabouts is a row of commentPlace. It stays when the comment is deleted, so
// that its id still works as a cursor.
type whereabouts struct {
	fate      fate
	post, seq uint64 // places of the post and of the comment
	postID    string
}

func (w whereabouts) encode(b []byte) []byte {
	b = append(b, byte(w.fate))
	b = binary.AppendUvarint(b, w.post)
	b = binary.AppendUvarint(b, w.seq)
	return append(b, w.postID...)
}

func decodeWhereabouts(row []byte) whereabouts {
	f := fields{row}
	return whereabouts{fate(f.uint()), f.uint(), f.uint(), string(f.rest)}
}

func (w whereabouts) describe() Fields {
	return Fields{{"fate", w.fate.String()}, {"post", w.postID}, {"postSeq", w.post}, {"seq", w.seq}}
}

func commentKey(post, seq uint64) []byte {
	return within(post, seq)
}

// find returns where a comment of a post is, or was if it is deleted.
func (f *feeds) find(h head, commentID string) (w whereabouts, ok bool) {
	row := f.commentPlace.get([]byte(commentID))
	if row == nil {
		return whereabouts{}, false
	}
	w = decodeWhereabouts(row)
	return w, w.post == h.seq
}

// commenter returns whose a comment of a post is that is there, nil for none.
func (f *feeds) commenter(h head, commentID string) []byte {
	w, ok := f.find(h, commentID)
	if !ok || w.fate != there {
		return nil
	}
	return commenterOf(f.comments.get(commentKey(w.post, w.seq)))
}

// comment returns a comment that is there, with its post.
func (f *feeds) comment(postID, commentID string) (head, whereabouts, comment, schema.Code) {
	h, ok := f.post(postID)
	if !ok {
		return head{}, whereabouts{}, comment{}, schema.PostNotFound
	}
	w, ok := f.find(h, commentID)
	if !ok || w.fate != there {
		return head{}, whereabouts{}, comment{}, schema.CommentNotFound
	}
	return h, w, decodeComment(f.comments.get(commentKey(w.post, w.seq))), ""
}

func (f *feeds) createComment(r *record, d *schema.PostComment) (verdict, error) {
	h, ok := f.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound), nil
	}
	var answered []byte
	if d.ParentID != "" {
		if answered = f.commenter(h, d.ParentID); answered == nil {
			return void(schema.CommentNotFound), nil
		}
	}
	if f.commentPlace.has([]byte(r.ID)) {
		return verdict{}, fmt.Errorf("the comment id %s is taken", r.ID)
	}
	c := comment{id: r.ID, author: r.Actor.ID, parent: d.ParentID, created: r.Time, content: d.Content}
	h.comments++
	owner := string(h.author)
	v := f.commented(r, d, owner, h.comments)
	v.owner, v.answered = owner, string(answered)
	f.comments.put(commentKey(h.seq, r.Seq), c.encode(f.comments.blank()))
	f.commentPlace.put([]byte(r.ID), whereabouts{post: h.seq, seq: r.Seq, postID: d.PostID}.encode(f.commentPlace.blank()))
	f.setPost(d.PostID, h)
	return v, nil
}

func (f *feeds) commentCreated(r *record, d *schema.PostComment, count uint64) verdict {
	h, code := f.shows(d.PostID, r.ID)
	if code != "" {
		return void(code)
	}
	return f.commented(r, d, string(h.author), count)
}

func (f *feeds) commented(r *record, d *schema.PostComment, author string, count uint64) verdict {
	return r.counted(count, schema.PostCommented{
		PostID: d.PostID, CommentsCount: int(count),
		Comment: schema.Comment{ID: r.ID, Author: r.Actor, Content: d.Content, ParentID: d.ParentID, CreatedAt: r.Time},
	}, r.postRoom(d.PostID), schema.UserRoom(author)).butApartFrom(r.Actor.ID)
}

// shows returns the post of a comment that an applied record names, if both are there.
func (f *feeds) shows(postID, commentID string) (head, schema.Code) {
	h, ok := f.post(postID)
	if !ok {
		return head{}, schema.PostNotFound
	}
	if w, _ := f.find(h, commentID); w.fate != there {
		return head{}, schema.CommentNotFound
	}
	return h, ""
}

func (f *feeds) updateComment(r *record, d *schema.CommentUpdate) (verdict, error) {
	h, w, c, code := f.comment(d.PostID, d.CommentID)
	if code != "" {
		return void(code), nil
	}
	c.content, c.updated = d.Content, r.Time
	f.comments.put(commentKey(w.post, w.seq), c.encode(f.comments.blank()))
	return f.commentUpdated(r, d, h.comments), nil
}

func (f *feeds) commentUpdated(r *record, d *schema.CommentUpdate, count uint64) verdict {
	if _, code := f.shows(d.PostID, d.CommentID); code != "" {
		return void(code)
	}
	return r.counted(count, schema.CommentUpdated{
		PostID: d.PostID, CommentID: d.CommentID, Content: d.Content, UpdatedAt: r.Time, CommentsCount: int(count),
	}, schema.PostRoom(d.PostID)).butApartFrom(r.Actor.ID)
}

// deleteComment takes one comment away; the answers to it stay.
func (f *feeds) deleteComment(r *record, d *schema.CommentDelete) (verdict, error) {
	h, w, _, code := f.comment(d.PostID, d.CommentID)
	if code != "" {
		return void(code), nil
	}
	h.comments--
	f.comments.remove(commentKey(w.post, w.seq))
	w.fate = deleted
	f.commentPlace.put([]byte(d.CommentID), w.encode(f.commentPlace.blank()))
	f.setPost(d.PostID, h)
	return f.commentDeleted(r, d, h.comments), nil
}

// commentDeleted is told across a block, too: whoever deleted it, it is gone.
func (f *feeds) commentDeleted(r *record, d *schema.CommentDelete, count uint64) verdict {
	if _, ok := f.post(d.PostID); !ok {
		return void(schema.PostNotFound)
	}
	return r.counted(count, schema.CommentDeleted{
		PostID: d.PostID, CommentID: d.CommentID, DeletedBy: r.Actor.ID, CommentsCount: int(count),
	}, schema.PostRoom(d.PostID))
}
