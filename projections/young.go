package projections

import (
	"encoding/binary"

	"roomlog/schema"
)

// young has the answers that a load has given and not forgotten, in the order in which
// they were given. Nearly all of them are forgotten a day later, before they are written:
// so they are kept one behind the other, not as rows that are found by their keys, and
// found only when there may be a retry. They are those of the queue from base on; the
// rest of it, and who heads it, is in the tables of keys.
type young struct {
	on      bool
	base    uint64 // number in the queue of the first of given
	given   []given
	text    []byte // their keys and answers
	skipped int    // bytes of text before that of given[0]

	index   map[uint64]uint64 // hash of a key → number of the last one given for it, up to indexed
	indexed uint64
}

// given is one of them.
type given struct {
	hash        uint64 // of its key
	at          schema.Time
	seq         uint64
	key, answer uint32 // lengths
	from        int    // where it begins in young.text, with what was skipped
}

const givenSize = 48

func (y *young) size() int { return cap(y.given)*givenSize + cap(y.text) }

// reset empties it. On says whether it is to be used from number next on.
func (y *young) reset(on bool, next uint64) { *y = young{on: on, base: next, indexed: next} }

func (y *young) next() uint64 { return y.base + uint64(len(y.given)) }

// sync has it be what the clock says, which may have been taken back.
func (y *young) sync(head, tail uint64) {
	if tail < y.next() {
		y.given = y.given[:tail-y.base]
		if y.indexed > tail {
			y.index = nil
		}
	}
	if n := int(head) - int(y.base); n > len(y.given)/2 && n > 1024 { // all that was given so far is moved once
		y.text = append(y.text[:0], y.text[y.from(n)-y.skipped:]...)
		y.skipped = y.from(n)
		y.given = append(y.given[:0], y.given[n:]...)
		y.base += uint64(n)
		y.indexed = max(y.indexed, y.base)
	}
}

// from returns where the nth begins.
func (y *young) from(n int) int {
	if n < len(y.given) {
		return y.given[n].from
	}
	return y.skipped + len(y.text)
}

func (y *young) of(number uint64) *given { return &y.given[number-y.base] }

func (y *young) keyOf(g *given) []byte {
	return y.text[g.from-y.skipped:][:g.key]
}

func (y *young) answerOf(g *given) []byte {
	return y.text[g.from-y.skipped+int(g.key):][:g.answer]
}

// add adds the next one.
func (y *young) add(hash uint64, key []byte, a answer) {
	g := given{hash: hash, at: a.at, seq: a.seq, key: uint32(len(key)), from: y.from(len(y.given))}
	y.text = append(y.text[:g.from-y.skipped], key...)
	before := len(y.text)
	y.text = a.encode(y.text)
	g.answer = uint32(len(y.text) - before)
	y.given = append(y.given, g)
}

// find returns the last answer that was given for a key, from number head on, nil for
// none.
func (y *young) find(head uint64, hash uint64, key []byte) []byte {
	if y.index == nil || len(y.index) > 2*len(y.given)+1024 { // or most of it is forgotten
		y.index, y.indexed = map[uint64]uint64{}, max(head, y.base)
	}
	for ; y.indexed < y.next(); y.indexed++ {
		y.index[y.of(y.indexed).hash] = y.indexed
	}
	number, ok := y.index[hash]
	if !ok || number < max(head, y.base) {
		return nil
	}
	for ; ; number-- { // as a rule, this one
		if g := y.of(number); g.hash == hash && string(y.keyOf(g)) == string(key) {
			return y.answerOf(g)
		}
		if number == max(head, y.base) {
			return nil
		}
	}
}

// begin has what is given from now on kept in young, unless it is already.
func (k *keys) begin() {
	if !k.young.on {
		_, _, tail := clockIn(k.clock.get(clockRow))
		k.young.reset(true, tail)
	}
}

// keep has the tables take what there is from number head on.
func (k *keys) keep() {
	y := &k.young
	if !y.on {
		return
	}
	_, head, tail := clockIn(k.clock.get(clockRow))
	y.sync(head, tail)
	for number := max(head, y.base); number < tail; number++ {
		g := y.of(number)
		k.answers.put(y.keyOf(g), y.answerOf(g))
		k.enqueue(number, g.at, g.seq, y.keyOf(g))
		k.answers.batch.settle()
	}
	y.reset(true, tail)
}

// enqueue puts an answer at the end of the queue.
func (k *keys) enqueue(number uint64, at schema.Time, seq uint64, key []byte) {
	item := appendTime(k.queue.blank(), at)
	item = binary.AppendUvarint(item, seq)
	k.queue.put(seqKey(number), append(item, key...))
}
