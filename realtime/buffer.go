package realtime

import "sync"

// keptBufferBytes is the largest buffer that goes back to the pool. Larger ones
// are rare and go to the garbage collector.
const keptBufferBytes = 64 << 10

// buffer is a payload being read or frames waiting to be written. Buffers are
// shared by all sockets through a pool; a socket has one only while it has bytes.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 1<<10)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives the buffer back; nobody may touch its bytes any more.
func (b *buffer) free() {
	if cap(b.bytes) > keptBufferBytes {
		return
	}
	b.bytes = b.bytes[:0]
	buffers.Put(b)
}
