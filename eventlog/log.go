package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"roomlog/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// FsyncMode says how an acked record gets onto the disk.
type FsyncMode string

// The fsync modes.
const (
	FsyncGroup  FsyncMode = "group"  // one fsync of the block files for all who wait
	FsyncAlways FsyncMode = "always" // the server's own SyncAlways, with atomic batches; and the block files besides
)

// Config says where the log is and how it is kept. Dir alone is enough.
type Config struct {
	Dir           string                // data directory; the embedded server stores in Dir/jetstream
	URL           string                // outside NATS in place of the embedded server; Dir is then not touched
	Replicas      int                   // of the streams, default 1; only with URL
	Fsync         FsyncMode             // default FsyncGroup; with URL durability is the cluster's
	NATSListen    string                // host:port at which the embedded server takes NATS clients; "" for no port
	Known         uint64                // records up to here are known to have been durable: an ErrCut before the server would cut some off; 0: nobody knows
	Node          string                // last part of ce-source, default "roomlog"
	SignalsMaxAge time.Duration         // default 72h
	AdminMaxAge   time.Duration         // default 400 days
	Logger        *slog.Logger          // nil: silent
	Registerer    prometheus.Registerer // nil: no metrics

	// Fatal is called once, when an fsync failed or the store stopped taking
	// writes; it should end the process. The default writes one sentence to standard
	// error and exits with status 1.
	Fatal func(error)
	// OnSync, for tests, is told what was made durable, before anyone is acked for
	// it: the first length bytes of the file path; or, with length -1, that the name
	// path is on disk in its folder.
	OnSync func(path string, length int64)
	// FreeSpace, for tests, is asked for the bytes left below Dir in place of the disk.
	FreeSpace func(dir string) (int64, error)

	test faults
}

// faults is what this package's tests break on purpose.
type faults struct {
	noSync        bool                 // nothing is made durable: the control of the power-loss test
	fsync         func(*os.File) error // in place of (*os.File).Sync
	dropAck       func(id string) bool // true: this ack never arrived
	unknownLayout bool                 // the server's files are not as this package knows them
	ackTimeout    time.Duration        // in place of ackTimeout
	dedup         time.Duration        // in place of dedupEmbedded
}

// Errors that a caller may decide by.
var (
	ErrLocked   = errors.New("another process has the data directory open")
	ErrDamaged  = errors.New("the log's store is damaged")
	ErrNotFound = errors.New("the log has no such record")
	ErrClosed   = errors.New("the log is closed")
	ErrFull     = errors.New("the disk is full")
	// ErrLost stands for a record whose fate is not known: it may yet be in the log.
	// Appending it again under the same ID is safe.
	ErrLost = errors.New("the log's store did not answer")
)

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	cfg    Config
	log    *slog.Logger
	source string // ce-source of this node's records
	epoch  string
	first  uint64
	sealed bool   // open by its files alone, see OpenFiles
	reader bool   // open through NATS for reading alone, see OpenReader
	api    string // subjects of the JetStream API, without the last dot

	lock   *os.File   // LOCK, nil with URL
	server *embedded  // nil with URL
	blocks *blockSync // nil when the server alone syncs: with URL, or when its files are not as expected
	nc     *nats.Conn // reads, signals and the API; the publisher has its own
	js     jetstream.JetStream
	pub    *publisher

	queue     *queue
	committed chan struct{} // closed when the committer has ended
	full      bool          // the disk was, at the last group; the committer's
	last      atomic.Uint64 // highest sequence the server acked
	tail      *tail
	inboxes   inboxes
	audited   atomic.Pointer[audited] // the latest, nil for none
	outside   outside
	metrics   metrics

	life      context.Context // ends in Close: followers stop
	end       context.CancelFunc
	listeners sync.WaitGroup // goroutines of OnSignal
	closeOnce sync.Once
	closeErr  error

	failMu sync.Mutex
	failed error // why the log takes no records any more
}

// Open opens the log, making its directory and streams where they are missing.
// When it returns, everything in the log is on disk.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l, err := newLog(cfg)
	if err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		l.shut()
		return nil, err
	}
	go l.commitLoop()
	return l, nil
}

