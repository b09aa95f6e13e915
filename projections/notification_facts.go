package projections

import "roomlog/schema"

// theNotification is one of the actor's own: schema's permissions have seen to it,
// for a notification that is there.
func (n *notifications) markRead(r *record, d *schema.NotificationRef) (verdict, error) {
	it := n.find(r.Actor.ID, d.NotificationID)
	switch {
	case it == nil:
		return void(schema.NotificationNotFound), nil
	case it.readAt != 0:
		return void(schema.AlreadyRead), nil
	}
	m := n.mail(r)
	m.meet(r.Actor)
	m.read(it)
	return m.done(n.wasRead(r, d, 0)), nil
}

func (n *notifications) wasRead(r *record, d *schema.NotificationRef, _ uint64) verdict {
	return r.applied(schema.NotificationRead{NotificationID: d.NotificationID, ReadAt: r.Time}, schema.UserRoom(r.Actor.ID))
}

// markAllRead reads everything up to a notification's place, which its id holds: so
// what came between the client's look and this record stays unread.
func (n *notifications) markAllRead(r *record, d *schema.NotificationReadAll) (verdict, error) {
	upTo, _, ok := parseNotificationID(d.UpTo)
	if !ok || upTo >= r.Seq {
		return void(schema.NotificationNotFound), nil
	}
	m := n.mail(r)
	m.meet(r.Actor)
	for _, it := range m.of(r.Actor.ID) {
		if it.seq <= upTo && it.readAt == 0 {
			m.read(it)
		}
	}
	return m.done(n.wereRead(r, d, 0)), nil
}

func (n *notifications) wereRead(r *record, _ *schema.NotificationReadAll, _ uint64) verdict {
	return r.applied(schema.NotificationsRead{UserID: r.Actor.ID, ReadAt: r.Time}, schema.UserRoom(r.Actor.ID))
}

func (n *notifications) remove(r *record, d *schema.NotificationRef) (verdict, error) {
	it := n.find(r.Actor.ID, d.NotificationID)
	if it == nil {
		return void(schema.NotificationNotFound), nil
	}
	m := n.mail(r)
	m.meet(r.Actor)
	m.drop(it)
	return m.done(n.wasRemoved(r, d, 0)), nil
}

func (n *notifications) wasRemoved(r *record, d *schema.NotificationRef, _ uint64) verdict {
	return r.applied(schema.NotificationDeleted{NotificationID: d.NotificationID, DeletedBy: r.Actor.ID}, schema.UserRoom(r.Actor.ID))
}

func (m *mail) done(v verdict) verdict {
	v.notes = m.deliver()
	return v
}
