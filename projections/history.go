package projections

import (
	"bytes"
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

	mentioned []mentioned // by the record at work
	text      []byte      // the keys in it
}

// mentioned is a name that a record is listed under.
type mentioned struct {
	open   []byte // the key of its open chunk
	reason uint64
}

// chunkLength bounds what one record rewrites: some 200 bytes.
const chunkLength = 64

// newChunk is room for the first entries.
const newChunk = 32

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

// add adds to the chunk that is under an open key, which it may spoil.
func (h *history) add(open []byte, m mention) {
	at := h.names.hold(hashOf(open), open, newChunk)
	chunk := appendMention(h.names.blank(), h.names.value(at), m)
	if chunk[0] < chunkLength {
		h.names.write(at, chunk)
		return
	}
	h.names.erase(at)
	binary.BigEndian.PutUint64(open[len(open)-8:], m.seq)
	h.names.put(open, chunk)
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
	h.mentioned, h.text = h.mentioned[:0], h.text[:0]
	h.list("user:", r.Actor.ID, asActor)
	h.list("", r.Entity, asEntity)
	if v.Code == "" {
		for _, room := range v.rooms {
			h.list("", room, asRoom)
		}
		h.list("user:", v.followersOf, asAudience)
		for _, user := range v.recipients {
			h.list("user:", user, asRecipient)
		}
		h.list("conversation:", v.participantsOf, asAudience)
	}
	for _, n := range h.mentioned {
		h.add(n.open, mention{r.Seq, n.reason})
	}
	return nil
}

// list has the record at work listed under the name that is kind and id, unless id is
// empty. Names are made as the keys of their open chunks, in memory that is used again.
func (h *history) list(kind, id string, reason uint64) {
	// A foreign record may hold any text; a zero byte would make it part of
	// another name's list.
	if id == "" || len(kind)+len(id) > maxName || strings.IndexByte(id, 0) >= 0 {
		return
	}
	before := len(h.text)
	h.text = append(append(append(h.text, kind...), id...), 0)
	h.text = binary.BigEndian.AppendUint64(h.text, openChunk)
	open := h.text[before:]
	for i := range h.mentioned {
		if n := &h.mentioned[i]; bytes.Equal(n.open, open) {
			n.reason |= reason
			h.text = h.text[:before]
			return
		}
	}
	h.mentioned = append(h.mentioned, mentioned{open, reason})
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
