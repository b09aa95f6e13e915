package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	readPause      = 250 * time.Millisecond // between the tries of a live reader
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

	feed      feed   // nil until it is started
	inbox     string // subject of answers, before the request's number
	pull      string // subject of requests
	requests  uint64 // sent so far
	consumer  string
	open      bool     // a request is under way
	asked     int      // messages that it may bring
	left      int      // of these, messages that it may still bring
	delivered uint64   // consumer's count of messages, to notice a lost one
	page      []Record // what a request brought last
	held      []Record // of it, not yet handed out
}

func (l *Log) newReader(stream, filter string, from uint64) *reader {
	return &reader{l: l, stream: stream, filter: filter, next: from}
}

// read returns none at the end of the stream. What the server sent past to is kept for
// the next call.
func (r *reader) read(ctx context.Context, into []Record, most int, to uint64) ([]Record, error) {
	if len(r.held) == 0 {
		if err := r.fill(ctx, to); err != nil {
			return nil, err
		}
	}
	n := 0
	for n < len(r.held) && n < most && r.held[n].Seq <= to {
		n++
	}
	records := append(into[:0], r.held[:n]...)
	r.held = r.held[n:]
	return records, nil
}

// fill gets at least one record, unless the stream has no more. A live reader
// waits for an outside server that is away: it comes back, or ctx ends.
func (r *reader) fill(ctx context.Context, to uint64) error {
	var last error
	for tries := 0; tries < readTries || r.live; tries++ {
		if tries >= readTries {
			select {
			case <-time.After(readPause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
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
		last = err
	}
	return last
}

func (r *reader) receive(ctx context.Context, to uint64) error {
	if r.feed == nil {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	if !r.open {
		if err := r.request(to); err != nil {
			return err
		}
	}
	patience, cancel := context.WithTimeout(ctx, readStall)
	defer cancel()
	stop := r.feed.watch(patience)
	defer stop()
	records := slices.Grow(r.page[:0], min(r.left, readBatch))
	for r.open && (len(records) == 0 || !r.live || !r.feed.idle()) {
		records = append(records, Record{})
		last := &records[len(records)-1]
		err := r.receiveOne(patience, last)
		if err != nil || last.Seq == 0 {
			records = records[:len(records)-1]
		}
		if err != nil {
			if ctx.Err() == nil || !r.live {
				r.close() // to begin again behind what arrived
			}
			if len(records) == 0 {
				return err
			}
			break
		}
		if !r.open && r.live && len(records) == 0 {
			if err := r.request(to); err != nil {
				return err
			}
		}
	}
	r.page, r.held = records, records
	if r.feed != nil && !r.open && len(records) > 0 && r.next <= to {
		return r.request(to)
	}
	return nil
}

// receiveOne reads the next record that the request brings, or none when the server says
// that it brings no more.
func (r *reader) receiveOne(ctx context.Context, into *Record) error {
	m, err := r.feed.next(ctx)
	// An earlier request may end with a word of its own after its last message.
	for err == nil && strings.HasPrefix(m.subject, r.inbox) && m.subject != r.answer() {
		m, err = r.feed.next(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStalled, err)
	}
	if status := m.status(); status != "" {
		if !r.endsRequest(status) {
			return fmt.Errorf("%w: %s", errStalled, status)
		}
		r.open = false
		return nil
	}
	p, err := parsePlace(m.reply)
	if err != nil {
		return err
	}
	if p.delivered != r.delivered+1 {
		return fmt.Errorf("%w: message %d of the consumer came after %d", errStalled, p.delivered, r.delivered)
	}
	r.delivered, r.next = p.delivered, p.seq+1
	if r.left--; r.left == 0 {
		r.open = false
	}
	m.record(into, p.seq)
	return nil
}

// endsRequest tells the words of the server that end a request in good order from
// those that say nothing of the stream: that the consumer is gone, its server shuts
// down, nobody listens. Taken for the stream's end, these would hide what follows.
func (r *reader) endsRequest(status string) bool {
	switch code, why, _ := strings.Cut(status, " "); code {
	case "404": // the stream has no more
		return true
	case "408": // nothing came within its time
		return r.live
	case "409": // it has brought as many bytes as it may
		return r.left < r.asked && strings.HasPrefix(why, "Message Size Exceeds MaxBytes")
	}
	return false
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
		err = fmt.Errorf("making a consumer of %s: %w", r.stream, err)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.Code == 503 { // nobody answered, or not yet
			err = fmt.Errorf("%w: %w", errStalled, err)
		}
		return err
	}
	r.inbox = nats.NewInbox() + "."
	if r.feed, err = r.l.openFeed(r.inbox+"*", r.live); err != nil {
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
	r.open, r.asked, r.left = true, request.Batch, request.Batch
	if err := r.feed.request(r.pull, r.answer(), body); err != nil {
		return fmt.Errorf("%w: %w", errStalled, err)
	}
	return nil
}

// answer returns where the server answers the request under way.
func (r *reader) answer() string { return r.inbox + strconv.FormatUint(r.requests, 10) }

// close ends the reader. It can be started again at its place.
func (r *reader) close() {
	if r.feed == nil {
		return
	}
	r.feed.close()
	r.feed = nil
	// An error here means that the connection is gone; the server forgets an idle
	// consumer by itself.
	_ = r.l.nc.Publish("$JS.API.CONSUMER.DELETE."+r.stream+"."+r.consumer, nil)
}

// place is where a delivered message stands.
type place struct{ seq, delivered uint64 }

// parsePlace reads a message's place from its reply subject,
// $JS.ACK.<stream>.<consumer>.<tries>.<seq>.<delivered>.<time>.<pending>; from
// afar <domain>.<account> come before the stream, and a token may follow the rest.
func parsePlace(reply string) (place, error) {
	skip := 5
	if strings.Count(reply, ".") > 8 {
		skip = 7
	}
	rest := reply
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	seq, rest, _ := strings.Cut(rest, ".")
	delivered, _, _ := strings.Cut(rest, ".")
	s, err1 := strconv.ParseUint(seq, 10, 64)
	d, err2 := strconv.ParseUint(delivered, 10, 64)
	if err := errors.Join(err1, err2); err != nil || !strings.HasPrefix(reply, "$JS.ACK.") {
		return place{}, fmt.Errorf("a message without a place: %q", reply)
	}
	return place{s, d}, nil
}
