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
	durable := l.Durable()
	if to == 0 || to > durable {
		to = durable
	}
	return func(yield func(Record, error) bool) {
		c := l.newCursor(from)
		defer c.close()
		for c.next <= to {
			records, err := c.read(ctx, readBatch, to)
			if err != nil {
				yield(Record{}, fmt.Errorf("reading the log at %d: %w", c.next, err))
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

// cursor reads the durable log from a position on: from memory where it can, else
// through the server.
type cursor struct {
	l      *Log
	next   uint64
	reader *reader // nil while memory serves
}

func (l *Log) newCursor(from uint64) *cursor {
	return &cursor{l: l, next: max(from, l.first)}
}

// read returns the next records, at most most and none past to, and moves on. It
// returns none only when the log has nothing more up to to.
func (c *cursor) read(ctx context.Context, most int, to uint64) ([]Record, error) {
	if c.next > to {
		return nil, nil
	}
	records := c.l.tail.read(c.next, int(min(uint64(most), to-c.next+1)))
	if records != nil {
		c.close()
		c.next = records[len(records)-1].Seq + 1
		return records, nil
	}
	if c.reader == nil {
		c.reader = c.l.newReader(streamEvents, "", c.next)
	}
	records, err := c.reader.read(ctx, most, to)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		c.close()
		c.passed(to, 0)
		return nil, nil
	}
	c.passed(records[len(records)-1].Seq, len(records))
	return records, nil
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
	if c.reader != nil {
		c.reader.close()
		c.reader = nil
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
	m, err := l.direct(ctx, getRequest{Seq: seq})
	if err != nil {
		return Record{}, fmt.Errorf("getting record %d: %w", seq, err)
	}
	return decode(seq, m.Header, m.Data), nil
}

// SeqAtTime returns the first sequence that the log stored at or after t: the one
// past the durable end when there is none yet.
func (l *Log) SeqAtTime(ctx context.Context, t time.Time) (uint64, error) {
	t = t.UTC()
	end := l.Durable() + 1
	m, err := l.direct(ctx, getRequest{StartTime: &t, Batch: 1})
	if errors.Is(err, ErrNotFound) {
		return end, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking up %v: %w", t, err)
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("looking up %v: the answer names no sequence: %w", t, err)
	}
	return min(seq, end), nil
}

// direct asks EVENTS for one message.
func (l *Log) direct(ctx context.Context, request getRequest) (*nats.Msg, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	m, err := l.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+streamEvents, body)
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
