package eventlog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"roomlog/schema"

	"github.com/nats-io/nats.go"
)

// The headers of a record: CloudEvents 1.0 in binary mode, as the NATS protocol
// binding names them. NATS header names are case-sensitive; these are exact.
const (
	headerSpecVersion = "ce-specversion"
	headerID          = "ce-id"
	headerType        = "ce-type"
	headerSource      = "ce-source"
	headerTime        = "ce-time"
	headerSubject     = "ce-subject"
	headerDataSchema  = "ce-dataschema"
	headerActor       = "ce-actor"
	headerCorrelation = "ce-correlationid"
	headerCausation   = "ce-causationid"
	headerKey         = "ce-idempotencykey"
	headerSocket      = "ce-socketid"
	headerMsgID       = "Nats-Msg-Id" // the server drops a second message of that id
	headerOrigin      = "Nats-Stream-Source"

	specVersion  = "1.0"
	schemaPrefix = "urn:roomlog:schema:" // then "post.create.v1"
)

// errForeign says why a message of a stream is no record.
var errForeign = errors.New("the message is not a record of roomlog")

// encode turns a record into the message that is published, and says how many
// bytes the server stores of it. The data of the record that it returns shares
// memory with the message and not with r.
func encode(r Record, subject, source string) (*nats.Msg, Record, int, error) {
	if r.ID == "" {
		return nil, r, 0, errors.New("the record has no id")
	}
	body, data, err := encodeBody(r.Actor, r.Data)
	if err != nil {
		return nil, r, 0, err
	}
	r.Data = data
	fields := [fieldCount]string{
		fieldMsgID:       r.ID,
		fieldActor:       r.Actor.ID,
		fieldCausation:   r.CausationID,
		fieldCorrelation: r.CorrelationID,
		fieldDataSchema:  schemaName(r.Event, r.Version),
		fieldID:          r.ID,
		fieldKey:         r.Key,
		fieldSocket:      r.Socket,
		fieldSource:      source,
		fieldSpecVersion: specVersion,
		fieldSubject:     r.Entity,
		fieldTime:        r.Time.String(),
		fieldType:        r.Event,
	}
	// One array behind all values: the map's slices then cost no allocation each.
	values := make([]string, len(fields))
	header := make(nats.Header, len(fields)-int(fieldActor)) // as large as it usually gets
	lines := 0
	for f, value := range fields {
		if value == "" {
			continue
		}
		values[f] = escape(value)
		header[fieldNames[f]] = values[f : f+1 : f+1]
		lines += len(fieldNames[f]) + len(": \n") + len(values[f])
	}
	size := len(subject) + len("NATS/1.0\r\n\r\n") + lines + len("\r")*len(header) + len(body)
	var leaf leafWriter
	leaf.begin(len(subject), lines, len(body))
	leaf.WriteString(subject)
	leaf.size(lines)
	for f, value := range values {
		if value != "" {
			leaf.line(fieldNames[f], value)
		}
	}
	r.origin = leaf.end(body)
	return &nats.Msg{Subject: subject, Header: header, Data: body}, r, size, nil
}

// decode turns a message back into a record. A message that is no record comes
// back with Err set and whatever could be read.
func decode(seq uint64, subject string, header nats.Header, body []byte) Record {
	r := Record{Seq: seq, origin: newLeaf(subject, leafFields(header), body)}
	d := decoder{Record: &r}
	for name, values := range header {
		if len(values) > 0 {
			d.set(fieldOf([]byte(name)), values[0])
		}
	}
	d.finish(len(body))
	return r
}

// decodeRaw does as decode with the header as it is on the wire: a first line with
// the version, then lines "name: value", then an empty one. The record has its place
// already. It keeps nothing of what it is given: its text is cut out of its leaf.
func (r *Record) decodeRaw(subject, header, body []byte) {
	d := decoder{Record: r}
	var lines wireLines
	size, ok := lines.find(header)
	if !ok {
		d.setAny(string(subject), string(header), body)
		d.finish(len(body))
		return
	}
	var leaf leafWriter
	leaf.begin(len(subject), size, len(body))
	leaf.Write(subject)
	leaf.size(size)
	for f, line := range lines {
		if line == nil {
			continue
		}
		value := len(fieldNames[f]) + len(":")
		for value < len(line) && (line[value] == ' ' || line[value] == '\t') {
			value++
		}
		value += leaf.Len()
		leaf.Write(line)
		d.set(field(f), leaf.String()[value:])
		leaf.WriteByte('\n')
	}
	r.origin = leaf.end(body)
	d.finish(len(body))
}

// decoder gathers a record from its headers.
type decoder struct {
	*Record
	spec, time, schema string
}

