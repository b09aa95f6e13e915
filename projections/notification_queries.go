package projections

import (
	"iter"

	"roomlog/eventlog"
	"roomlog/schema"
)

// Notifications answers notification:list: the viewer's notifications, newest first.
// A cursor holds when its notification is gone.
func (v *View) Notifications(viewer string, q schema.NotificationList) (schema.Items[schema.Notification], error) {
	page := schema.Items[schema.Notification]{Items: []schema.Notification{}}
	before := item{seq: pastEnd, kind: 0xff}
	if q.Before != "" {
		var ok bool
		if before.seq, before.kind, ok = parseNotificationID(q.Before); !ok {
			return page, unknownCursor()
		}
	}
	limit := pageSize(q.Page)
	for it := range v.state.notifications.before(viewer, &before) {
		if !it.shown() || q.UnreadOnly && it.readAt != 0 {
			continue
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].ID
			break
		}
		page.Items = append(page.Items, it.show(v.actor(it.sender)))
	}
	return page, nil
}

// before yields the items of a user that come before a place and kind, newest first.
func (n *notifications) before(user string, bound *item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		awaited := n.awaitedBy(user, bound.seq)
		next := func() *item { return awaited[len(awaited)-1] }
		for len(awaited) > 0 && bySeq(next(), bound) >= 0 {
			awaited = awaited[:len(awaited)-1]
		}
		yieldAfter := func(bound *item) bool {
			for ; len(awaited) > 0 && bySeq(next(), bound) > 0; awaited = awaited[:len(awaited)-1] {
				if !yield(next()) {
					return false
				}
			}
			return true
		}
		for key, row := range n.items.before(owned(user), itemKey(user, bound.seq, bound.kind)) {
			it := decodeItem(key, row)
			if !yieldAfter(it) || !yield(it) {
				return
			}
		}
		yieldAfter(&item{})
	}
}

// UnreadNotifications returns how many notifications a user has not read.
func (v *View) UnreadNotifications(user string) int {
	return int(v.state.notifications.mailbox(user).unread)
}

// NewestNotification returns the id of the user's newest notification, "" for none.
func (v *View) NewestNotification(user string) string {
	page, err := v.Notifications(user, schema.NotificationList{Page: schema.Page{Limit: 1}})
	if err != nil || len(page.Items) == 0 {
		return ""
	}
	return page.Items[0].ID
}

// NotesOf returns what a record made for a user and is still there.
func (v *View) NotesOf(user string, r eventlog.Record) (notes []schema.Notification) {
	n := &v.state.notifications
	show := func(it *item) {
		if it.seq == r.Seq && it.shown() {
			notes = append(notes, it.show(v.actor(it.sender)))
		}
	}
	prefix := place(user, r.Seq)
	for key, row := range n.items.scan(prefix, prefix) {
		show(decodeItem(key, row))
	}
	if r.Event == "message:send" {
		if d, ok := decode(r).data.(*schema.MessageSend); ok {
			if it := n.awaiting(user, d.ConversationID); it != nil {
				show(it)
			}
		}
	}
	return notes
}
