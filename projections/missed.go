package projections

import (
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// maxListeners is how many lists of the history are read for one who resumes: the
// rooms, those whom they follow, and their conversations.
const maxListeners = 20_000

// Missed is what a user was not told.
type Missed struct {
	Seqs []uint64 // places in the log, in order
	// Notified are those of Seqs of which the user was told a notification alone.
	Notified map[uint64]bool
}

// Missed returns the places after one, up to another (at most v.Seq), of the
// records that a socket of the user was told of, or would have been had it been
// there: in the rooms named, as a follower, and as a participant. It goes by what
// the user may hear now: the rooms must be those that they may enter. ok is false
// when there are more than limit, or more lists to read than is allowed.
func (v *View) Missed(user string, rooms []string, after, upTo uint64, limit int) (m Missed, ok bool) {
	var seqs []uint64
	lists := 0
	add := func(name string, reason, from uint64) bool {
		if lists++; lists > maxListeners {
			return false
		}
		for seq := range v.state.history.seqs(name, reason, from) {
			if seq > upTo {
				return true
			}
			if seqs = append(seqs, seq); len(seqs) > 2*limit+chunkLength {
				if seqs = unique(seqs); len(seqs) > limit {
					return false
				}
			}
		}
		return true
	}
	from := after + 1
	for _, room := range rooms {
		since := from
		if typ, id, _ := schema.ParseRoom(room); typ == "conversation" {
			m, ok := v.state.conversations.membership(user, id)
			if !ok {
				continue
			}
			since = max(from, m.since)
		}
		if !add(room, asRoom, since) {
			return Missed{}, false
		}
	}
	for followed, since := range v.withPlaces(&v.state.graph.following, user) {
		if !add(schema.UserRoom(followed), asAudience, max(from, since+1)) {
			return Missed{}, false
		}
	}
	for id, m := range v.state.conversations.of(user) {
		if !add(schema.ConversationRoom(id), asAudience, max(from, m.since)) {
			return Missed{}, false
		}
	}
	seqs = unique(seqs)
	told := seqs
	for seq := range v.state.history.seqs(schema.UserRoom(user), asRecipient, from) {
		if seq > upTo || len(seqs) > limit {
			break
		}
		if _, found := slices.BinarySearch(told, seq); !found {
			if m.Notified == nil {
				m.Notified = make(map[uint64]bool)
			}
			m.Notified[seq] = true
			seqs = append(seqs[:len(seqs):len(seqs)], seq)
		}
	}
	slices.Sort(seqs)
	m.Seqs = seqs
	return m, len(seqs) <= limit
}

func unique(seqs []uint64) []uint64 {
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

// Retell returns what the rooms of a record were told when it was applied, as far
// as they may still be told: nothing of what is gone since. Whom a socket of the
// result's rooms and audience stands for is the caller's to know: Missed listed it.
func (v *View) Retell(r eventlog.Record) (Push, bool) {
	rec := decode(r)
	if rec.err != nil || v.Outcome(r.Seq) != "" {
		return Push{}, false
	}
	told := rec.home.tell(v.state, &rec, v.state.history.count(r.Seq))
	if told.Code != "" {
		return Push{}, false
	}
	// A receipt may have been for fewer rooms then.
	told.rooms = slices.DeleteFunc(told.rooms, func(room string) bool { return !v.state.history.has(room, asRoom, r.Seq) })
	p, err := v.state.push(&rec, &told)
	return p, err == nil
}
