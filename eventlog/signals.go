package eventlog

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strings"

	"roomlog/schema"

	"github.com/nats-io/nats.go"
)

// Signal records a signal in SIGNALS and hands it to every OnSignal of every
// node. It does not wait for the disk, nor for the server. Signals of one
// goroutine keep their order.
func (l *Log) Signal(r Record) error {
	if l.readOnly() {
		return ErrReadOnly
	}
	event, ok := schema.Lookup(r.Event)
	if !ok || !strings.HasPrefix(event.Subject(), "signals.") {
		return fmt.Errorf("signal: %q is no signal of the catalogue", r.Event)
	}
	e, err := l.newEntry(event, r, l.source)
	if err != nil {
		return fmt.Errorf("signal %s: %w", r.Event, err)
	}
	return l.publishNow(e.msg)
}

// publishNow sends a message that nobody waits for.
func (l *Log) publishNow(m *nats.Msg) error {
	if l.readOnly() {
		return ErrReadOnly
	}
	if l.life.Err() != nil {
		return unavailable(ErrClosed)
	}
	if err := l.nc.PublishMsg(m); err != nil {
		return unavailable(fmt.Errorf("publishing %s: %w", m.Subject, err))
	}
	return nil
}

// OnSignal calls fn with each signal of any node from now on, this one's too, at
// once, in order and from one goroutine. Their Seq is 0: they are not read from
// the stream. When stop returns, fn is not running and will not be called again;
// fn must not call stop.
func (l *Log) OnSignal(fn func(Record)) (stop func(), err error) {
	if l.readOnly() {
		return nil, ErrReadOnly
	}
	if l.life.Err() != nil {
		return nil, ErrClosed
	}
	messages := l.inboxes.add()
	sub, err := l.nc.ChanSubscribe(subjectSignals, messages)
	if err == nil {
		err = l.nc.FlushTimeout(readStall) // the server knows of it when we return
	}
	if err != nil {
		l.inboxes.remove(messages)
		return nil, fmt.Errorf("subscribing to signals: %w", err)
	}
	stopping, stopped := context.WithCancel(l.life)
	done := make(chan struct{})
	l.listeners.Go(func() {
		defer close(done)
		for {
			select {
			case m := <-messages:
				if r := decode(0, m.Subject, m.Header, m.Data); r.Err == nil {
					fn(r)
				}
			case <-stopping.Done():
				return
			}
		}
	})
	return func() {
		_ = sub.Unsubscribe() // fails only when the connection is gone already
		stopped()
		<-done
		l.inboxes.remove(messages)
	}, nil
}

// ReadSignals returns the stored signals whose subject matches, oldest first:
// "signals.connection.>". It ends at the newest, or with one error.
func (l *Log) ReadSignals(ctx context.Context, subject string) iter.Seq2[Record, error] {
	return l.readStream(ctx, streamSignals, subject, 1)
}

// readStream reads a stream from a place to its end.
func (l *Log) readStream(ctx context.Context, stream, subject string, from uint64) iter.Seq2[Record, error] {
	if l.sealed && subject == "" {
		return l.readFiles(ctx, stream, from)
	}
	return func(yield func(Record, error) bool) {
		var r source = l.newReader(stream, subject, max(from, 1))
		if l.reader && subject == "" {
			r = &batchReader{l: l, stream: stream, next: max(from, 1)}
		}
		defer r.close()
		var records []Record
		for {
			var err error
			records, err = r.read(ctx, records, readBatch, math.MaxUint64)
			if err != nil {
				yield(Record{}, fmt.Errorf("reading %s: %w", stream, err))
				return
			}
			if len(records) == 0 {
				return
			}
			for _, record := range records {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}
