package projections

import (
	"strings"

	"roomlog/eventlog"
)

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
			h := &r.hashes
			seen := s.graph.users.touch(rows, h.actor)
			switch {
			case h.post != 0:
				seen += s.feeds.posts.touch(rows, h.post) + s.likes.posts.touch(rows, h.post)
			case h.conversation != 0:
				seen += s.conversations.heads.touch(rows, h.conversation) + s.conversations.rosters.touch(rows, h.conversation) +
					s.conversations.members.touch(rows, h.member)
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
			h := &r.hashes
			seen := s.notifications.users.touch(rows, h.actor) + s.presence.lastSeen.touch(rows, h.actor) +
				s.history.names.touch(rows, h.actorName) + s.history.names.touch(rows, h.entityName)
			if h.conversation != 0 {
				seen += s.notifications.messages.touch(rows, h.conversation)
			}
			s.second.seen += seen
		}
	}
}

// touch has the first slot in the caches at which a hash is looked for or, once that is
// there, the row that it points to: where that begins, and the line behind, which mostly
// is where its value does.
func (b *buffer) touch(rows bool, hash uint64) uint64 {
	if b.taken == 0 {
		return 0
	}
	s := b.slots[b.home(hash)]
	if !rows || s == 0 || !s.may(hash) {
		return uint64(s)
	}
	data := b.at(s.row())
	return uint64(data[atFlags]) + uint64(data[min(cacheLine, len(data)-1)])
}

// cacheLine is how many bytes the caches of x86-64 and most of arm64 fetch at a time.
const cacheLine = 64

// hashes are those of the keys that are looked up ahead. They are made as the record is
// decoded, which another goroutine does.
type hashes struct {
	actor, answer, post, conversation, member uint64 // 0 for none
	actorName, entityName                     uint64 // of their open chunks in the history
}

func hashesOf(r *eventlog.Record) (h hashes) {
	h.actor = hashOf([]byte(r.Actor.ID))
	if r.Key != "" {
		h.answer = hashOf(pair(r.Actor.ID, r.Key))
	}
	switch kind, id, _ := strings.Cut(r.Entity, ":"); kind {
	case "post":
		h.post = hashOf([]byte(id))
	case "conversation":
		h.conversation, h.member = hashOf([]byte(id)), hashOf(pair(r.Actor.ID, id))
	}
	h.actorName, h.entityName = hashOf(place("user:"+r.Actor.ID, openChunk)), hashOf(place(r.Entity, openChunk))
	return h
}
