package projections

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// The stages of a rebuild.
const (
	StageBuilding   = "building"    // from the log
	StageComparing  = "comparing"   // with what is served
	StageCatchingUp = "catching up" // with what came meanwhile
)

// muchToCatchUp is how many records a start must have to catch up for anybody to be told
// how far it is: fewer are applied before they could ask.
const muchToCatchUp = 2048

// Progress is how far a rebuild is.
type Progress struct {
	Stage       string
	From        uint64        // where it began: behind what an earlier one had done
	Records, Of uint64        // the place in the log up to which it is, and is to be
	Rate        float64       // records a second since it began
	ETA         time.Duration // at that rate
	Models      []Volume      // by name; all of them are at the same place
}

// Volume is what was written of one read model.
type Volume struct {
	Name  string `json:"name"`
	Rows  uint64 `json:"rows"`
	Bytes uint64 `json:"bytes"` // keys and values
}

// volume counts what is written. Its methods may be called from any goroutine.
type volume struct {
	mu sync.Mutex
	of map[string]Volume
}

func newVolume() *volume {
	v := &volume{of: map[string]Volume{}}
	for name := range versions {
		v.of[name] = Volume{Name: name}
	}
	return v
}

// add counts the rows that a table changed. A nil volume counts nothing.
func (v *volume) add(projector string, rows, size int) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	sum := v.of[projector]
	sum.Rows += uint64(rows)
	sum.Bytes += uint64(size)
	v.of[projector] = sum
}

func (v *volume) all() []Volume {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.SortedFunc(maps.Values(v.of), func(a, b Volume) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
}

// tracker knows how far the rebuild is that goes on.
type tracker struct {
	mu      sync.Mutex
	running bool // under mu, as all that follows
	start   time.Time
	stage   string
	from    uint64
	records uint64
	of      uint64
	volume  *volume
}

func (t *tracker) begin(from, to uint64, w *writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.written = newVolume()
	t.running, t.start, t.stage = true, time.Now(), StageBuilding
	t.from, t.records, t.of, t.volume = from, from, to, w.written
}

func (t *tracker) set(stage string, records, of uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stage != "" {
		t.stage = stage
	}
	t.records, t.of = max(t.records, records), max(t.of, of, records)
}

// caughtUp says how far the file is that catches up at start, unless a rebuild has
// begun meanwhile: then that is what is tracked.
func (t *tracker) caughtUp(w *writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.written != nil && t.volume == w.written {
		t.records = max(t.records, w.decided.Seq)
	}
}

// leave ends what caughtUp tells of. Nothing is being written.
func (t *tracker) leave(w *writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.written != nil && t.volume == w.written {
		t.running = false
	}
	w.written = nil
}

// end returns how long it took.
func (t *tracker) end() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = false
	return time.Since(t.start)
}

// Rebuilding returns how far the rebuild is that goes on, at start or on demand, or
// else how far the read models are that have much to catch up at start; false when
// none of this goes on.
func (m *Models) Rebuilding() (Progress, bool) {
	t := &m.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.running {
		return Progress{}, false
	}
	p := Progress{Stage: t.stage, From: t.from, Records: t.records, Of: t.of, Models: t.volume.all()}
	if took := time.Since(t.start).Seconds(); took > 0 && p.Records > p.From {
		p.Rate = float64(p.Records-p.From) / took
		p.ETA = time.Duration(float64(p.Of-p.Records) / p.Rate * float64(time.Second))
	}
	return p, true
}
