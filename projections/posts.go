package projections

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"roomlog/schema"
)

// head is a row of posts: what every act upon a post looks at. It stays when the
// post is deleted, so that its id still works as a cursor.
type head struct {
	fate             fate
	seq              uint64
	comments, shares uint64
	author           []byte
}

func (h head) encode(b []byte) []byte {
	b = append(b, byte(h.fate))
	b = binary.AppendUvarint(b, h.seq)
	b = binary.AppendUvarint(b, h.comments)
	b = binary.AppendUvarint(b, h.shares)
	return append(b, h.author...)
}

func decodeHead(row []byte) head {
	f := fields{row}
	return head{fate(f.uint()), f.uint(), f.uint(), f.uint(), f.rest}
}

func (h head) describe() Fields {
	return Fields{{"fate", h.fate.String()}, {"seq", h.seq}, {"author", string(h.author)}, {"comments", h.comments}, {"shares", h.shares}}
}

func marker(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// body is a row of bodies: what a post says.
type body struct {
	created, updated schema.Time // updated 0: never
	content          string
	hashtags         []string
	media            []byte // JSON list, "" for none
}

func (p body) encode(b []byte) []byte {
	b = appendTime(b, p.created)
	b = appendTime(b, p.updated)
	b = appendText(b, p.content)
	b = binary.AppendUvarint(b, uint64(len(p.hashtags)))
	for _, tag := range p.hashtags {
		b = appendText(b, tag)
	}
	return append(b, p.media...)
}

func decodeBody(row []byte) body {
	f := fields{row}
	p := body{created: f.time(), updated: f.time(), content: f.text()}
	p.hashtags = []string{}
	for n := f.uint(); n > 0; n-- {
		p.hashtags = append(p.hashtags, f.text())
	}
	p.media = f.rest
	return p
}

func (p body) describe() Fields {
	return append(Fields{{"created", p.created}}.at("updated", p.updated),
		Field{"content", p.content}, Field{"hashtags", p.hashtags}).json("media", p.media)
}

// post returns the head of a post that is there.
func (f *feeds) post(id string) (h head, ok bool) {
	row := f.posts.get([]byte(id))
	if row == nil {
		return head{}, false
	}
	h = decodeHead(row)
	return h, h.fate == there
}

func (f *feeds) setPost(id string, h head) { f.posts.put([]byte(id), h.encode(f.posts.blank())) }

func (f *feeds) createPost(r *record, d *schema.PostCreate) (verdict, error) {
	if f.posts.has([]byte(r.ID)) {
		return verdict{}, fmt.Errorf("the post id %s is taken", r.ID)
	}
	b := body{created: r.Time, content: d.Content, hashtags: list(d.Hashtags)}
	if len(d.Media) > 0 {
		var err error
		if b.media, err = json.Marshal(d.Media); err != nil {
			return verdict{}, err
		}
	}
	f.setPost(r.ID, head{seq: r.Seq, author: []byte(r.Actor.ID)})
	f.bodies.put(seqKey(r.Seq), b.encode(f.bodies.blank()))
	f.timelines.put(place(r.Actor.ID, r.Seq), timelineEntry{postID: r.ID}.encode(f.timelines.blank()))
	f.countPosts(r.Actor.ID, 1)
	return f.created(r, d), nil
}

func (f *feeds) postCreated(r *record, d *schema.PostCreate, _ uint64) verdict {
	if _, ok := f.post(r.ID); !ok {
		return void(schema.PostNotFound)
	}
	return f.created(r, d)
}

func (f *feeds) created(r *record, d *schema.PostCreate) verdict {
	v := r.applied(schema.PostCreated{Post: schema.Post{
		ID: r.ID, Author: r.Actor, Content: d.Content, Media: list(d.Media), Hashtags: list(d.Hashtags), CreatedAt: r.Time,
	}}, schema.UserRoom(r.Actor.ID))
	v.followersOf = r.Actor.ID
	return v
}

// list makes JSON show an empty list as [] instead of null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func (f *feeds) updatePost(r *record, d *schema.PostUpdate) (verdict, error) {
	h, ok := f.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound), nil
	}
	key := seqKey(h.seq)
	b := decodeBody(f.bodies.get(key))
	b.content, b.hashtags, b.updated = d.Content, list(d.Hashtags), r.Time
	f.bodies.put(key, b.encode(f.bodies.blank()))
	return f.postUpdated(r, d, 0), nil
}

func (f *feeds) postUpdated(r *record, d *schema.PostUpdate, _ uint64) verdict {
	if _, ok := f.post(d.PostID); !ok {
		return void(schema.PostNotFound)
	}
	return r.applied(schema.PostUpdated{PostID: d.PostID, Content: d.Content, Hashtags: list(d.Hashtags), UpdatedAt: r.Time},
		schema.PostRoom(d.PostID), schema.UserRoom(r.Actor.ID))
}

// deletePost takes the post away. Its comments, shares and likes are left where
// they are: nothing leads to them any more, and there may be a million of them.
func (f *feeds) deletePost(r *record, d *schema.PostRef) (verdict, error) {
	h, ok := f.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound), nil
	}
	f.bodies.remove(seqKey(h.seq))
	f.timelines.remove(place(string(h.author), h.seq))
	f.countPosts(string(h.author), -1)
	f.setPost(d.PostID, head{fate: deleted, seq: h.seq})
	return f.postDeleted(r, d, 0), nil
}

func (f *feeds) postDeleted(r *record, d *schema.PostRef, _ uint64) verdict {
	v := r.applied(schema.PostDeleted{PostID: d.PostID, AuthorID: r.Actor.ID}, schema.PostRoom(d.PostID), schema.UserRoom(r.Actor.ID))
	v.closed = true
	return v
}

func (f *feeds) postsOf(user string) uint64 {
	row := f.authors.get([]byte(user))
	if row == nil {
		return 0
	}
	r := fields{row}
	return r.uint()
}

func (f *feeds) countPosts(user string, by int) {
	f.authors.put([]byte(user), binary.AppendUvarint(f.authors.blank(), f.postsOf(user)+uint64(by)))
}
