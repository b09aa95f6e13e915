package projections

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// errDamaged means that the file cannot be what was written. That shows late: when
// bbolt follows a page, when a row is decoded, or when the kernel has no page there.
var errDamaged = errors.New("the read models' file is damaged")

// reading runs fn, which reads a file in this goroutine. Damage that fn meets comes
// back as errDamaged; any other panic goes on.
func reading(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		why, ok := damageIn(p)
		if !ok {
			panic(p)
		}
		err = fmt.Errorf("%w: %s", errDamaged, why)
	}()
	return fn()
}

// damageIn tells a panic that a damaged file caused from one that is a mistake in
// the program. It is called by the function that recovered it.
func damageIn(p any) (why string, ok bool) {
	switch p := p.(type) {
	case damage:
		return string(p), true
	case interface{ Addr() uintptr }: // see debug.SetPanicOnFault: never a nil pointer
		return "a page is not in the file", true
	}
	if text := fmt.Sprint(p); !strings.Contains(text, "tx closed") && panickedInBolt() {
		return text, true // bbolt's own words and the runtime's name pages, not what users wrote
	}
	return "", false
}

// panickedInBolt reports whether bbolt was at work when the panic came that is being
// recovered.
func panickedInBolt() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicked := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicked = true
		case panicked && !strings.HasPrefix(frame.Function, "runtime."):
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}

// condemn ends the read models when it is the file they are served from that is
// damaged: it is set aside, so that the next start makes them anew, and Run returns
// why. Readers keep the file they have open.
func (m *Models) condemn(db *bolt.DB, cause error) error {
	m.applying.Lock() // no file takes another's place meanwhile
	defer m.applying.Unlock()
	if !m.isServing(db) || m.isClosed() || m.Err() != nil {
		return cause
	}
	m.fail(cause)
	if m.reading {
		return cause
	}
	if err := m.discardDamaged(cause); err != nil {
		m.cfg.Logger.Error("the damaged read models stay where they are", "error", err)
	}
	m.position.Lock()
	defer m.position.Unlock()
	if m.endRun != nil {
		m.endRun(cause)
	}
	return cause
}
