package eventlog

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

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
	if subject, _, _ := cutSized(r.origin); subject == "" {
		return b
	}
	b = slices.Grow(b, 8+len(r.origin))
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	return append(b, r.origin...)
}

// leafWriter writes a leaf, but for the place. What was written can be cut out of its
// String while more is: it stays where it is.
type leafWriter struct{ strings.Builder }

// begin makes room for a leaf whose parts have these lengths.
func (w *leafWriter) begin(subject, header, body int) {
	w.Grow(3*4 + subject + header + body)
	w.size(subject)
}

// size writes how long the part is that comes next.
func (w *leafWriter) size(n int) {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(n))
	w.Write(size[:])
}

// line writes a line of the header.
func (w *leafWriter) line(name, value string) {
	w.WriteString(name)
	w.WriteString(": ")
	w.WriteString(value)
	w.WriteByte('\n')
}

// end writes the body.
func (w *leafWriter) end(body []byte) string {
	w.size(len(body))
	w.Write(body)
	return w.String()
}

// newLeaf returns a leaf, but for the place, whose header is as a leaf has it.
func newLeaf(subject, header string, body []byte) string {
	var w leafWriter
	w.begin(len(subject), len(header), len(body))
	w.WriteString(subject)
	w.size(len(header))
	w.WriteString(header)
	return w.end(body)
}

// cutSized splits a leaf behind a part that stands behind its length.
func cutSized(leaf string) (part, rest string, ok bool) {
	if len(leaf) < 4 {
		return "", "", false
	}
	size := uint64(leaf[0])<<24 | uint64(leaf[1])<<16 | uint64(leaf[2])<<8 | uint64(leaf[3])
	if leaf = leaf[4:]; size > uint64(len(leaf)) {
		return "", "", false
	}
	return leaf[:size], leaf[size:], true
}

// leafFields returns a header that the NATS client has read as a leaf has it.
func leafFields(header nats.Header) string {
	var leaf leafWriter
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(answerHeaders, name) {
			continue
		}
		for _, value := range header[name] {
			leaf.line(name, value)
		}
	}
	return leaf.String()
}

// errNoLeaf says that bytes are not what AppendLeaf writes.
var errNoLeaf = errors.New("these bytes are no record's leaf")

// RecordOfLeaf returns the record that a leaf stands for. One that the log itself
// could not read has Err set, as it has there.
func RecordOfLeaf(leaf []byte) (Record, error) {
	if len(leaf) < 8 {
		return Record{}, errNoLeaf
	}
	origin := string(leaf[8:])
	subject, rest, ok1 := cutSized(origin)
	header, rest, ok2 := cutSized(rest)
	body, rest, ok3 := cutSized(rest)
	if !ok1 || !ok2 || !ok3 || rest != "" || subject == "" {
		return Record{}, errNoLeaf
	}
	wire := wireVersion + "\r\n" + strings.ReplaceAll(header, "\n", "\r\n")
	r := Record{Seq: binary.BigEndian.Uint64(leaf)}
	r.decodeRaw([]byte(subject), []byte(wire), []byte(body))
	r.origin = origin
	return r, nil
}
