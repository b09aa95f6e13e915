package projections

import (
	"iter"
	"slices"

	"roomlog/eventlog"
	"roomlog/schema"
)

// maxListeners is how many lists of the history are read for one who resumes: the
// rooms, those whom they follow, and their conversations.
const maxListeners = 20_000

// Missed returns the places after one, up to another (at most v.Seq), of the
// records that a socket of the user was told of, or would have been had it been
// there: in the rooms named, as a follower, and as a participant. It goes by what
// the user may hear now: the rooms must be those that they may enter. ok is false
// when there are more than limit, or more lists to read than is allowed.
func (v *View) Missed(user string, rooms []string, after, upTo uint64, limit int) (seqs []uint64, ok bool) {
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
			return nil, false
		}
	}
	for followed, since := range v.following(user) {
		if !add(schema.UserRoom(followed), asAudience, max(from, since+1)) {
			return nil, false
		}
	}
	for id, m := range v.state.conversations.of(user) {
		if !add(schema.ConversationRoom(id), asAudience, max(from, m.since)) {
			return nil, false
		}
	}
	seqs = unique(seqs)
	return seqs, len(seqs) <= limit
}

func unique(seqs []uint64) []uint64 {
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

// following yields whom a user follows, with the place of the follow.
func (v *View) following(user string) iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		prefix := owned(user)
		for key, row := range v.state.graph.following.scan(prefix, prefix) {
			if !yield(string(key[len(prefix):]), seqOf(row)) {
				return
			}
		}
	}
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
