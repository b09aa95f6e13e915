package projections

import (
	"encoding/binary"
	"iter"
	"math"
	"strings"

	"roomlog/schema"
)

// history is the auditor's index and that of resume: what the log says about a
// name, which is an entity or a room ("post:01J…", "user:alice"), or the actor
// under the name of their own room.
//
// A name's places stand in chunks of chunkLength. Full ones are under the name and
// their last place, the open one is under the name and the highest place there
// is; so records that name the same thing cost one row between them, and what a
// chunk holds never depends on how records were batched.
type history struct {
	names table // name, last place of the chunk → chunk
	voids table // place → code of a record that was not applied

	counts table // place → the count that the push of the record carried
}

// chunkLength bounds what one record rewrites: some 200 bytes.
const chunkLength = 64

// openChunk is the key's place of the chunk that is still filling.
const openChunk = math.MaxUint64

// Why a record is listed under a name; several may hold.
const (
	asActor = 1 << iota
	asEntity
	asRoom
	asAudience  // its followers or participants were told, each in their own room
	asRecipient // got a notification of it, and may have been told nothing else
	reasonBits  = iota
)

// mention is one entry of a chunk.
type mention struct {
	seq    uint64
	reason uint64
}

// A chunk is its length, its last place, and for each entry the distance from the
// one before (the first: from 0), shifted, with the reasons below.

func (h *history) add(name string, m mention) {
	key := place(name, openChunk)
	row := h.names.get(key)
	if row == nil {
		h.names.put(key, appendMention(h.names.blank(), nil, m))
		return
	}
	chunk := appendMention(h.names.blank(), row, m)
	if chunk[0] < chunkLength {
		h.names.put(key, chunk)
		return
	}
	h.names.put(place(name, m.seq), chunk)
	h.names.remove(key)
}

// appendMention appends to dst the chunk old with m added; old nil: a new one.
func appendMention(dst, old []byte, m mention) []byte {
	var length byte
	var last uint64
	f := fields{old}
	if old != nil {
		length, last = byte(f.uint()), f.uint()
	}
	dst = append(dst, length+1)
	dst = binary.AppendUvarint(dst, m.seq)
	dst = append(dst, f.rest...)
	return binary.AppendUvarint(dst, (m.seq-last)<<reasonBits|m.reason)
}

func eachMention(chunk []byte) iter.Seq[mention] {
	return func(yield func(mention) bool) {
		f := fields{chunk}
		f.uint()
		f.uint()
		seq := uint64(0)
		for len(f.rest) > 0 {
			n := f.uint()
			seq += n >> reasonBits
			if !yield(mention{seq, n & (1<<reasonBits - 1)}) {
				return
			}
		}
	}
}

func chunkKeyFields(key []byte) Fields {
	f := Fields{{"name", placeOwner(key)}}
	if last := seqOf(key); last != openChunk {
		f = append(f, Field{"upToSeq", last})
	}
	return f
}

// chunkRow says of a chunk how many places it holds, and of the last one why it is
// listed: who wants them all asks for the history of the name.
func chunkRow(_, row []byte) Fields {
	f := fields{row}
	length, lastSeq := f.uint(), f.uint()
	var last mention
	for m := range eachMention(row) {
		last = m
	}
	why := []string{}
	for i, name := range [reasonBits]string{"actor", "entity", "room", "audience", "recipient"} {
		if last.reason&(1<<i) != 0 {
			why = append(why, name)
		}
	}
	return Fields{{"records", length}, {"lastSeq", lastSeq}, {"as", why}}
}

// seqs yields the places at or after from that are listed under name for reason.
func (h *history) seqs(name string, reason, from uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, chunk := range h.names.scan(owned(name), place(name, from)) {
			for m := range eachMention(chunk) {
				if m.seq >= from && m.reason&reason != 0 && !yield(m.seq) {
					return
				}
			}
		}
	}
}

// has reports whether a place is listed under name for reason.
func (h *history) has(name string, reason, seq uint64) bool {
	for at := range h.seqs(name, reason, seq) {
		return at == seq
	}
	return false
}

// observe lists every record, void ones too: an auditor wants to see them.
func (h *history) observe(r *record, v *verdict) error {
	if v.Code != "" {
		h.voids.put(seqKey(r.Seq), []byte(v.Code))
	}
	if v.count != 0 {
		h.counts.put(seqKey(r.Seq), binary.AppendUvarint(h.counts.blank(), v.count))
	}
	var listed [6]struct {
		name   string
		reason uint64
	}
	names := listed[:0]
	list := func(name string, reason uint64) {
		// A foreign record may hold any text; a zero byte would make it part of
		// another name's list.
		if name == "" || len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
			return
		}
		for i := range names {
			if names[i].name == name {
				names[i].reason |= reason
				return
			}
		}
		names = append(names, struct {
			name   string
			reason uint64
		}{name, reason})
	}
	if r.Actor.ID != "" {
		list(schema.UserRoom(r.Actor.ID), asActor)
	}
	list(r.Entity, asEntity)
	if v.Code == "" {
		for _, room := range v.rooms {
			list(room, asRoom)
		}
		if v.followersOf != "" {
			list(schema.UserRoom(v.followersOf), asAudience)
		}
		for _, user := range v.recipients {
			list(schema.UserRoom(user), asRecipient)
		}
		if v.participantsOf != "" {
			list(schema.ConversationRoom(v.participantsOf), asAudience)
		}
	}
	for _, n := range names {
		h.add(n.name, mention{r.Seq, n.reason})
	}
	return nil
}

// maxName is longer than any name of a valid record and well within bbolt's keys.
const maxName = 256

func (h *history) count(seq uint64) uint64 {
	row := h.counts.get(seqKey(seq))
	if row == nil {
		return 0
	}
	f := fields{row}
	return f.uint()
}

func (h *history) code(seq uint64) schema.Code {
	return schema.Code(h.voids.get(seqKey(seq)))
}
