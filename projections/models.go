package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"

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
	Sync       bool                  // sync every batch: slower, but a power loss needs no rebuild
	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// defaultMaxBatch keeps a batch within some 40 ms of work (measured), and so the
// latency of who waits for it, while the pages that its records share are still
// written once.
const defaultMaxBatch = 1024

// ErrClosed means that the read models were closed.
var ErrClosed = errors.New("the read models are closed")

// Models are the open read models. Methods may be called from any goroutine.
type Models struct {
	cfg     Config
	metrics *metrics
	backlog uint64                               // durable at Open: nobody waits for these
	noSync  bool                                 // the file is synced by Close alone; see dirty.go
	fault   func(string, *eventlog.Record) error // tests make projectors fail with it

	running    chan struct{} // holds a token while Run, or a Rebuild without Run, goes on
	rebuilding sync.Mutex

	applying sync.Mutex // held for a batch, and while Rebuild puts its file in place
	writer   *writer    // under applying

	file   sync.RWMutex // held for reading while a transaction begins
	db     *bolt.DB     // under file; the same as writer.db
	closed bool         // under file

	position sync.Mutex
	applied  uint64        // under position
	failed   error         // under position: why nothing is applied any more
	moved    chan struct{} // under position: closed when the above change
}

// Open opens the read models, or makes them. A file whose checkpoint the log does
// not have, or that other projectors wrote, starts from nothing; a damaged one is
// set aside first. Run then brings them up to date.
func Open(ctx context.Context, cfg Config) (*Models, error) {
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = defaultMaxBatch
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Models{cfg: cfg, running: make(chan struct{}, 1), moved: make(chan struct{})}
	var err error
	if m.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	if err := m.open(ctx); err != nil {
		m.metrics.unregister()
		return nil, err
	}
	return m, nil
}

func (m *Models) open(ctx context.Context) error {
	// A rebuild that was cut short left its file; it is of no use.
	if err := removeAll(m.cfg.Path+suffixNew, m.cfg.Path+suffixOldNew); err != nil {
		return err
	}
	m.backlog = m.cfg.Log.Durable()
	db, at, err := m.openValid(ctx)
	if err != nil {
		return err
	}
	m.db = db
	m.writer = newWriter(db, at, m.faulty)
	if err := m.prepare(); err != nil {
		db.Close()
		return fmt.Errorf("preparing the read models: %w", err)
	}
	m.advance(at.Seq)
	return nil
}

// prepare makes the file ready for the first batch.
func (m *Models) prepare() error {
	if err := m.writer.prepare(); err != nil {
		return err
	}
	if m.cfg.Sync {
		if err := m.db.Sync(); err != nil {
			return err // and the note stays: the file may be anything
		}
		return removeAll(m.cfg.Path + suffixDirty)
	}
	noSync, err := markDirty(m.cfg.Path)
	m.noSync, m.db.NoSync = noSync, noSync
	return err
}

func (m *Models) faulty(projector string, r *eventlog.Record) error {
	if m.fault == nil {
		return nil
	}
	return m.fault(projector, r)
}

// openValid opens the file, or a new one in its place when it does not fit the log.
func (m *Models) openValid(ctx context.Context) (*bolt.DB, checkpoint, error) {
	path := m.cfg.Path
	fresh := checkpoint{Epoch: m.cfg.Log.Epoch(), Versions: versions}
	down, err := wentDown(path)
	if err != nil {
		return nil, fresh, err
	}
	if down {
		m.cfg.Logger.Warn("the machine went down while the read models were open; they start from nothing", "records", m.backlog)
		if err := removeAll(path); err != nil {
			return nil, fresh, err
		}
	}
	db, err := openFile(path, false)
	var at checkpoint
	if err == nil {
		if at, err = checkpointOf(db); err != nil {
			db.Close()
		}
	}
	if errors.Is(err, errDamaged) {
		if err := m.discardDamaged(err); err != nil {
			return nil, fresh, err
		}
		db, err = openFile(path, false)
	}
	if err != nil {
		return nil, fresh, err
	}
	if at.Epoch == "" { // the file is new
		return db, fresh, nil
	}
	reason, keep, err := m.mismatch(ctx, at)
	if err != nil {
		db.Close()
		return nil, fresh, err
	}
	if reason == "" {
		return db, at, nil
	}
	err = db.Close()
	if err == nil {
		err = m.startAnew(at, reason, keep)
	}
	if err != nil {
		return nil, fresh, fmt.Errorf("starting the read models from nothing: %w", err)
	}
	db, err = openFile(path, false)
	return db, fresh, err
}

