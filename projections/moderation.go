package projections

import (
	"encoding/binary"

	"roomlog/schema"
)

// moderation is what users reported and moderators decided. It is home to the
// facts of /admin; what is removed is kept aside by whose it is.
type moderation struct {
	suspensions table // user → when it ends, 0: never
	reports     table // report id → report
	lists       table // status, or status and type of target; place → report id
	waiting     table // reporter, target → id of their open report
	counts      table // status → number of reports, of open ones alone
}

// isSuspended reports whether a user is suspended at a time. A suspension ends by
// itself: nothing is written then.
func (m *moderation) isSuspended(user string, at schema.Time) bool {
	row := m.suspensions.get([]byte(user))
	if row == nil {
		return false
	}
	f := fields{row}
	until := f.time()
	return until == 0 || at < until
}

func suspensionRow(_, row []byte) Fields {
	return Fields{{"suspended", true}}.at("until", (&fields{row}).time())
}

func (m *moderation) observe(*record, *verdict) error { return nil }

// suspend puts the end of an earlier suspension out of force.
func (m *moderation) suspend(r *record, d *schema.AdminSuspend) (verdict, error) {
	if !schema.ValidUserID(d.UserID) {
		return void(schema.InvalidField), nil
	}
	var until schema.Time
	if d.Until != nil {
		if until = *d.Until; until <= r.Time {
			return void(schema.InvalidField), nil
		}
	}
	m.suspensions.put([]byte(d.UserID), appendTime(m.suspensions.blank(), until))
	v := m.userSuspended(r, d, 0)
	v.suspended = d.UserID
	return v, nil
}

func (m *moderation) userSuspended(r *record, d *schema.AdminSuspend, _ uint64) verdict {
	return r.applied(schema.UserSuspended{
		UserID: d.UserID, Until: d.Until, Reason: d.Reason, ModeratorID: r.Actor.ID, At: r.Time,
	}, schema.RoomAdmin)
}

func (m *moderation) reinstate(r *record, d *schema.AdminReinstate) (verdict, error) {
	if !m.isSuspended(d.UserID, r.Time) {
		return void(schema.NotSuspended), nil
	}
	m.suspensions.remove([]byte(d.UserID))
	return m.userReinstated(r, d, 0), nil
}

func (m *moderation) userReinstated(r *record, d *schema.AdminReinstate, _ uint64) verdict {
	return r.applied(schema.UserReinstated{
		UserID: d.UserID, Reason: d.Reason, ModeratorID: r.Actor.ID, At: r.Time,
	}, schema.RoomAdmin)
}

func (m *moderation) announce(r *record, d *schema.AdminAnnounce) (verdict, error) {
	return m.announced(r, d, 0), nil
}

func (m *moderation) announced(r *record, d *schema.AdminAnnounce, _ uint64) verdict {
	return r.applied(schema.Announcement{ID: r.ID, Author: r.Actor, Content: d.Content, CreatedAt: r.Time}, schema.RoomPublic)
}

// open returns how many reports are open.
func (m *moderation) open() uint64 {
	row := m.counts.get([]byte(schema.StatusOpen))
	if row == nil {
		return 0
	}
	f := fields{row}
	return f.uint()
}

func (m *moderation) countOpen(by int) {
	m.counts.put([]byte(schema.StatusOpen), binary.AppendUvarint(m.counts.blank(), m.open()+uint64(by)))
}
