package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// StreamStatus is what a stream holds.
type StreamStatus struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"` // on disk, of one replica
	First    uint64 `json:"first"` // 0 when it is empty
	Last     uint64 `json:"last"`
}

// Streams returns what EVENTS, SIGNALS and ADMIN hold. Of a log that is open by its
// files the places between the first and the last message are counted, whether there
// are messages in all of them or not; of one in NATS the streams that these
// credentials may look at.
func (l *Log) Streams(ctx context.Context) ([]StreamStatus, error) {
	var all []StreamStatus
	for _, name := range []string{streamEvents, streamSignals, streamAdmin} {
		s, err := l.stream(ctx, name)
		if errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking at stream %s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (l *Log) stream(ctx context.Context, name string) (StreamStatus, error) {
	if l.sealed {
		return streamInFiles(l.cfg.Dir, name)
	}
	stream, err := l.js.Stream(ctx, name)
	if err != nil {
		return StreamStatus{}, err
	}
	state := stream.CachedInfo().State
	s := StreamStatus{Name: name, Messages: state.Msgs, Bytes: state.Bytes, First: state.FirstSeq, Last: state.LastSeq}
	if s.Messages == 0 {
		s.First = 0
	}
	return s, nil
}

// streamInFiles is what the files of a stream hold.
func streamInFiles(dir, name string) (StreamStatus, error) {
	s := StreamStatus{Name: name}
	msgs := blockFolder(dir, name)
	if _, err := os.Stat(msgs); err != nil {
		return s, err
	}
	blocks, err := filepath.Glob(filepath.Join(msgs, "*.blk"))
	if err != nil {
		return s, err
	}
	for _, path := range blocks {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) { // aged meanwhile
			continue
		}
		if err != nil {
			return s, err
		}
		s.Bytes += uint64(info.Size())
	}
	if len(blocks) == 0 {
		return s, nil
	}
	if s.First, s.Last, err = extent(msgs, name); err != nil {
		return s, err
	}
	if s.First > 0 && s.Last >= s.First {
		s.Messages = s.Last - s.First + 1
	}
	return s, nil
}

// Reserve returns the free space, in bytes, below which this log takes no records: 0 for
// one in NATS, which keeps its own.
func (l *Log) Reserve() int64 {
	if l.cfg.URL != "" {
		return 0
	}
	return Reserve
}

// FreeSpace returns how many bytes this user may still write below dir.
func (l *Log) FreeSpace(dir string) (int64, error) { return l.cfg.FreeSpace(dir) }

// Refusal returns why the log takes no records now, nil when it does: it failed (Err),
// which is final; its disk has less than Reserve left, or its NATS cluster does not
// answer, which pass. What is in it can be read all the same. It asks the disk; NATS it
// asks at most once a second, for at most two.
func (l *Log) Refusal() error {
	if l.sealed {
		return ErrReadOnly
	}
	if err := l.writable(); err != nil || l.cfg.URL == "" {
		return err
	}
	return l.outside.ask(l)
}

// outside remembers whether an outside NATS server answers. Its methods may be called
// from any goroutine; while one asks, the others wait for the answer.
type outside struct {
	mu    sync.Mutex
	asked time.Time // under mu, as the answer
	err   error
}

const (
	outsideFor     = time.Second     // how long an answer is good
	outsideTimeout = 2 * time.Second // how long to wait for one
)

func (o *outside) ask(l *Log) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.asked) < outsideFor {
		return o.err
	}
	ctx, cancel := context.WithTimeout(l.life, outsideTimeout)
	defer cancel()
	o.err = nil
	if _, err := l.js.Stream(ctx, streamEvents); err != nil { // its leader answers, as for a publish
		o.err = fmt.Errorf("NATS at %s does not answer for stream %s: %w", RedactURL(l.cfg.URL), streamEvents, withoutURL(err))
	}
	o.asked = time.Now()
	return o.err
}
