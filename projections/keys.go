package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"roomlog/schema"
)

// keyTTL is how long a key is remembered, in milliseconds of log time: the
// highest record time seen so far, so that every node forgets at the same record.
const keyTTL = schema.Time(24 * 60 * 60 * 1000)

// expiriesPerRecord bounds the work of forgetting. A record adds at most one
// key, so two make up for any backlog.
const expiriesPerRecord = 2

// keys remembers the answers to commands that carried an idempotency key.
type keys struct {
	answers table // user, key → answer
	queue   table // number → when the answer of that key was given
	clock   table // one row: log time, the queue's head and tail

	young young // in a load: what is not in the tables yet
}

// answer is what a retry gets.
type answer struct {
	at     schema.Time // log time
	seq    uint64
	hash   [16]byte // of event and data
	result []byte
}

func (a answer) encode(b []byte) []byte {
	b = appendTime(b, a.at)
	b = binary.AppendUvarint(b, a.seq)
	b = append(b, a.hash[:]...)
	return append(b, a.result...)
}

func decodeAnswer(row []byte) answer {
	f := fields{row}
	a := answer{at: f.time(), seq: f.uint()}
	if len(f.rest) < len(a.hash) {
		panic(damage("a remembered answer is cut short"))
	}
	copy(a.hash[:], f.rest)
	a.result = f.rest[len(a.hash):]
	return a
}

// describe shows of the command its hash, by which a retry is told from another one.
func (a answer) describe() Fields {
	return Fields{{"at", a.at}, {"seq", a.seq}, {"hash", hex.EncodeToString(a.hash[:])}}.json("answer", a.result)
}

// commandHash is over what the client sent: what the gateway filled in for a retry
// may be something else than it was for the first try.
func commandHash(r *record) (h [16]byte) {
	data := r.Data
	if d, ok := r.data.(*schema.NotificationReadAll); ok && d.Newest {
		data = []byte("{}")
	}
	sum := sha256.New()
	sum.Write([]byte(r.Event))
	sum.Write([]byte{0})
	sum.Write(data)
	var all [sha256.Size]byte // on the stack, as sum is
	copy(h[:], sum.Sum(all[:0]))
	return h
}

// lookUp says whether the record repeats an earlier one.
func (k *keys) lookUp(r *record) verdict {
	now, head, tail := clockIn(k.clock.get(clockRow))
	row := k.answerTo(pair(r.Actor.ID, r.Key), head, tail)
	if row == nil {
		return verdict{}
	}
	first := decodeAnswer(row)
	switch {
	case first.at+keyTTL <= max(now, r.Time): // it is forgotten, or about to be
		return verdict{}
	case first.hash != r.command:
		return void(schema.KeyReused)
	}
	v := void(schema.DuplicateKey)
	v.FirstSeq = first.seq
	v.Result = append([]byte(nil), first.result...) // outlives the transaction
	return v
}

// answerTo returns the row of a key, nil for none.
func (k *keys) answerTo(key []byte, head, tail uint64) []byte {
	if k.young.on {
		k.young.sync(head, tail)
		if row := k.young.find(head, hashOf(key), key); row != nil {
			return row
		}
	}
	return k.answers.get(key)
}

// observe moves log time on, forgets what is due, and remembers the answer of an
// applied record.
func (k *keys) observe(r *record, v *verdict) error {
	clock := k.clock.hold(hashOf(clockRow), clockRow, 3*binary.MaxVarintLen64)
	before, first, next := clockIn(k.clock.value(clock))
	now := max(before, r.Time)
	if k.young.on {
		k.young.sync(first, next)
	}
	head, tail := k.forget(first, next, now), next
	if r.Key != "" && v.Code == "" {
		k.remember(r, v, now, tail)
		tail++
	}
	if now != before || head != first || tail != next {
		b := appendTime(k.clock.blank(), now)
		b = binary.AppendUvarint(b, head)
		k.clock.write(clock, binary.AppendUvarint(b, tail))
	}
	return nil
}

// forget forgets the answers at the head of the queue that are due, and returns where
// it begins then.
func (k *keys) forget(head, tail uint64, now schema.Time) uint64 {
	for end := min(tail, head+expiriesPerRecord); head < end; head++ {
		if k.young.on && head >= k.young.base {
			if k.young.of(head).at+keyTTL > now {
				break
			}
			continue
		}
		f := fields{k.queue.get(seqKey(head))}
		at, seq, key := f.time(), f.uint(), f.rest
		if at+keyTTL > now {
			break
		}
		// The key may have been given a new answer after this one was due.
		answer := k.answers.hold(hashOf(key), key, 0)
		if row := k.answers.value(answer); row != nil && decodeAnswer(row).seq == seq {
			k.answers.erase(answer)
		}
		k.queue.remove(seqKey(head))
	}
	return head
}

func (k *keys) remember(r *record, v *verdict, now schema.Time, tail uint64) {
	key := pair(r.Actor.ID, r.Key)
	a := answer{at: now, seq: r.Seq, hash: r.command, result: v.Result}
	if k.young.on {
		k.young.add(hashOf(key), key, a)
		return
	}
	k.answers.put(key, a.encode(k.answers.blank()))
	k.enqueue(tail, now, r.Seq, key)
}

var clockRow = []byte("clock")

// clockIn reads log time, and where the queue begins and ends.
func clockIn(row []byte) (now schema.Time, head, tail uint64) {
	if row == nil {
		return 0, 0, 0
	}
	f := fields{row}
	return f.time(), f.uint(), f.uint()
}

func queued(_, row []byte) Fields {
	f := fields{row}
	at, seq := f.time(), f.uint()
	return append(Fields{{"at", at}, {"seq", seq}}, pairs("user", "key")(f.rest)...)
}

func keyClock(_, row []byte) Fields {
	f := fields{row}
	return Fields{{"logTime", f.time()}, {"first", f.uint()}, {"next", f.uint()}}
}
