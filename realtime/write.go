package realtime

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

// sendQueue holds the frames that wait to be written to one socket. Frames are
// encoded into one buffer as they come, so that everything queued goes out in
// one write. No goroutine waits for frames: the first frame into an empty queue
// starts one, at once or in its turn (writers.go), which ends when the queue is empty.
//
// All methods may be called concurrently; none waits for the network.
type sendQueue struct {
	conn    net.Conn
	limits  *Config
	heavy   *heavy          // shared by all queues
	flusher *sync.WaitGroup // counts the goroutine that writes

	mu      sync.Mutex
	queued  *buffer       // nil when nothing is queued
	waiting load          // queued or being written
	taken   load          // being written
	noted   int           // bytes of waiting that heavy counts
	pushes  uint64        // n of the last push
	began   int64         // Unix ms at which the write in progress began, 0: none
	writing bool          // a goroutine writes
	listed  bool          // somebody is to call start
	half    chan struct{} // closed when offer has room again; nil while nobody waits
	full    bool          // something had no room: nothing is taken until the caller seals the queue
	sealed  bool          // nothing more is taken: the close frame is queued, or the socket gone
	hangUp  bool          // close the connection, not only our side, when all is written
}

// lightQueue is so many bytes that what most sockets have queued at any time is less:
// with less, a queue is none of the heavy ones.
const lightQueue = 16 << 10

// heavy is what waits in the queues of all sockets, but for less than lightQueue in
// each: together they hold at most Config.MaxQueuedBytesInAll. No queue may have more
// than is left for everybody: the slowest sockets are found too slow first, and the
// more of them there are the sooner.
type heavy struct{ bytes atomic.Int64 }

func (h *heavy) share(limits *Config) int { return limits.MaxQueuedBytesInAll - int(h.bytes.Load()) }

// load is an amount of frames; pushes are some of them.
type load struct{ frames, pushes, bytes int }

func (l *load) add(frames, pushes, bytes int) {
	l.frames += frames
	l.pushes += pushes
	l.bytes += bytes
}

// push queues a push under this socket's next n. It returns false when the queue
// is full, or was before: the socket is too slow, and the caller closes it. What comes
// in between has no room, however small it is and whatever has been written since: who
// heard of a later place would come back for what is after that, and never hear of this.
func (q *sendQueue) push(f *pushFrame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return true
	}
	if !q.hasRoom(len(f.head) + len(f.tail)) {
		return false
	}
	q.appendPush(f)
	return true
}

// pushListed is push for one of many sockets. It leaves the start of the writer to the
// caller, where one has to be started: then list is true.
func (q *sendQueue) pushListed(f *pushFrame) (ok, list bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return true, false
	}
	if !q.hasRoom(len(f.head) + len(f.tail)) {
		return false, false
	}
	q.queuePush(f)
	return true, q.toList()
}

// offer queues a push only while the queue is less than half full, so that a
// sender that can wait leaves room for those that cannot. When it did not, it
// returns a channel that is closed when it may be asked again. A sealed queue takes
// everything and keeps nothing.
func (q *sendQueue) offer(f *pushFrame) (again <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return nil
	}
	if !q.halfEmpty() {
		if q.half == nil {
			q.half = make(chan struct{})
		}
		return q.half
	}
	q.appendPush(f)
	return nil
}

// pushSome queues pushes only while the queue is less than half full, and returns how
// many. The start of the writer is left to the caller as in pushListed.
func (q *sendQueue) pushSome(frames []pushFrame) (queued int, list bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for queued < len(frames) && !q.sealed && q.halfEmpty() {
		q.queuePush(&frames[queued])
		queued++
	}
	return queued, queued > 0 && q.toList()
}

// start starts the writer that pushListed or pushSome left to its caller, unless the
// queue has been written since. begun, if not nil, is done when it runs.
func (q *sendQueue) start(begun *sync.WaitGroup) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.listed = false
	if !q.writing && q.queued != nil {
		q.write(begun)
	} else if begun != nil {
		begun.Done()
	}
}

// send queues one frame. It returns false when the queue is full.
func (q *sendQueue) send(op ws.OpCode, payload []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return true
	}
	if !q.hasRoom(len(payload)) {
		return false
	}
	q.append(op, payload)
	return true
}

// seal queues the last frames: a push, if any, and a close frame. Nothing is
// taken after it. drop forgets what is queued but not being written yet. It
// returns false when the queue was sealed before.
func (q *sendQueue) seal(last *pushFrame, closing []byte, drop bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sealed {
		return false
	}
	if drop {
		q.forget()
	}
	if last != nil {
		q.appendPush(last)
	}
	q.append(ws.OpClose, closing)
	q.sealed = true
	q.wake()
	return true
}

// finish ends the queue when nobody reads from the connection any more: what is
// queued is still written when flush is true, and then the connection is closed.
func (q *sendQueue) finish(flush bool) {
	q.mu.Lock()
	q.sealed = true
	q.hangUp = true
	q.wake()
	if !flush {
		q.forget()
	}
	now := !q.writing || !flush
	q.mu.Unlock()
	if now {
		q.conn.Close()
	}
}

