package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// ordinaryPrefix is where JetStream answers users whose account has it.
const ordinaryPrefix = "$JS.API"

// pollEvery is how often a reader asks whether the log has moved on: what a person
// who follows takes for at once.
const pollEvery = 200 * time.Millisecond

// OpenReader opens a log through NATS for reading alone: with the credentials of the
// user auditor at a server that listens for NATS clients, or with any others that may
// look at stream EVENTS and get its messages. No stream or consumer is made and
// nothing is written. Of Config only URL and Logger are used.
//
// The durable sequence is what the stream held at the last look at it; while somebody
// follows, that is every 200 ms. See BUG(readers): it may be some milliseconds ahead
// of the server's fsync.
func OpenReader(ctx context.Context, cfg Config) (*Log, error) {
	l, err := newLog(Config{URL: cfg.URL, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	l.reader = true
	close(l.committed) // there is no committer
	l.queue.close()
	if l.nc, err = l.dial("roomlog reader"); err != nil {
		err = fmt.Errorf("cannot reach NATS at %s: %w", RedactURL(l.cfg.URL), withoutURL(err))
	} else {
		err = l.openRemote(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// openRemote finds out under which prefix the log is to be read, and where it stands.
func (l *Log) openRemote(ctx context.Context) error {
	var errs []error
	for _, prefix := range []string{ordinaryPrefix, readerPrefix} {
		var err error
		if l.js, err = jetstream.NewWithAPIPrefix(l.nc, prefix); err != nil {
			return err
		}
		l.api = prefix
		state, err := l.look(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.first = max(state.FirstSeq, 1)
		l.last.Store(state.LastSeq)
		l.tail = newTail(state.LastSeq)
		return nil
	}
	return fmt.Errorf("these credentials cannot look at stream %s at %s: %w", streamEvents, RedactURL(l.cfg.URL), errors.Join(errs...))
}

// look asks for the state of EVENTS.
func (l *Log) look(ctx context.Context) (state jetstream.StreamState, err error) {
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	stream, err := l.js.Stream(ctx, streamEvents)
	if err != nil {
		return state, err
	}
	info := stream.CachedInfo()
	epoch := info.Config.Metadata[epochKey]
	switch {
	case epoch == "":
		return state, fmt.Errorf("%w: stream %s has no epoch in its metadata; it was not made by roomlog", ErrDamaged, streamEvents)
	case l.epoch != "" && l.epoch != epoch:
		return state, fmt.Errorf("%w: another log is in its place since", ErrDamaged)
	}
	l.epoch = epoch
	return info.State, nil
}

// poll waits until the durable sequence may have moved. A server that is away is
// waited for.
func (l *Log) poll(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
	case <-l.life.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	state, err := l.look(ctx)
	switch {
	case err == nil:
		l.tail.advance(nil, state.LastSeq)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !away(err):
		return err
	}
	return nil
}

// away tells that nobody answered from an answer.
func away(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, context.DeadlineExceeded)
}

// batchReader reads a stream by asking for some of its messages at a time, which takes
// no consumer, and so no right to make one. For one goroutine.
type batchReader struct {
	l      *Log
	stream string
	next   uint64
}

func (r *batchReader) close() {}

// read returns none at the end of the stream.
func (r *batchReader) read(ctx context.Context, into []Record, most int, to uint64) ([]Record, error) {
	if r.next > to {
		return nil, nil
	}
	n := int(min(uint64(most), readBatch, to-r.next+1))
	var last error
	for range readTries {
		records, err := r.ask(ctx, into, n, to)
		if err == nil || len(records) > 0 {
			return records, nil // what is missing is asked for next
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last = err
	}
	return nil, last
}

// ask returns what one request brings. With an error come the records before it.
func (r *batchReader) ask(ctx context.Context, into []Record, n int, to uint64) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, r.l.js, r.stream, n, jetstreamext.GetBatchSeq(r.next), jetstreamext.GetBatchMaxBytes(readBatchBytes))
	if err != nil {
		return nil, err
	}
	records := slices.Grow(into[:0], n)
	before := uint64(0)
	for m, err := range messages {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages):
			return records, nil
		case err != nil:
			return records, err
		case m.Header.Get("Nats-Last-Sequence") != strconv.FormatUint(before, 10):
			return records, fmt.Errorf("%w: what came before message %d was lost on the way", errStalled, m.Sequence)
		case m.Sequence > to:
			return records, nil
		}
		before = m.Sequence
		records = append(records, decode(m.Sequence, m.Subject, m.Header, m.Data))
		r.next = m.Sequence + 1
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%w: an answer without a message", errStalled)
	}
	return records, nil
}
