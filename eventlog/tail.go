package eventlog

import "sync"

// Limits of the durable records kept in memory. Followers that keep up are served
// from here, which costs a copy; the way through the server costs about 10 µs a
// record.
const (
	maxTail      = 8192
	maxTailBytes = 16 << 20
)

// tail is the durable end of the log: the durable sequence and the newest records
// before it, in sequence without gaps.
type tail struct {
	mu    sync.Mutex
	end   uint64        // the durable sequence
	moved chan struct{} // closed and made anew when end moves

	records [maxTail]Record // record of sequence s at s%maxTail
	from    uint64          // sequences from..to-1 are held
	to      uint64
	bytes   int
}

func newTail(durable uint64) *tail {
	return &tail{end: durable, moved: make(chan struct{}), from: durable + 1, to: durable + 1}
}

// advance moves the durable sequence to last; records are what the committer has
// in memory of it, in sequence.
func (t *tail) advance(records []Record, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		t.push(r)
	}
	if last > t.end {
		t.end = last
		close(t.moved)
		t.moved = make(chan struct{})
	}
}

func (t *tail) push(r Record) {
	if r.Seq < t.to {
		return // a repeat of what the log had already
	}
	if r.Seq > t.to {
		t.drop(t.to) // someone else's records stand between: they are read back
		t.from, t.to = r.Seq, r.Seq
	}
	for t.to-t.from == maxTail || t.to > t.from && t.bytes+size(r) > maxTailBytes {
		t.drop(t.from + 1)
	}
	t.records[r.Seq%maxTail] = r
	t.bytes += size(r)
	t.to++
}

// drop forgets the records before seq.
func (t *tail) drop(seq uint64) {
	for ; t.from < seq; t.from++ {
		t.bytes -= size(t.records[t.from%maxTail])
		t.records[t.from%maxTail] = Record{}
	}
}

// size is about what a record keeps in memory beside its slot.
func size(r Record) int {
	actor := len(r.Actor.ID) + len(r.Actor.Username) + len(r.Actor.Avatar)
	return len(r.origin) + len(r.Data) + actor + len(r.ID) + len(r.Entity) + len(r.Key) + 64
}

// read returns up to max records from sequence seq on, nil when the first of them
// is not held.
func (t *tail) read(seq uint64, max int) []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq < t.from || seq >= min(t.to, t.end+1) {
		return nil
	}
	n := int(min(uint64(max), min(t.to, t.end+1)-seq))
	out := make([]Record, n)
	at := copy(out, t.records[seq%maxTail:])
	copy(out[at:], t.records[:])
	return out
}

func (t *tail) durable() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// wait returns the durable sequence and a channel that is closed when it moves.
func (t *tail) wait() (uint64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end, t.moved
}
