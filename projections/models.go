package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"

	"roomlog/eventlog"
)

// Config says where the read models are and what they are made from.
type Config struct {
	Path string        // the bbolt file
	Log  *eventlog.Log // outlives the Models
	// Deliver is told, batch by batch and in the log's order, what became of the
	// records that followed those the log held at Open. It is called by Run, after
	// the batch is in the file, and holds Run up until it returns. nil: nobody is told.
	Deliver    func([]Applied)
	MaxBatch   int                   // records a transaction, default 1024
	LoadBytes  int                   // rows that a rebuild gathers before it writes them, default 8 GiB, or a quarter of the memory if that is less; a quarter more comes together while they are written
	Sync       bool                  // sync every batch: slower, but a power loss needs no rebuild
	Background bool                  // read models of another version serve until a rebuild takes over; see version.go
	KeepOld    time.Duration         // how long a replaced file is kept, default a day
	Passing    bool                  // of a reader who makes them for once: the admin stream is told of nothing
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
	At         func(Point)           // tests: told of each point of a rebuild before it goes on
}

// defaultMaxBatch keeps a batch within some 40 ms of work (measured), and so the
// latency of who waits for it, while the pages that its records share are still
// written once.
const defaultMaxBatch = 1024

// defaultLoadBytes has some ten million records of a lifelike log written at a time:
// most rows of busy users and of what is new are then written once for many changes, and
// the whole file (whole.go) seldom. With 3 GiB three files were written for ten million,
// which took a fifth longer.
func defaultLoadBytes() int {
	return int(min(8<<30, max(memory()/4, 64<<20)))
}

// ErrClosed means that the read models were closed.
var ErrClosed = errors.New("the read models are closed")

// Models are the open read models. Methods may be called from any goroutine.
type Models struct {
	cfg     Config
	metrics *metrics
	backlog uint64                               // durable at Open: nobody waits for these
	noSync  bool                                 // the file is synced by Close alone; see dirty.go
	reading bool                                 // the file stays as it is, or nobody needs it any more; see past.go
	fault   func(string, *eventlog.Record) error // tests make projectors fail with it

	running    chan struct{} // holds a token while Run, or a Rebuild without Run, goes on
	rebuilding sync.Mutex

	applying sync.Mutex  // held for a batch, and while Rebuild puts its file in place
	writer   *writer     // under applying
	path     string      // under applying: the file's
	making   atomic.Bool // path is not Config.Path yet: it is made at start
	stale    bool        // under applying: projectors of other versions made the file, see version.go

	tracker tracker // of rebuilds

	file   sync.RWMutex // held for reading while a transaction begins
	db     *bolt.DB     // under file; the same as writer.db
	closed bool         // under file

	position sync.Mutex
	applied  uint64        // under position
	failed   error         // under position: why nothing is applied any more
	moved    chan struct{} // under position: closed when the above change
	endRun   func(error)   // under position: ends the Run that goes on
}

// Open opens the read models, or makes them. A file of another epoch starts from
// nothing; a damaged one is set aside first. When the log lacks what a file has of it,
// Open fails with a *Loss, and changes nothing. A file that projectors
// of other versions wrote stays until Run has made another one from the log. Run
// brings them up to date.
func Open(ctx context.Context, cfg Config) (*Models, error) {
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = defaultMaxBatch
	}
	if cfg.LoadBytes <= 0 {
		cfg.LoadBytes = defaultLoadBytes()
	}
	if cfg.KeepOld <= 0 {
		cfg.KeepOld = 24 * time.Hour
	}
	m, err := newModels(cfg)
	if err != nil {
		return nil, err
	}
	if err := m.open(ctx); err != nil {
		m.metrics.unregister()
		return nil, err
	}
	return m, nil
}

func newModels(cfg Config) (m *Models, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m = &Models{cfg: cfg, running: make(chan struct{}, 1), moved: make(chan struct{})}
	m.metrics, err = newMetrics(cfg.Registerer, m)
	return m, err
}

// Applied returns the place up to which every record that the log has is in the
// read models.
func (m *Models) Applied() uint64 {
	m.position.Lock()
	defer m.position.Unlock()
	return m.applied
}

// Err returns why nothing is applied any more, nil while all is well.
func (m *Models) Err() error {
	m.position.Lock()
	defer m.position.Unlock()
	return m.failed
}

// WaitApplied waits until the record at seq is in the read models. It fails when
// ctx ends, Run failed, or the models are closed.
func (m *Models) WaitApplied(ctx context.Context, seq uint64) error {
	for {
		m.position.Lock()
		applied, failed, moved := m.applied, m.failed, m.moved
		m.position.Unlock()
		switch {
		case applied >= seq:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *Models) advance(seq uint64) {
	m.position.Lock()
	defer m.position.Unlock()
	m.applied = max(m.applied, seq)
	close(m.moved)
	m.moved = make(chan struct{})
	m.metrics.applied.Set(float64(m.applied))
}

// fail wakes who waits for records that will not be applied.
func (m *Models) fail(err error) {
	m.position.Lock()
	defer m.position.Unlock()
	if m.failed == nil {
		m.failed = err
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

// read begins a read transaction.
func (m *Models) read() (*bolt.Tx, error) {
	m.file.RLock()
	defer m.file.RUnlock()
	if m.closed || m.db == nil { // nil: it is being opened, and somebody asks for the metrics
		return nil, ErrClosed
	}
	return m.db.Begin(false)
}

// serve has what begins from now on read another file of the same content or more.
func (m *Models) serve(db *bolt.DB) {
	m.file.Lock()
	defer m.file.Unlock()
	m.db = db
}

// Parked returns the records that a projector failed on, in the log's order.
func (m *Models) Parked() []ParkedRecord {
	tx, err := m.read()
	if err != nil {
		return nil
	}
	defer tx.Rollback()
	var all []ParkedRecord
	err = reading(func() error {
		all, err = parkedIn(tx)
		return err
	})
	if errors.Is(err, errDamaged) {
		m.condemn(tx.DB(), err)
	}
	return all
}

// Close makes the file durable and closes it once every transaction has ended. Run
// must have returned.
func (m *Models) Close() error {
	err := m.close()
	if m.writer == nil { // see OpenReadOnly
		return err
	}
	// While applying is not held, which the readers of replaced files may wait for.
	return errors.Join(err, m.writer.replaced.Wait())
}

func (m *Models) close() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.file.Lock()
	if m.closed {
		m.file.Unlock()
		return nil
	}
	m.closed = true
	m.file.Unlock()
	m.fail(ErrClosed)
	m.metrics.unregister()
	if m.reading {
		return m.db.Close()
	}
	m.writer.giveBack()
	return closeClean(m.db, m.path)
}

func removeAll(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}
