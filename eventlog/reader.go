package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readBatch is how many records one request to the server asks for: enough that
// requests cost nothing beside the records, few enough to stay in the caches.
const (
	readBatch      = 1024
	readBatchBytes = 4 << 20
	readStall      = 10 * time.Second // without a message for so long, a reader starts over
	readTries      = 3
)

// errStalled makes a reader start over with a new consumer.
var errStalled = errors.New("the server stopped delivering")

// reader reads a stream through an ephemeral pull consumer, one request at a time;
// the next request is sent before the records of the last are handed out, so that
// server and caller work at the same time. For one goroutine.
type reader struct {
	l      *Log
	stream string
	filter string // subject; "" for all
	next   uint64
	live   bool // wait at the end of the stream for more, instead of returning nothing

	sub       *nats.Subscription
	inbox     string // subject of answers, before the request's number
	pull      string // subject of requests
	requests  uint64 // sent so far
	consumer  string
	open      bool   // a request is under way
	left      int    // messages that it may still bring
	delivered uint64 // consumer's count of messages, to notice a lost one
	held      []Record
}

func (l *Log) newReader(stream, filter string, from uint64) *reader {
	return &reader{l: l, stream: stream, filter: filter, next: from}
}

// read returns the next records, at most most and none past to; none at the end of
// the stream. What the server sent past to is kept for the next call.
func (r *reader) read(ctx context.Context, most int, to uint64) ([]Record, error) {
	if len(r.held) == 0 {
		if err := r.fill(ctx, to); err != nil {
			return nil, err
		}
	}
	n := 0
	for n < len(r.held) && n < most && r.held[n].Seq <= to {
		n++
	}
	records := r.held[:n:n]
	r.held = r.held[n:]
	return records, nil
}

// fill gets at least one record, unless the stream has no more.
func (r *reader) fill(ctx context.Context, to uint64) error {
	var last error
	for range readTries {
		err := r.receive(ctx, to)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errStalled) {
			return err
		}
		r.close()
		last = err
	}
	return last
}

func (r *reader) receive(ctx context.Context, to uint64) error {
	if r.sub == nil {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	if !r.open {
		if err := r.request(to); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	records := make([]Record, 0, min(r.left, readBatch))
	for r.open {
		if r.live && len(records) > 0 {
			if n, _, err := r.sub.Pending(); err == nil && n == 0 {
				break
			}
		}
		record, err := r.receiveOne(ctx)
		if err != nil && len(records) == 0 {
			return err
		}
		if err != nil {
			break // it comes again at the next call, which has nothing to hand out first
		}
		if record.Seq > 0 {
			records = append(records, record)
		} else if r.live && len(records) == 0 {
			if err := r.request(to); err != nil {
				return err
			}
		}
	}
	r.held = records
	if !r.open && len(records) > 0 && r.next <= to {
		return r.request(to)
	}
	return nil
}

// receiveOne returns the next record that the request brings, or none when the
// server says that it brings no more.
func (r *reader) receiveOne(ctx context.Context) (Record, error) {
	m, err := r.sub.NextMsgWithContext(ctx)
	// An earlier request may end with a word of its own after its last message.
	for err == nil && strings.HasPrefix(m.Subject, r.inbox) && m.Subject != r.answer() {
		m, err = r.sub.NextMsgWithContext(ctx)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", errStalled, err)
	}
	if len(m.Data) == 0 && m.Header.Get("Status") != "" {
		if description := m.Header.Get("Description"); strings.Contains(description, "Consumer") {
			return Record{}, fmt.Errorf("%w: %s", errStalled, description)
		}
		r.open = false
		return Record{}, nil
	}
	p, err := parsePlace(m)
	if err != nil {
		return Record{}, err
	}
	if p.delivered != r.delivered+1 {
		return Record{}, fmt.Errorf("%w: message %d of the consumer came after %d", errStalled, p.delivered, r.delivered)
	}
	r.delivered, r.next = p.delivered, p.seq+1
	if r.left--; r.left == 0 {
		r.open = false
	}
	return decode(p.seq, m.Header, m.Data), nil
}

// start makes the consumer.
func (r *reader) start(ctx context.Context) error {
	consumer, err := r.l.js.CreateConsumer(ctx, r.stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(r.next, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubject:     r.filter,
		MaxWaiting:        8,
		InactiveThreshold: time.Minute,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("making a consumer of %s: %w", r.stream, err)
	}
	r.inbox = nats.NewInbox() + "."
	if r.sub, err = r.l.nc.SubscribeSync(r.inbox + "*"); err != nil {
		return err
	}
	r.consumer = consumer.CachedInfo().Name
	r.pull = "$JS.API.CONSUMER.MSG.NEXT." + r.stream + "." + r.consumer
	r.open, r.left, r.delivered, r.held = false, 0, 0, nil
	return nil
}

// request asks for the next messages, as many as there can be up to to.
func (r *reader) request(to uint64) error {
	request := struct {
		Batch    int           `json:"batch"`
		MaxBytes int           `json:"max_bytes"`
		NoWait   bool          `json:"no_wait,omitempty"`
		Expires  time.Duration `json:"expires,omitempty"`
	}{Batch: readBatch, MaxBytes: readBatchBytes, NoWait: !r.live}
	if r.live {
		request.Expires = readStall / 2
	} else if to >= r.next {
		request.Batch = int(min(readBatch, to-r.next+1))
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r.requests++
	r.open, r.left = true, request.Batch
	return r.l.nc.PublishRequest(r.pull, r.answer(), body)
}

// answer returns where the server answers the request under way.
func (r *reader) answer() string { return r.inbox + strconv.FormatUint(r.requests, 10) }

// close ends the reader. It can be started again at its place.
func (r *reader) close() {
	if r.sub == nil {
		return
	}
	// Errors here mean that the connection is gone, and the rest with it: the
	// server forgets an idle consumer by itself.
	_ = r.sub.Unsubscribe()
	_ = r.l.nc.Publish("$JS.API.CONSUMER.DELETE."+r.stream+"."+r.consumer, nil)
	r.sub = nil
}

// place is where a delivered message stands.
type place struct{ seq, delivered uint64 }

// parsePlace reads a message's place from its reply subject,
// $JS.ACK.<stream>.<consumer>.<tries>.<seq>.<delivered>.<time>.<pending>, with a
// domain and an account before the stream and perhaps a token at the end when it
// comes from afar.
func parsePlace(m *nats.Msg) (place, error) {
	const local = 9
	if strings.Count(m.Reply, ".") == local-1 && strings.HasPrefix(m.Reply, "$JS.ACK.") {
		rest := m.Reply
		for range 5 {
			_, rest, _ = strings.Cut(rest, ".")
		}
		seq, rest, _ := strings.Cut(rest, ".")
		delivered, _, _ := strings.Cut(rest, ".")
		s, err1 := strconv.ParseUint(seq, 10, 64)
		d, err2 := strconv.ParseUint(delivered, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return place{}, fmt.Errorf("a message without a place: %q", m.Reply)
		}
		return place{s, d}, nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return place{}, fmt.Errorf("a message without a place, %q: %w", m.Reply, err)
	}
	return place{meta.Sequence.Stream, meta.Sequence.Consumer}, nil
}
