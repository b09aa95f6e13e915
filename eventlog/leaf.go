package eventlog

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// origin is a record as the log stores it, for who proves that it still does.
type origin struct {
	subject string
	header  string // as on the wire, or already as a leaf has it
	body    []byte
}

// wireVersion is the first line of a header on the wire.
const wireVersion = "NATS/1.0"

// answerHeaders are those that the server adds to a message when it is asked for
// one: they are not stored with it.
var answerHeaders = []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence"}

// Leaf returns the bytes that stand for the record in a tree of hashes. Whatever of
// it is changed in the log, they change:
//
//	sequence(8) subject length(4) subject headers length(4) headers body length(4) body
//
// in big endian. Headers are the lines "name: value\n" as they are stored, in the order
// of their names; ce-time among them is when the record was accepted. When the server
// stored it is not part of it. A record that was not read from the log has no leaf:
// nil.
func (r *Record) Leaf() []byte {
	if r.origin.subject == "" {
		return nil
	}
	header := r.origin.header
	if strings.HasPrefix(header, wireVersion) {
		header = leafHeader(header)
	}
	leaf := make([]byte, 0, 8+3*4+len(r.origin.subject)+len(header)+len(r.origin.body))
	leaf = binary.BigEndian.AppendUint64(leaf, r.Seq)
	leaf = appendSized(leaf, r.origin.subject)
	leaf = appendSized(leaf, header)
	return appendSized(leaf, r.origin.body)
}

func appendSized[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// leafHeader is a wire's header as a leaf has it.
func leafHeader(wire string) string {
	first, rest, _ := strings.Cut(wire, "\r\n")
	var lines []string
	if first != wireVersion {
		lines = append(lines, first+"\n") // nobody wrote it so
	}
	for rest != "" {
		var line string
		if line, rest, _ = strings.Cut(rest, "\r\n"); line != "" {
			lines = append(lines, line+"\n")
		}
	}
	return sortedLines(lines)
}

// leafFields is the same of a header that the NATS client has read.
func leafFields(header nats.Header) string {
	var lines []string
	for name, values := range header {
		if slices.Contains(answerHeaders, name) {
			continue
		}
		for _, value := range values {
			lines = append(lines, name+": "+value+"\n")
		}
	}
	return sortedLines(lines)
}

// sortedLines joins lines in the order of their names, as the client writes them.
func sortedLines(lines []string) string {
	byName := func(a, b string) int {
		a, _, _ = strings.Cut(a, ":")
		b, _, _ = strings.Cut(b, ":")
		return strings.Compare(a, b)
	}
	if !slices.IsSortedFunc(lines, byName) {
		slices.SortStableFunc(lines, byName)
	}
	return strings.Join(lines, "")
}
