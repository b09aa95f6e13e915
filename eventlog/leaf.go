package eventlog

import (
	"encoding/binary"
	"errors"
	"iter"
	"maps"
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
// nil. RecordOfLeaf reads one back.
func (r *Record) Leaf() []byte { return r.AppendLeaf(nil) }

// AppendLeaf appends the record's leaf to b, which is returned as it is when the record
// has none.
func (r *Record) AppendLeaf(b []byte) []byte {
	if r.origin.subject == "" {
		return b
	}
	b = slices.Grow(b, 8+3*4+len(r.origin.subject)+len(r.origin.header)+len(r.origin.body))
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = appendSized(b, r.origin.subject)
	if strings.HasPrefix(r.origin.header, wireVersion) {
		b = appendWireHeader(b, r.origin.header)
	} else {
		b = appendSized(b, r.origin.header)
	}
	return appendSized(b, r.origin.body)
}

func appendSized[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// headerLine is a line of a header, and how long the name in it is.
type headerLine struct {
	text string
	name int
}

// appendWireHeader appends a wire's header as a leaf has it. The client writes the lines
// in no order.
func appendWireHeader(b []byte, wire string) []byte {
	var few [24]headerLine // most have half as many
	lines := few[:0]
	for text := range headerLines(wire) {
		name := strings.IndexByte(text, ':')
		if name < 0 {
			name = len(text)
		}
		lines = append(lines, headerLine{text, name})
	}
	slices.SortStableFunc(lines, func(a, b headerLine) int { return strings.Compare(a.text[:a.name], b.text[:b.name]) })
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, l := range lines {
		b = append(append(b, l.text...), '\n')
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// headerLines yields the lines of a wire's header, but for the version.
func headerLines(wire string) iter.Seq[string] {
	return func(yield func(string) bool) {
		first, rest, _ := strings.Cut(wire, "\r\n")
		if first != wireVersion && !yield(first) { // nobody wrote it so
			return
		}
		for rest != "" {
			var line string
			if line, rest, _ = strings.Cut(rest, "\r\n"); line != "" && !yield(line) {
				return
			}
		}
	}
}

// leafFields is the same of a header that the NATS client has read.
func leafFields(header nats.Header) string {
	var leaf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(answerHeaders, name) {
			continue
		}
		for _, value := range header[name] {
			leafLine(&leaf, name, value)
		}
	}
	return leaf.String()
}

func leafLine(leaf *strings.Builder, name, value string) {
	leaf.WriteString(name)
	leaf.WriteString(": ")
	leaf.WriteString(value)
	leaf.WriteByte('\n')
}

// errNoLeaf says that bytes are not what AppendLeaf writes.
var errNoLeaf = errors.New("these bytes are no record's leaf")

// RecordOfLeaf returns the record that a leaf stands for. One that the log itself
// could not read has Err set, as it has there.
func RecordOfLeaf(leaf []byte) (Record, error) {
	if len(leaf) < 8 {
		return Record{}, errNoLeaf
	}
	var parts [3][]byte
	rest := leaf[8:]
	for i := range parts {
		if len(rest) < 4 {
			return Record{}, errNoLeaf
		}
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return Record{}, errNoLeaf
		}
		parts[i], rest = rest[:size:size], rest[size:]
	}
	subject, header, body := string(parts[0]), string(parts[1]), parts[2]
	if len(rest) > 0 || subject == "" {
		return Record{}, errNoLeaf
	}
	seq := binary.BigEndian.Uint64(leaf)
	r := decodeRaw(seq, subject, wireVersion+"\r\n"+strings.ReplaceAll(header, "\n", "\r\n"), body)
	r.origin.header = header
	return r, nil
}
