package eventlog

import (
	"bytes"
	"context"
	"strings"

	"github.com/nats-io/nats.go"
)

// feed is how messages come to a reader: over a wire from the embedded server,
// through the NATS client from an outside one, and to who waits for them. For one goroutine; any error but
// the end of a context given to next leaves it of no more use.
type feed interface {
	// request asks for messages; what the server has to say itself comes to reply.
	request(subject, reply string, body []byte) error
	// next returns the next message in the order they were sent. Its header and data are
	// good until the one after it is asked for.
	next(ctx context.Context) (message, error)
	// watch lets ctx break next, too, until stop is called.
	watch(ctx context.Context) (stop func() bool)
	// idle reports that no message has arrived which next would return at once.
	idle() bool
	close()
}

// message is one that was delivered to a reader.
type message struct {
	subject string
	reply   string
	header  []byte      // as on the wire, or
	fields  nats.Header // as the NATS client reads it
	data    []byte
}

// record decodes the message into r.
func (m *message) record(r *Record, seq uint64) {
	if m.fields != nil {
		*r = decode(seq, m.subject, m.fields, m.data)
		return
	}
	*r = Record{Seq: seq}
	r.decodeRaw([]byte(m.subject), m.header, m.data)
}

// status returns the text of a message that is a word of the server's own: "404
// No Messages"; "" for a record.
func (m *message) status() string {
	if len(m.data) > 0 {
		return ""
	}
	if m.fields != nil {
		return strings.TrimSpace(m.fields.Get("Status") + " " + m.fields.Get("Description"))
	}
	line, _, _ := bytes.Cut(m.header, []byte("\r\n"))
	_, status, _ := bytes.Cut(line, []byte(" "))
	return string(status)
}

// subscription is the feed through the NATS client.
type subscription struct {
	nc  *nats.Conn
	sub *nats.Subscription
}

func (l *Log) openFeed(subject string, live bool) (feed, error) {
	if l.server != nil && !live {
		return l.server.openWire(subject)
	}
	sub, err := l.nc.SubscribeSync(subject)
	if err != nil {
		return nil, err
	}
	return subscription{l.nc, sub}, nil
}

func (s subscription) request(subject, reply string, body []byte) error {
	return s.nc.PublishRequest(subject, reply, body)
}

func (s subscription) next(ctx context.Context) (message, error) {
	m, err := s.sub.NextMsgWithContext(ctx)
	if err != nil {
		return message{}, err
	}
	return message{subject: m.Subject, reply: m.Reply, fields: m.Header, data: m.Data}, nil
}

func (s subscription) watch(context.Context) func() bool { return func() bool { return true } }

func (s subscription) idle() bool {
	n, _, err := s.sub.Pending()
	return err == nil && n == 0
}

func (s subscription) close() {
	_ = s.sub.Unsubscribe() // fails only when the connection is gone already
}
