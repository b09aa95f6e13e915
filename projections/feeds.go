package projections

import "roomlog/schema"

// feeds is posts, comments, shares and the timelines of their authors. It is home
// to post:create, post:update, post:delete, post:share, post:comment,
// comment:update and comment:delete.
//
// Lists are in the order of the log, not of the ids: ids come from the gateways'
// clocks.
type feeds struct {
	posts        table // post id → head
	bodies       table // place of the post → body
	timelines    table // author, place → a post or a share of one
	authors      table // user → number of posts
	shares       table // share id → place, so that it works as a cursor
	sharers      table // place of the post, user → place of the share
	comments     table // place of the post, place → comment
	withheld     table // likewise → comment, while it is removed
	commentPlace table // comment id → whereabouts
}

// timelineEntry is a row of timelines: a post, or a share of one.
type timelineEntry struct {
	postID  string
	shareID string // "" for the post itself
	at      schema.Time
	content string // what the sharer said
}

func (e timelineEntry) encode(b []byte) []byte {
	if b = appendText(b, e.postID); e.shareID == "" {
		return b
	}
	b = appendText(b, e.shareID)
	b = appendTime(b, e.at)
	return appendText(b, e.content)
}

func decodeTimelineEntry(row []byte) timelineEntry {
	f := fields{row}
	e := timelineEntry{postID: f.text()}
	if len(f.rest) > 0 {
		e.shareID, e.at, e.content = f.text(), f.time(), f.text()
	}
	return e
}

func (e timelineEntry) describe() Fields {
	return Fields{{"post", e.postID}}.maybe("share", e.shareID).at("at", e.at).maybe("content", e.content)
}

func (f *feeds) share(r *record, d *schema.PostShare) (verdict, error) {
	h, ok := f.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound), nil
	}
	key := sharerKey(h.seq, r.Actor.ID)
	if f.sharers.has(key) {
		return void(schema.AlreadyShared), nil
	}
	e := timelineEntry{postID: d.PostID, shareID: r.ID, at: r.Time, content: d.Content}
	h.shares++
	f.sharers.put(key, seqKey(r.Seq))
	f.shares.put([]byte(r.ID), seqKey(r.Seq))
	f.timelines.put(place(r.Actor.ID, r.Seq), e.encode(f.timelines.blank()))
	v := f.sharedOf(r, d, string(h.author), h.shares)
	f.setPost(d.PostID, h)
	return v, nil
}

func (f *feeds) shared(r *record, d *schema.PostShare, count uint64) verdict {
	h, ok := f.post(d.PostID)
	if !ok {
		return void(schema.PostNotFound)
	}
	return f.sharedOf(r, d, string(h.author), count)
}

func (f *feeds) sharedOf(r *record, d *schema.PostShare, author string, count uint64) verdict {
	return r.counted(count, schema.PostShared{
		PostID: d.PostID, UserID: r.Actor.ID, Username: r.Actor.Username, SharesCount: int(count),
	}, r.postRoom(d.PostID), schema.UserRoom(author)).butApartFrom(r.Actor.ID)
}

func sharerKey(post uint64, user string) []byte { return by(post, user) }

// placeOf returns the place of a post or share, of a deleted one too.
func (f *feeds) placeOf(id string) (seq uint64, ok bool) {
	if row := f.posts.get([]byte(id)); row != nil {
		return decodeHead(row).seq, true
	}
	if row := f.shares.get([]byte(id)); row != nil {
		return seqOf(row), true
	}
	return 0, false
}