func newLog(cfg Config) (*Log, error) {
	if cfg.Fsync == "" {
		cfg.Fsync = FsyncGroup
	}
	switch {
	case cfg.Fsync != FsyncGroup && cfg.Fsync != FsyncAlways:
		return nil, fmt.Errorf("fsync mode %q is neither %q nor %q", cfg.Fsync, FsyncGroup, FsyncAlways)
	case cfg.Dir == "" && cfg.URL == "":
		return nil, errors.New("the log needs a data directory or the URL of a NATS server")
	case cfg.Replicas > 1 && cfg.URL == "":
		return nil, errors.New("replicas need an outside NATS cluster: the embedded server keeps one copy")
	case cfg.NATSListen != "" && cfg.URL != "":
		return nil, errors.New("an outside NATS server listens for itself: give its URL or a listen address, not both")
	}
	cfg.Replicas = max(cfg.Replicas, 1)
	if cfg.Node == "" {
		cfg.Node = "roomlog"
	}
	if cfg.SignalsMaxAge == 0 {
		cfg.SignalsMaxAge = 72 * time.Hour
	}
	if cfg.AdminMaxAge == 0 {
		cfg.AdminMaxAge = 400 * 24 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Fatal == nil {
		cfg.Fatal = func(err error) {
			fmt.Fprintln(os.Stderr, "roomlog:", err)
			os.Exit(1)
		}
	}
	if cfg.FreeSpace == nil {
		cfg.FreeSpace = freeSpace
	}
	if cfg.test.ackTimeout == 0 {
		cfg.test.ackTimeout = ackTimeout
	}
	if cfg.test.dedup == 0 {
		cfg.test.dedup = dedupEmbedded
	}
	l := &Log{
		cfg:       cfg,
		log:       cfg.Logger,
		source:    "/" + cfg.Node,
		api:       ordinaryPrefix,
		queue:     newQueue(),
		committed: make(chan struct{}),
		tail:      newTail(0),
	}
	l.life, l.end = context.WithCancel(context.Background())
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	state, err := l.openStreams(ctx)
	if err != nil {
		return err
	}
	if l.server != nil {
		if err := l.openBlocks(ctx); err != nil {
			return err
		}
	}
	if l.blocks != nil {
		if err := l.noteBoot(); err != nil {
			return fmt.Errorf("leaving a note beside the log: %w", err)
		}
	}
	if l.pub, err = l.newPublisher(); err != nil {
		return err
	}
	l.first = max(state.FirstSeq, 1)
	l.last.Store(state.LastSeq)
	l.tail = newTail(state.LastSeq)
	if missing := state.LastSeq - min(state.LastSeq, l.first-1) - state.Msgs; missing > 0 {
		l.log.Warn("the log has gaps: records were lost to damage, or to power loss before they were acked",
			"missing", missing, "first", l.first, "last", state.LastSeq)
	}
	l.metrics, err = newMetrics(l.cfg.Registerer, l)
	return err
}

// connect locks the directory and starts the embedded server, or dials the
// outside one.
func (l *Log) connect(ctx context.Context) (err error) {
	if l.cfg.URL != "" {
		if l.nc, err = l.dial("roomlog"); err != nil {
			return fmt.Errorf("cannot reach NATS at %s: %w", RedactURL(l.cfg.URL), withoutURL(err))
		}
		l.js, err = jetstream.New(l.nc)
		return err
	}
	if l.lock, err = lockDir(l.cfg.Dir); err != nil {
		return err
	}
	if err := l.prepareBlocks(ctx); err != nil {
		return err
	}
	return l.startServer(l.cfg.Fsync == FsyncAlways)
}

func (l *Log) startServer(syncAlways bool) (err error) {
	if l.server, err = startServer(l.cfg, syncAlways); err != nil {
		return err
	}
	if l.nc, err = l.dial("roomlog"); err != nil {
		return fmt.Errorf("connecting to the embedded NATS server: %w", err)
	}
	l.js, err = jetstream.New(l.nc)
	return err
}

// openBlocks makes everything in the store durable and gets ready to do so for
// each group of records. Where the server's files are not as expected, the server
// is started again so that it syncs by itself.
func (l *Log) openBlocks(ctx context.Context) (err error) {
	l.blocks, err = openBlocks(l.cfg)
	if errors.Is(err, errLayout) {
		l.blocks = nil
		if l.cfg.Fsync == FsyncAlways {
			return nil
		}
		l.log.Warn("the NATS server keeps its files in a way this roomlog does not know; it syncs every write by itself now, which is as safe and slower", "reason", err)
		l.cfg.Fsync = FsyncAlways
		l.nc.Close()
		l.server.stop()
		if err := l.startServer(true); err != nil {
			return err
		}
		_, err = l.openStreams(ctx)
		return err
	}
	return err
}

// dial opens a connection to the log's server.
func (l *Log) dial(name string) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(name),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.log.Warn("NATS connection", "name", name, "error", err)
		}),
	}
	if l.server != nil {
		return l.server.dial(append(options, nats.NoReconnect())...)
	}
	return nats.Connect(l.cfg.URL, append(options, nats.MaxReconnects(-1))...)
}

// Close finishes what was accepted, stops the followers and then the server.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.queue.close()
		<-l.committed
		l.closeErr = l.shut()
	})
	return l.closeErr
}

// shut releases whatever is open.
func (l *Log) shut() error {
	var errs []error
	l.end()
	l.listeners.Wait()
	l.metrics.unregister()
	if l.pub != nil {
		l.pub.close()
	}
	if l.nc != nil {
		l.settleAudits()
		if err := l.nc.FlushTimeout(time.Second); err != nil && !l.reader {
			l.log.Warn("the last signals may be lost", "error", err)
		}
		l.nc.Close()
	}
	if l.server != nil {
		l.server.stop()
	}
	if l.blocks != nil {
		errs = append(errs, l.blocks.close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close()) // the lock goes with the descriptor
	}
	return errors.Join(errs...)
}

// Epoch returns the ULID that was made with the log. A position means something
// only together with it.
func (l *Log) Epoch() string { return l.epoch }

// First returns the first sequence of the log.
func (l *Log) First() uint64 { return l.first }

// Last returns the highest sequence that the server has stored for this process,
// on disk or not yet.
func (l *Log) Last() uint64 { return max(l.last.Load(), l.Durable()) }

// Durable returns the durable sequence: everything up to it is on disk, and
// nothing past it is ever handed out.
func (l *Log) Durable() uint64 { return l.tail.durable() }

// Err returns why the log takes no records any more, nil while it is healthy. A
// full disk is no such reason: it passes.
func (l *Log) Err() error {
	l.failMu.Lock()
	defer l.failMu.Unlock()
	return l.failed
}

// fail ends the log's life as a writer.
func (l *Log) fail(err error) {
	l.failMu.Lock()
	again := l.failed != nil
	if !again {
		l.failed = err
	}
	l.failMu.Unlock()
	if !again {
		l.log.Error("the log takes no more records", "error", err)
		l.cfg.Fatal(err)
	}
}

// unavailable wraps a cause for callers whose clients may try again later.
func unavailable(cause error) error {
	code := schema.LogUnavailable
	if errors.Is(cause, ErrClosed) {
		code = schema.ShuttingDown
	}
	return fmt.Errorf("%w: %w", schema.NewError(code, ""), cause)
}