// look returns when the write in progress began, in Unix milliseconds, 0 when none
// is, and what waits.
func (q *sendQueue) look() (began int64, waiting load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.began, q.waiting
}

func (q *sendQueue) isSealed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sealed
}

// The methods below are called with mu held.

// hasRoom always lets the first frame in, whatever its size: an answer may be
// larger than the limit only if it is alone. Once something had no room nothing has,
// see push.
func (q *sendQueue) hasRoom(size int) bool {
	q.full = q.full || q.waiting.frames != 0 &&
		(q.waiting.frames >= q.limits.MaxQueuedFrames || q.waiting.bytes+size > q.mostBytes(q.waiting.bytes+size))
	return !q.full
}

func (q *sendQueue) halfEmpty() bool {
	bytes := q.waiting.bytes
	return !q.full && q.waiting.frames <= q.limits.MaxQueuedFrames/2 && (bytes <= q.mostBytes(bytes)/2 || bytes <= lightQueue && bytes <= q.limits.MaxQueuedBytes/2)
}

// mostBytes is how many bytes may wait when it comes to so many: a queue that is not
// light has its share of what all queues together may hold.
func (q *sendQueue) mostBytes(bytes int) int {
	if bytes <= lightQueue {
		return q.limits.MaxQueuedBytes
	}
	return min(q.limits.MaxQueuedBytes, max(lightQueue, q.heavy.share(q.limits)))
}

// wake lets the one who waits for room look again.
func (q *sendQueue) wake() {
	if q.half != nil && (q.sealed || q.halfEmpty()) {
		close(q.half)
		q.half = nil
	}
}

func (q *sendQueue) open() *buffer {
	if q.queued == nil {
		q.queued = newBuffer()
	}
	return q.queued
}

func (q *sendQueue) append(op ws.OpCode, payload []byte) {
	b := q.open()
	size := len(b.bytes)
	b.bytes = append(appendHeader(b.bytes, op, len(payload)), payload...)
	q.added(0, len(b.bytes)-size)
	q.written()
}

func (q *sendQueue) appendPush(f *pushFrame) {
	q.queuePush(f)
	q.written()
}

// queuePush leaves it to the caller to have the queue written.
func (q *sendQueue) queuePush(f *pushFrame) {
	q.pushes++
	b := q.open()
	size := len(b.bytes)
	b.bytes = f.appendTo(b.bytes, q.pushes)
	q.added(1, len(b.bytes)-size)
}

func (q *sendQueue) added(pushes, size int) {
	q.waiting.add(1, pushes, size)
	if q.waiting.bytes >= q.noted+lightQueue {
		q.note()
	}
}

// written has the queue written, also when it is listed to be, later.
func (q *sendQueue) written() {
	if !q.writing {
		q.write(nil)
	}
}

func (q *sendQueue) write(begun *sync.WaitGroup) {
	q.writing = true
	q.flusher.Add(1)
	go q.flush(begun)
}

// toList reports whether somebody has to call start, and has not been told so yet.
func (q *sendQueue) toList() bool {
	if q.writing || q.listed {
		return false
	}
	q.listed = true
	return true
}

// forget drops what is not being written yet. Its pushes were never sent, so the
// next one has their n.
func (q *sendQueue) forget() {
	if q.queued != nil {
		q.queued.free()
		q.queued = nil
		q.pushes -= uint64(q.waiting.pushes - q.taken.pushes)
		q.waiting = q.taken
		q.note()
	}
}

// note tells heavy what waits, in whole parts of lightQueue: so seldom that sockets on
// their way through one push do not meet there.
func (q *sendQueue) note() {
	if now := q.waiting.bytes - q.waiting.bytes%lightQueue; now != q.noted {
		q.heavy.bytes.Add(int64(now - q.noted))
		q.noted = now
	}
}

// flush writes until the queue is empty. The connection's reader learns of a
// write that failed from its own read: the connection is closed.
func (q *sendQueue) flush(begun *sync.WaitGroup) {
	defer q.flusher.Done()
	if begun != nil {
		begun.Done()
	}
	for {
		b, after := q.take()
		if b == nil {
			after(q.conn)
			return
		}
		_, err := q.conn.Write(b.bytes)
		b.free()
		if err != nil {
			q.finish(false)
		}
	}
}

// take returns what is queued, or nil when the writer is to end, and then what
// it does to the connection last.
func (q *sendQueue) take() (b *buffer, after func(net.Conn)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.add(-q.taken.frames, -q.taken.pushes, -q.taken.bytes)
	q.taken = q.waiting
	q.note()
	q.wake()
	if q.queued != nil {
		b, q.queued = q.queued, nil
		q.began = time.Now().UnixMilli()
		return b, nil
	}
	q.began, q.writing = 0, false
	switch {
	case q.hangUp:
		return nil, hangUp
	case q.sealed:
		return nil, closeWrite
	}
	return nil, func(net.Conn) {}
}

func hangUp(conn net.Conn) { conn.Close() }

// closeWrite tells the client that nothing more comes, and leaves it the time to
// read what did: closing at once while its bytes are unread would reset the
// connection, and the close frame with it.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	conn.Close()
}
