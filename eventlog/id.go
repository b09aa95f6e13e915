package eventlog

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// ids makes the process's ULIDs.
var ids = struct {
	sync.Mutex
	last    uint64 // milliseconds of the newest id
	entropy *ulid.MonotonicEntropy
}{entropy: ulid.Monotonic(rand.Reader, 0)}

// NewID returns a ULID for time t. Ids of one process sort in the order of the
// calls, also when t goes back.
func NewID(t time.Time) string {
	ids.Lock()
	defer ids.Unlock()
	ids.last = max(ids.last, uint64(t.UnixMilli()))
	for {
		id, err := ulid.New(ids.last, ids.entropy)
		if err == nil {
			return id.String()
		}
		// The random part of this millisecond is used up, or t is past the year
		// 10889; the next millisecond has a new one.
		ids.last = (ids.last + 1) % ulid.MaxTime()
	}
}
