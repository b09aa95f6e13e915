package eventlog

import (
	"bytes"
	"iter"
	"slices"
	"strings"

	"github.com/synadia-io/orbit.go/jetstreamext"
)

// wireVersion is the first line of a header on the wire.
const wireVersion = "NATS/1.0"

// field is a header of the log's own messages, by its place in the order of their names.
type field int

const (
	fieldBatchCommit field = iota
	fieldBatchID
	fieldBatchSeq
	fieldMsgID
	fieldOrigin
	fieldActor
	fieldCausation
	fieldCorrelation
	fieldDataSchema
	fieldID
	fieldKey
	fieldSocket
	fieldSource
	fieldSpecVersion
	fieldSubject
	fieldTime
	fieldType
	fieldCount

	noField field = -1
)

var fieldNames = [fieldCount]string{
	jetstreamext.BatchCommitHeader, jetstreamext.BatchIDHeader, jetstreamext.BatchSeqHeader, headerMsgID, headerOrigin,
	headerActor, headerCausation, headerCorrelation, headerDataSchema, headerID, headerKey, headerSocket, headerSource,
	headerSpecVersion, headerSubject, headerTime, headerType,
}

// fieldsByLength holds the fields whose names have a length.
var fieldsByLength = func() (of [32][]field) {
	for f, name := range fieldNames {
		of[len(name)] = append(of[len(name)], field(f))
	}
	return of
}()

// fieldOf returns the field of that name, noField when there is none.
func fieldOf(name []byte) field {
	if len(name) < len(fieldsByLength) {
		for _, f := range fieldsByLength[len(name)] {
			if fieldNames[f] == string(name) {
				return f
			}
		}
	}
	return noField
}

// wireLines are the lines of a header by their fields, nil for those that it lacks.
type wireLines [fieldCount][]byte

// find finds the lines of a header as the client writes it: in no order, but each field
// no more than once, and no others. Size is how many bytes they have in a leaf.
func (l *wireLines) find(header []byte) (size int, ok bool) {
	rest, ok := bytes.CutPrefix(header, []byte(wireVersion+"\r\n"))
	for ok && len(rest) > 0 {
		end := bytes.IndexByte(rest, '\r')
		if end < 0 || end+1 == len(rest) || rest[end+1] != '\n' {
			return 0, false
		}
		line := rest[:end]
		if rest = rest[end+2:]; len(line) == 0 {
			continue
		}
		f := fieldOf(line[:max(bytes.IndexByte(line, ':'), 0)])
		if f == noField || l[f] != nil {
			return 0, false
		}
		l[f] = line
		size += len(line) + len("\n")
	}
	return size, ok
}

// leafOfWire returns any header on the wire as a leaf has it.
func leafOfWire(wire string) string {
	if !strings.HasPrefix(wire, wireVersion) {
		return wire
	}
	nameOf := func(line string) string { name, _, _ := strings.Cut(line, ":"); return name }
	lines := slices.Collect(headerLines(wire))
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) })
	var leaf strings.Builder
	for _, line := range lines {
		leaf.WriteString(line + "\n")
	}
	return leaf.String()
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
