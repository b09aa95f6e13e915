package projections

import (
	"encoding/binary"

	"roomlog/schema"
)

// presence is when users were last seen, as far as facts tell. Who is online is
// not in the log.
type presence struct {
	lastSeen table // user → time of their latest applied fact
}

func (p *presence) seen(user string) (t schema.Time, ok bool) {
	return timeIn(p.lastSeen.get([]byte(user)))
}

func timeIn(row []byte) (t schema.Time, ok bool) {
	if row == nil {
		return 0, false
	}
	f := fields{row}
	return f.time(), true
}

func (p *presence) observe(r *record, v *verdict) error {
	if v.Code != "" {
		return nil
	}
	// Times of records from several gateways need not ascend.
	at := p.lastSeen.hold(r.hashes.actor, []byte(r.Actor.ID), binary.MaxVarintLen64)
	if last, ok := timeIn(p.lastSeen.value(at)); !ok || r.Time > last {
		p.lastSeen.write(at, appendTime(p.lastSeen.blank(), r.Time))
	}
	return nil
}