// set takes one header. Of several with one name the first counts, as it does for
// NATS itself.
func (d *decoder) set(f field, value string) {
	var to *string
	switch f {
	case fieldSpecVersion:
		to = &d.spec
	case fieldTime:
		to = &d.time
	case fieldDataSchema:
		to = &d.schema
	case fieldID:
		to = &d.ID
	case fieldType:
		to = &d.Event
	case fieldSubject:
		to = &d.Entity
	case fieldCorrelation:
		to = &d.CorrelationID
	case fieldCausation:
		to = &d.CausationID
	case fieldKey:
		to = &d.Key
	case fieldSocket:
		to = &d.Socket
	case fieldOrigin: // the server's own, and not escaped
		d.Origin = originOf(value)
		return
	default:
		return
	}
	if *to != "" {
		return
	}
	v, err := unescape(value)
	if err != nil && d.Err == nil {
		d.Err = fmt.Errorf("%w: %s: %w", errForeign, fieldNames[f], err)
	}
	*to = v
}

// setAny takes any header on the wire, whoever wrote it.
func (d *decoder) setAny(subject, header string, body []byte) {
	d.origin = newLeaf(subject, leafOfWire(header), body)
	_, rest, _ := strings.Cut(header, "\r\n")
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		if name, value, ok := strings.Cut(line, ":"); ok {
			d.set(fieldOf([]byte(name)), strings.TrimLeft(value, " \t"))
		}
	}
}

// finish reads the body, with which the leaf ends.
func (d *decoder) finish(body int) {
	if d.Err == nil {
		d.Err = d.check(d.origin[len(d.origin)-body:])
	}
}

// check reads what is more than text, and says what is missing.
func (d *decoder) check(body string) (err error) {
	if d.spec != specVersion {
		return fmt.Errorf("%w: %s is %q, not %q", errForeign, headerSpecVersion, d.spec, specVersion)
	}
	if d.ID == "" || d.Event == "" {
		return fmt.Errorf("%w: %s or %s is missing", errForeign, headerID, headerType)
	}
	if d.Time, err = parseTime(d.time); err != nil {
		return fmt.Errorf("%w: %s: %w", errForeign, headerTime, err)
	}
	if d.Version, err = schemaVersion(d.schema); err != nil {
		return fmt.Errorf("%w: %s: %w", errForeign, headerDataSchema, err)
	}
	if d.Actor, d.Data, err = decodeBody(body); err != nil {
		return fmt.Errorf("%w: %w", errForeign, err)
	}
	return nil
}

// schemaName returns the URI of an event's data schema:
// "urn:roomlog:schema:post.create.v1".
func schemaName(event string, version int) string {
	return schemaPrefix + strings.Replace(event, ":", ".", 1) + ".v" + strconv.Itoa(version)
}

func schemaVersion(uri string) (int, error) {
	i := strings.LastIndex(uri, ".v")
	if i < 0 {
		return 0, fmt.Errorf("%q names no version", uri)
	}
	version, err := strconv.Atoi(uri[i+2:])
	if err != nil || version < 1 {
		return 0, fmt.Errorf("%q names no version", uri)
	}
	return version, nil
}

// parseTime reads an RFC 3339 time; the form that encode writes takes a shortcut,
// since time.Parse is what decoding a record would otherwise spend most on.
func parseTime(s string) (schema.Time, error) {
	if t, ok := parseMillis(s); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, err
	}
	return schema.TimeOf(t), nil
}

// parseMillis reads "2006-01-02T15:04:05.000Z" and nothing else.
func parseMillis(s string) (schema.Time, bool) {
	const form = "0000-00-00T00:00:00.000Z"
	if len(s) != len(form) {
		return 0, false
	}
	for i := range len(form) {
		if digit := s[i] >= '0' && s[i] <= '9'; form[i] == '0' && !digit || form[i] != '0' && s[i] != form[i] {
			return 0, false
		}
	}
	number := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second, milli := number(11, 13), number(14, 16), number(17, 19), number(20, 23)
	if month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return 0, false // a rare day, or none: time.Parse knows
	}
	return schema.TimeOf(time.Date(year, time.Month(month), day, hour, minute, second, milli*1e6, time.UTC)), true
}

// escape percent-encodes a header value as the CloudEvents bindings for HTTP and
// NATS say: space, double quote, percent, and all but printable ASCII.
func escape(s string) string {
	n := 0
	for i := range len(s) {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEscape(c) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte) bool { return c <= ' ' || c > '~' || c == '"' || c == '%' }

// unescape undoes escape. It takes hex digits of either case.
func unescape(s string) (string, error) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, nil
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("a percent sign without two hex digits")
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("a percent sign without two hex digits")
		}
		b = append(b, byte(v))
		i += 2
	}
	return string(b), nil
}
