package projections

import "roomlog/schema"

// presence is when users were last seen, as far as facts tell. Who is online is
// not in the log.
type presence struct {
	lastSeen table // user → time of their latest applied fact
}

func (p *presence) seen(user string) (t schema.Time, ok bool) {
	row := p.lastSeen.get([]byte(user))
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
	if last, ok := p.seen(r.Actor.ID); !ok || r.Time > last {
		p.lastSeen.put([]byte(r.Actor.ID), appendTime(p.lastSeen.blank(), r.Time))
	}
	return nil
}
