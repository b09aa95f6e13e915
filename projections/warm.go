package projections

import "strings"

// warmGroup is how many records are looked up ahead: their rows fit in the first cache
// together, and there are enough of them to keep memory busy.
const warmGroup = 16

// warm looks up the rows by which records will be decided, of a few records at a time. In
// a load nearly every look-up misses the caches. One that is decided waits for each miss
// in turn, while here none depends on another one, so that the processor has many of them
// under way at once (group prefetching: Chen, Ailamaki, Gibbons and Mowry, "Improving Hash
// Join Performance through Prefetching", 2004). It changes nothing, and need not be right.
func (s *state) warm(records []record) {
	for _, rows := range [...]bool{false, true} {
		for i := range records {
			r := &records[i]
			seen := s.graph.users.touch(rows, []byte(r.Actor.ID))
			switch kind, id, _ := strings.Cut(r.Entity, ":"); kind {
			case "post":
				seen += s.feeds.posts.touch(rows, []byte(id)) + s.likes.posts.touch(rows, []byte(id))
			case "conversation":
				seen += s.conversations.heads.touch(rows, []byte(id)) + s.conversations.rosters.touch(rows, []byte(id)) +
					s.conversations.members.touch(rows, pair(r.Actor.ID, id))
			}
			s.first.seen += seen
		}
	}
}

// warmSecond is warm for the rows of the second crew.
func (s *state) warmSecond(records []record) {
	for _, rows := range [...]bool{false, true} {
		for i := range records {
			r := &records[i]
			seen := s.notifications.users.touch(rows, []byte(r.Actor.ID)) + s.presence.lastSeen.touch(rows, []byte(r.Actor.ID)) +
				s.history.names.touch(rows, place("user:"+r.Actor.ID, openChunk)) + s.history.names.touch(rows, place(r.Entity, openChunk))
			if r.Key != "" {
				seen += s.keys.answers.touch(rows, pair(r.Actor.ID, r.Key))
			}
			if id, ok := strings.CutPrefix(r.Entity, "conversation:"); ok {
				seen += s.notifications.messages.touch(rows, []byte(id))
			}
			s.second.seen += seen
		}
	}
}

// touch has the first slot in the caches at which a key is looked for or, once that is
// there, its row, if the buffer has it.
func (t *table) touch(rows bool, key []byte) uint64 {
	switch hash := hashOf(key); {
	case t.taken == 0:
		return 0
	case rows:
		return uint64(t.row(hash, key))
	default:
		return uint64(t.slots[t.home(hash)])
	}
}
