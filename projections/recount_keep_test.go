package projections

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"roomlog/eventlog"
)

// recountedID is the id of the notification that a record makes for a user: a ULID of
// the record's time, its place, the number of the type and 20 bits of a hash.
func recountedID(r eventlog.Record, kind, to string) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	n := slices.Index([]string{"", "like", "comment", "follow", "mention", "message", "friend_request"}, kind)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%c%s", r.ID, n, to))
	low := uint64(n)<<20 | uint64(sum[0]&15)<<16 | uint64(sum[1])<<8 | uint64(sum[2])
	id := r.ID[:10]
	for _, half := range []uint64{r.Seq >> 16, r.Seq<<48>>24 | low} {
		for shift := 35; shift >= 0; shift -= 5 {
			id += digits[half>>shift&31:][:1]
		}
	}
	return id
}

// keep forgets what users have too much of, the oldest first, as if they had deleted it.
func (m *recount) keep() {
	kept := map[string]int{}
	for _, n := range m.notes {
		if !n.gone && !n.deleted {
			kept[n.Recipient]++
		}
	}
	for user, n := range kept {
		for i := 0; n > 1500 || n > 1000 && kept[user] > 1500; i++ {
			if old := m.notes[i]; old.Recipient == user && !old.gone && !old.deleted {
				old.deleted = true
				n--
			}
		}
	}
}
