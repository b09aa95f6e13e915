package eventlog

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FsyncMode says how an acked record gets onto the disk.
type FsyncMode string

// The fsync modes.
const (
	FsyncGroup  FsyncMode = "group"  // one fsync of the block files for all who wait
	FsyncAlways FsyncMode = "always" // the server's own SyncAlways, with atomic batches
)

// Config says where the log is and how it is kept. Dir alone is enough.
type Config struct {
	Dir           string                // data directory; the embedded server stores in Dir/jetstream
	URL           string                // outside NATS in place of the embedded server; Dir is then not touched
	Replicas      int                   // of the streams, default 1; only with URL
	Fsync         FsyncMode             // default FsyncGroup; with URL durability is the cluster's
	NATSListen    string                // host:port at which the embedded server takes NATS clients; "" for no port
	Node          string                // last part of ce-source, default "roomlog"
	SignalsMaxAge time.Duration         // default 72h
	AdminMaxAge   time.Duration         // default 400 days
	Logger        *slog.Logger          // nil: silent
	Registerer    prometheus.Registerer // nil: no metrics

	// Fatal is called once, when an fsync failed; it should end the process. The
	// default writes one sentence to standard error and exits with status 1.
	Fatal func(error)
	// OnSync, for tests, is told what was made durable: path is on disk up to
	// length bytes. For a folder, length is -1: the names in it are on disk.
	OnSync func(path string, length int64)
}

// Errors that a caller may decide by.
var (
	ErrLocked   = errors.New("another process has the data directory open")
	ErrNotFound = errors.New("the log has no such record")
	ErrClosed   = errors.New("the log is closed")
)

// Log is an open log. Its methods may be called from any goroutine.
type Log struct{}

// Follower follows the log from a position. It is for one goroutine at a time.
type Follower struct{}

func Open(ctx context.Context, cfg Config) (*Log, error)                                { return nil, errors.ErrUnsupported }
func (l *Log) Close() error                                                             { return nil }
func (l *Log) Epoch() string                                                            { return "" }
func (l *Log) First() uint64                                                            { return 0 }
func (l *Log) Last() uint64                                                             { return 0 }
func (l *Log) Durable() uint64                                                          { return 0 }
func NewID(t time.Time) string                                                          { return "" }
func (l *Log) Append(ctx context.Context, r Record, done func(uint64, error)) error     { return nil }
func (l *Log) AppendWait(ctx context.Context, r Record) (uint64, error)                 { return 0, nil }
func (l *Log) Read(ctx context.Context, from, to uint64) iter.Seq2[Record, error]       { return nil }
func (l *Log) Get(ctx context.Context, seq uint64) (Record, error)                      { return Record{}, nil }
func (l *Log) SeqAtTime(ctx context.Context, t time.Time) (uint64, error)               { return 0, nil }
func (l *Log) Follow(ctx context.Context, from uint64) (*Follower, error)               { return nil, nil }
func (f *Follower) Next(ctx context.Context, max int) ([]Record, error)                 { return nil, nil }
func (f *Follower) Close()                                                              {}
func (l *Log) Signal(r Record) error                                                    { return nil }
func (l *Log) OnSignal(fn func(Record)) (stop func(), err error)                        { return nil, nil }
func (l *Log) ReadSignals(ctx context.Context, subject string) iter.Seq2[Record, error] { return nil }
func (l *Log) Audit(kind string, data any) error                                        { return nil }
func (l *Log) Err() error                                                               { return nil }
