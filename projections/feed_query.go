package projections

import (
	"bytes"
	"container/heap"

	bolt "go.etcd.io/bbolt"

	"roomlog/schema"
)

// Feed answers feed:get: what the viewer and those they follow posted and shared,
// newest first by place in the log. What is deleted, and what someone who blocks
// the viewer or is blocked by them wrote or shared, is left out. An item's id is
// its cursor, also when it is deleted later. A page ends early after very much of
// what is left out.
func (v *View) Feed(viewer string, q schema.Page) (schema.Items[schema.FeedItem], error) {
	bound, err := v.feedBound(q)
	if err != nil {
		return noItems(), err
	}
	authors := []string{viewer}
	prefix := owned(viewer)
	for key := range v.state.graph.following.scan(prefix, prefix) {
		authors = append(authors, string(key[len(prefix):]))
	}
	return v.merge(viewer, authors, bound, pageSize(q)), nil
}

// UserPosts answers user:posts: what one user posted and shared, as Feed does.
func (v *View) UserPosts(viewer string, q schema.UserPage) (schema.Items[schema.FeedItem], error) {
	if _, ok := v.state.graph.user(q.UserID); !ok {
		return noItems(), schema.NewError(schema.UserNotFound, "")
	}
	bound, err := v.feedBound(q.Page)
	if err != nil || v.state.graph.isBlocked(viewer, q.UserID) {
		return noItems(), err
	}
	return v.merge(viewer, []string{q.UserID}, bound, pageSize(q.Page)), nil
}

func noItems() schema.Items[schema.FeedItem] {
	return schema.Items[schema.FeedItem]{Items: []schema.FeedItem{}}
}

// feedBound returns the place that a page's items lie before.
func (v *View) feedBound(q schema.Page) (uint64, error) {
	if q.Before == "" {
		return pastEnd, nil
	}
	seq, ok := v.state.feeds.placeOf(q.Before)
	if !ok {
		return 0, unknownCursor()
	}
	return seq, nil
}

// merge takes a page from the authors' timelines before a place. Each timeline is
// read only as far as the page needs it.
func (v *View) merge(viewer string, authors []string, bound uint64, limit int) schema.Items[schema.FeedItem] {
	timelines := v.timelines(authors, bound)
	heap.Init(&timelines)
	page, last, out := noItems(), "", v.sieve(viewer)
	for len(timelines) > 0 {
		newest := timelines[0]
		item, shown := out.feedItem(newest.author, newest.entry)
		if out.ends(shown, len(page.Items) == limit) {
			page.Next = last
			break
		}
		if last = item.ID; shown {
			page.Items = append(page.Items, item)
		}
		if newest.next() {
			heap.Fix(&timelines, 0)
		} else {
			heap.Pop(&timelines)
		}
	}
	return page
}

// feedItem shows an entry of a timeline, unless it is of a post that is gone, or
// whose author a block keeps apart from the viewer: then only its id.
func (s *sieve) feedItem(author string, row []byte) (item schema.FeedItem, shown bool) {
	e := decodeTimelineEntry(row)
	if item.ID = e.postID; e.shareID != "" {
		item.ID = e.shareID
	}
	h, ok := s.state.feeds.post(e.postID)
	if !ok || s.hides(string(h.author)) {
		return item, false
	}
	item.Post = s.post(s.viewer, e.postID, h)
	if e.shareID != "" {
		item.SharedBy = new(s.actor(author))
		item.SharedAt = &e.at
		if e.content != "" {
			item.Comment = &e.content
		}
	}
	return item, true
}

// timeline stands at one entry of an author's timeline.
type timeline struct {
	author string
	prefix []byte
	cursor *bolt.Cursor
	seq    uint64
	entry  []byte
}

// timelines is a heap, the newest entry first.
type timelines []*timeline

func (h timelines) Len() int           { return len(h) }
func (h timelines) Less(i, j int) bool { return h[i].seq > h[j].seq }
func (h timelines) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timelines) Push(x any)        { *h = append(*h, x.(*timeline)) }
func (h *timelines) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	*h = (*h)[:last]
	return t
}

// timelines opens those that have an entry before a place, each at its newest.
func (v *View) timelines(authors []string, bound uint64) timelines {
	bucket := v.state.feeds.timelines.open()
	open := make(timelines, 0, len(authors))
	for _, author := range authors {
		t := &timeline{author: author, prefix: owned(author), cursor: bucket.Cursor()}
		if t.at(seekBefore(t.cursor, place(author, bound))) {
			open = append(open, t)
		}
	}
	return open
}

func (t *timeline) at(key, entry []byte) bool {
	if !bytes.HasPrefix(key, t.prefix) {
		return false
	}
	t.seq, t.entry = seqOf(key), entry
	return true
}

func (t *timeline) next() bool { return t.at(t.cursor.Prev()) }
