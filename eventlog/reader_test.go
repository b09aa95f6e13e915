package eventlog

import (
	"context"
	"testing"
)

// lastWords is a feed that answers every request with a word of the server's own.
type lastWords struct {
	feed
	status, subject string
}

func (w *lastWords) request(_, reply string, _ []byte) error { w.subject = reply; return nil }
func (w *lastWords) watch(context.Context) func() bool       { return func() bool { return true } }
func (w *lastWords) close()                                  {}

func (w *lastWords) next(context.Context) (message, error) {
	return message{subject: w.subject, header: []byte("NATS/1.0 " + w.status + "\r\n\r\n")}, nil
}

// What a server says when it or the consumer goes away is not taken for the end of
// the stream: the reader starts over and brings the rest.
func TestReaderIsNotMisled(t *testing.T) {
	l := openLog(t, Config{})
	for range 3 {
		mustAppend(t, l, post("alice", "hello"))
	}
	for status, want := range map[string]int{
		"404 No Messages":                      0, // the one word that means it
		"503":                                  3,
		"408 Request Timeout":                  3,
		"408 Requests Pending":                 3,
		"409 Server Shutdown":                  3,
		"409 Leadership Change":                3,
		"409 Consumer Deleted":                 3,
		"409 Message Size Exceeds MaxBytes":    3, // before the first message
		"409 Something That Later Servers Say": 3,
	} {
		r := l.newReader(streamEvents, "", 1)
		r.feed = &lastWords{status: status}
		records, err := r.read(context.Background(), nil, 10, 3)
		if err != nil || len(records) != want {
			t.Errorf("after %q: %d records, want %d: %v", status, len(records), want, err)
		}
		r.close()
	}
}
