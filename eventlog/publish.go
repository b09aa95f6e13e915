package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A publish whose ack does not come is repeated under the same Nats-Msg-Id, so
// that it is stored once however often it is sent. All tries together are shorter
// than the server's dedup window.
const (
	ackTimeout = 5 * time.Second
	ackTries   = 4
)

// publisher sends groups of records to EVENTS. It has a connection of its own, so
// that acks do not queue behind reads and signals. For the committer's goroutine
// alone.
type publisher struct {
	nc      *nats.Conn
	inbox   string // replies come to inbox + serial number
	acks    chan *nats.Msg
	serial  uint64 // of the next publish
	batches int    // groups from this size on are atomic batches; 0: never
	timeout time.Duration
	dropAck func(id string) bool
}

func (l *Log) newPublisher() (*publisher, error) {
	nc, err := l.dial("roomlog committer")
	if err != nil {
		return nil, fmt.Errorf("connecting the committer: %w", err)
	}
	p := &publisher{
		nc:      nc,
		inbox:   nats.NewInbox() + ".",
		acks:    make(chan *nats.Msg, (ackTries+1)*maxGroup),
		timeout: l.cfg.test.ackTimeout,
		dropAck: l.cfg.test.dropAck,
	}
	switch {
	case l.server == nil:
		// A change of leader may lose one of several publishes in flight and keep
		// the next; only a batch keeps their order then.
		p.batches = 2
	case l.cfg.Fsync == FsyncAlways:
		p.batches = minBatch
	}
	if _, err := nc.ChanSubscribe(p.inbox+"*", p.acks); err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribing to acks: %w", err)
	}
	return p, nil
}

func (p *publisher) close() { p.nc.Close() }

// publish stores a group, in order, and marks each entry that the server acked.
// It returns an error when the server left some unanswered to the end.
func (p *publisher) publish(group []*entry) error {
	if p.batches > 0 && len(group) >= p.batches {
		return p.publishBatches(group)
	}
	return p.publishEach(group)
}

// publishEach sends a group as single messages and then waits for their acks.
func (p *publisher) publishEach(group []*entry) error {
	waiting := group
	var err error
	for range ackTries {
		start := p.serial
		for _, e := range waiting {
			e.msg.Reply = p.inbox + strconv.FormatUint(p.serial, 10)
			p.serial++
			if err := p.nc.PublishMsg(e.msg); err != nil {
				return fmt.Errorf("publishing: %w", err)
			}
		}
		if waiting, err = p.collect(waiting, start); len(waiting) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d of %d records: %w", len(waiting), len(group), err)
}

// collect waits for the acks of entries that were sent as serial numbers from
// start on, and returns those that got none in time.
func (p *publisher) collect(sent []*entry, start uint64) ([]*entry, error) {
	timeout := time.NewTimer(p.timeout)
	defer timeout.Stop()
	answered := make([]bool, len(sent))
	var last error // the newest reason why one is missing
	for left := len(sent); left > 0; {
		select {
		case m := <-p.acks:
			serial, err := strconv.ParseUint(m.Subject[len(p.inbox):], 10, 64)
			if err != nil || serial < start || serial-start >= uint64(len(sent)) || answered[serial-start] {
				continue // late: the record was sent again meanwhile
			}
			e := sent[serial-start]
			if p.dropAck != nil && p.dropAck(e.record.ID) {
				continue
			}
			if err := e.answer(m); err != nil {
				last = err // nobody took it: it is sent again after the timeout
				continue
			}
			answered[serial-start] = true
			left--
		case <-timeout.C:
			if last == nil {
				last = fmt.Errorf("no ack within %v", p.timeout)
			}
			var missing []*entry
			for i, e := range sent {
				if !answered[i] {
					missing = append(missing, e)
				}
			}
			return missing, last
		}
	}
	return nil, nil
}

// answer takes the server's answer to a publish. It returns an error when that
// was no answer from a stream.
func (e *entry) answer(m *nats.Msg) error {
	ack, err := parseAck(m)
	if err != nil {
		return err
	}
	switch {
	case ack.Error == nil:
		e.acked, e.duplicate, e.record.Seq = true, ack.Duplicate, ack.Sequence
	case ack.Error.Code >= 500:
		return ack.Error
	default:
		e.err = fmt.Errorf("the server refused the record: %w", ack.Error)
	}
	return nil
}

// ack is the server's answer to a publish or to the end of a batch.
type ack struct {
	Error     *jetstream.APIError `json:"error"`
	Stream    string              `json:"stream"`
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Batch     string              `json:"batch"`
	Count     uint64              `json:"count"`
}

// The ack that nearly every publish gets, read without encoding/json.
var (
	ackPrefix = []byte(`{"stream":"` + streamEvents + `","seq":`)
	ackSuffix = []byte(`}`)
)

func parseAck(m *nats.Msg) (ack, error) {
	if rest, ok := bytes.CutPrefix(bytes.TrimSpace(m.Data), ackPrefix); ok {
		if digits, ok := bytes.CutSuffix(rest, ackSuffix); ok {
			if seq, err := strconv.ParseUint(strings.TrimSpace(string(digits)), 10, 64); err == nil {
				return ack{Stream: streamEvents, Sequence: seq}, nil
			}
		}
	}
	var a ack
	if len(m.Data) == 0 {
		return a, errors.New("no stream listens: " + m.Header.Get("Status"))
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("an ack that is none: %w", err)
	}
	if a.Error == nil && (a.Stream != streamEvents || a.Sequence == 0) {
		return a, fmt.Errorf("an ack of stream %q, sequence %d", a.Stream, a.Sequence)
	}
	return a, nil
}