// Why read models that do not fit the log are kept: they may be all that is left
// of it. The log is the truth even so, and the read models start from nothing.
const (
	keepAhead   = "ahead"   // the log has lost records: it had their checkpoint once
	keepForeign = "foreign" // another log is in the place of theirs
)

// startAnew makes way for new read models.
func (m *Models) startAnew(at checkpoint, reason, keep string) error {
	path := m.cfg.Path
	if keep == "" {
		m.cfg.Logger.Warn("the read models start from nothing", "reason", reason, "path", path, "records", m.backlog)
		return os.Remove(path)
	}
	aside, err := setAside(path, keep)
	if err != nil {
		return err
	}
	if keep == keepForeign {
		m.cfg.Logger.Warn("the read models start from nothing", "reason", reason, "applied", at.Seq, "records", m.backlog, "kept", aside)
		return nil
	}
	m.cfg.Logger.Error("the log has lost records that were applied; restore it from a backup if you have one",
		"reason", reason, "applied", at.Seq, "durable", m.backlog, "kept", aside)
	return m.cfg.Log.Audit("loss", struct {
		Reason  string `json:"reason"`
		Applied uint64 `json:"applied"`
		Durable uint64 `json:"durable"`
	}{reason, at.Seq, m.backlog})
}

func checkpointOf(db *bolt.DB) (at checkpoint, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	err = db.View(func(tx *bolt.Tx) error {
		at, err = readCheckpoint(tx)
		return err
	})
	return at, err
}

func (m *Models) discardDamaged(cause error) error {
	aside, err := setAside(m.cfg.Path, "damaged")
	if err != nil {
		return fmt.Errorf("setting the damaged read models aside: %w", err)
	}
	m.cfg.Logger.Error("the read models are damaged and start from nothing", "error", cause, "kept", aside)
	return nil
}

// mismatch says why the log does not have a checkpoint, "" when it has, and whether
// the file is to be kept. Only durable records are ever applied: a checkpoint that
// is not there was there once.
func (m *Models) mismatch(ctx context.Context, at checkpoint) (reason, keep string, err error) {
	switch {
	case at.Epoch != m.cfg.Log.Epoch():
		return "they belong to another log", keepForeign, nil
	case at.Seq > m.backlog:
		return "they are ahead of the log", keepAhead, nil
	}
	if at.Seq > 0 {
		r, err := m.cfg.Log.Get(ctx, at.Seq)
		switch {
		case errors.Is(err, eventlog.ErrNotFound):
			return "the log does not have the record they stand at", keepAhead, nil
		case err != nil:
			return "", "", fmt.Errorf("finding the read models' checkpoint in the log: %w", err)
		case r.ID != at.ID:
			return "the log has another record where they stand", keepAhead, nil
		}
	}
	if !maps.Equal(at.Versions, versions) {
		return "another release's projectors wrote them", "", nil
	}
	return "", "", nil
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
	if m.closed {
		return nil, ErrClosed
	}
	return m.db.Begin(false)
}

// Parked returns the records that a projector failed on, in the log's order.
func (m *Models) Parked() []ParkedRecord {
	tx, err := m.read()
	if err != nil {
		return nil
	}
	defer tx.Rollback()
	var all []ParkedRecord
	tx.Bucket([]byte(bucketParked)).ForEach(func(_, row []byte) error {
		var p ParkedRecord
		if err := json.Unmarshal(row, &p); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	})
	return all
}

// Close makes the file durable and closes it once every transaction has ended. Run
// must have returned.
func (m *Models) Close() error {
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
	return closeClean(m.db, m.cfg.Path)
}

func removeAll(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}
