package realtime

import (
	"cmp"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/schema"
)

// notificationFacts are the facts of /notifications, about one's own.
var notificationFacts = map[string]command{
	"notification:read":     fact(func(r *eventlog.Record, p *schema.NotificationRef) { r.Entity = "notification:" + p.NotificationID }),
	"notification:delete":   fact(func(r *eventlog.Record, p *schema.NotificationRef) { r.Entity = "notification:" + p.NotificationID }),
	"notification:read-all": act(readAll),
}

// none is an id that comes before every notification's.
const none = "00000000000000000000000000"

// readAll fills in the newest notification that the client could see, so that the
// record means the same in any replay: what comes before it in the log but after
// this look stays unread.
func readAll(s *session, c *call, p *schema.NotificationReadAll) {
	if p.UpTo == "" {
		s.waitForFacts()
		err := s.server.cfg.Models.View(func(v *projections.View) error {
			p.UpTo, p.Newest = cmp.Or(v.NewestNotification(s.userID()), none), true
			return nil
		})
		if err != nil {
			c.failWith(err)
			return
		}
	}
	event, _ := schema.Lookup(c.event)
	s.submit(c, event, p, func(r *eventlog.Record, _ any) { r.Entity = schema.UserRoom(r.Actor.ID) })
}

// notificationQueries are the queries of /notifications.
var notificationQueries = map[string]command{
	"notification:get-count": query(func(s *session, v *projections.View, _ *schema.Empty) (any, error) {
		return schema.NotificationCount{Count: v.UnreadNotifications(s.userID())}, nil
	}),
	"notification:list": query(func(s *session, v *projections.View, q *schema.NotificationList) (any, error) {
		return v.Notifications(s.userID(), *q)
	}),
}
