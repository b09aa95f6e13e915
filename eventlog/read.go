package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Read returns the records from..to in sequence, or up to the durable sequence at
// the call when to is 0 or past it. It ends early with one error. Each range over
// the result reads anew.
func (l *Log) Read(ctx context.Context, from, to uint64) iter.Seq2[Record, error] {
	batches := l.ReadBatches(ctx, from, to, readBatch)
	return func(yield func(Record, error) bool) {
		for records, err := range batches {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// ReadBatches is Read, up to most records at a time. The slices that it yields are used
// again for those that come next; the records may be kept.
func (l *Log) ReadBatches(ctx context.Context, from, to uint64, most int) iter.Seq2[[]Record, error] {
	durable := l.Durable()
	if to == 0 || to > durable {
		to = durable
	}
	return func(yield func([]Record, error) bool) {
		c := l.newCursor(from)
		defer c.close()
		var records []Record
		for c.next <= to {
			var err error
			records, err = c.read(ctx, records, most, to)
			if err != nil {
				yield(nil, fmt.Errorf("reading the log at %d: %w", c.next, err))
				return
			}
			if len(records) > 0 && !yield(records, nil) {
				return
			}
		}
	}
}

// cursor reads the durable log from a position on: from memory where it can, else
// from the block files, and where that is not possible through the server.
type cursor struct {
	l      *Log
	next   uint64
	source source // nil while memory serves
	served bool   // the block files cannot be read
}

// source is what a cursor reads from: block files, the server, or a batchReader. Its read
// returns the next records, at most most and none past to, for which it may use the
// memory of into.
type source interface {
	read(ctx context.Context, into []Record, most int, to uint64) ([]Record, error)
	close()
}

func (l *Log) newCursor(from uint64) *cursor {
	return &cursor{l: l, next: max(from, l.first)}
}

// read returns the next records, as a source does, and moves on. It returns none only
// when the log has nothing more up to to.
func (c *cursor) read(ctx context.Context, into []Record, most int, to uint64) ([]Record, error) {
	if c.next > to {
		return nil, nil
	}
	records := c.l.tail.read(c.next, int(min(uint64(most), to-c.next+1)))
	if records != nil {
		c.close()
		c.next = records[len(records)-1].Seq + 1
		return records, nil
	}
	records, err := c.readSource(ctx, into, most, to)
	if err != nil && len(records) == 0 {
		return nil, err // what came before it is handed out first, and the error is met again
	}
	if len(records) == 0 {
		c.close()
		c.passed(to, 0)
		return nil, nil
	}
	c.passed(records[len(records)-1].Seq, len(records))
	return records, nil
}

func (c *cursor) readSource(ctx context.Context, into []Record, most int, to uint64) ([]Record, error) {
	if c.source == nil && c.l.reader {
		c.source = &batchReader{l: c.l, stream: streamEvents, next: c.next}
	}
	if c.source == nil && c.l.readsFiles() && !c.served {
		r, err := c.l.newBlockReader(streamEvents, c.next)
		switch {
		case err == nil:
			c.source = r
		case c.l.sealed:
			return nil, err
		default:
			c.useServer(err)
		}
	}
	if c.source == nil {
		c.source = c.l.newReader(streamEvents, "", c.next)
	}
	records, err := c.source.read(ctx, into, most, to)
	if err == nil || c.served || !c.l.readsFiles() || ctx.Err() != nil {
		return records, err
	}
	if c.l.sealed {
		c.close() // who reads on begins at the damage
		return records, err
	}
	c.useServer(err)
	return c.readSource(ctx, into, most, to)
}

// readsFiles reports whether the block files are as this package knows them.
func (l *Log) readsFiles() bool { return l.blocks != nil || l.sealed }

// useServer goes on through the server: it keeps what it wrote lately in memory, and
// passes over what it cannot read.
func (c *cursor) useServer(why error) {
	c.l.log.Warn("the log's files cannot be read; going on through the server", "from", c.next, "reason", why)
	c.close()
	c.served = true
}

// passed moves on behind last, and says aloud when fewer records came than there
// are places: the server passes over what it cannot read.
func (c *cursor) passed(last uint64, came int) {
	if missing := last + 1 - c.next - uint64(came); missing > 0 {
		c.l.log.Error("records are missing from the log; restore it from a backup if you have one", "missing", missing, "from", c.next, "to", last)
	}
	c.next = last + 1
}

func (c *cursor) close() {
	if c.source != nil {
		c.source.close()
		c.source = nil
	}
}

// getRequest is a request of the JetStream API for one message.
type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Batch     int        `json:"batch,omitempty"`
}

// Get returns the record at seq, or ErrNotFound when the log has none there, or
// none that is durable.
func (l *Log) Get(ctx context.Context, seq uint64) (Record, error) {
	if seq == 0 || seq > l.Durable() {
		return Record{}, fmt.Errorf("%w at %d", ErrNotFound, seq)
	}
	if r := l.tail.read(seq, 1); r != nil {
		return r[0], nil
	}
	if l.sealed {
		r, err := l.getFromFiles(ctx, seq)
		if err != nil {
			err = fmt.Errorf("getting record %d: %w", seq, err)
		}
		return r, err
	}
	m, err := l.direct(ctx, streamEvents, getRequest{Seq: seq})
	if err != nil {
		return Record{}, fmt.Errorf("getting record %d: %w", seq, err)
	}
	return decode(seq, m.Header.Get("Nats-Subject"), m.Header, m.Data), nil
}

// SeqAtTime returns the first sequence that the log stored at or after t: the one
// past the durable end when there is none yet.
func (l *Log) SeqAtTime(ctx context.Context, t time.Time) (uint64, error) {
	t = t.UTC()
	end := l.Durable() + 1
	if l.sealed {
		seq, err := l.timeInFiles(ctx, streamEvents, t)
		if err != nil {
			return 0, fmt.Errorf("looking up %v: %w", t, err)
		} else if seq == 0 {
			return end, nil
		}
		return min(seq, end), nil
	}
	m, err := l.direct(ctx, streamEvents, getRequest{StartTime: &t, Batch: 1})
	if errors.Is(err, ErrNotFound) {
		return end, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking up %v: %w", t, err)
	}
	seq, err := sequenceOf(m)
	return min(seq, end), err
}

// sequenceOf returns the place of a message that a stream was asked for.
func sequenceOf(m *nats.Msg) (uint64, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the server's answer names no sequence: %w", err)
	}
	return seq, nil
}

// direct asks a stream for one message.
func (l *Log) direct(ctx context.Context, stream string, request getRequest) (*nats.Msg, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	m, err := l.nc.RequestWithContext(ctx, l.api+".DIRECT.GET."+stream, body)
	if err != nil {
		return nil, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return m, nil
	case "404":
		return nil, ErrNotFound
	default:
		return nil, fmt.Errorf("the server answered %s %s", status, m.Header.Get("Description"))
	}
}
