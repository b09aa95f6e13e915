package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate checks what a client sent as an event's data (of a Push: what the
// server sends) against the event's schema file; nil data stands for {}. The
// message names the field by JSON pointer and says what is expected:
// "/content: at most 4000 characters". Of several errors it is the most telling:
// UNKNOWN_FIELD, then MISSING_FIELD, then INVALID_FIELD, then the first. What is
// not JSON in UTF-8, or is nested deeper than MaxDepth, is BAD_FRAME.
//
// It is stricter than JSON Schema in two places: a field given twice is invalid,
// and a whole number is written in plain digits.
func Validate(e *Event, data json.RawMessage) *Error {
	return contracts()[e.Name].data.verdict(data)
}

// ValidatePush checks the data of a push, as Validate does.
func ValidatePush(e *Event, data json.RawMessage) *Error {
	c := contracts()[e.Name]
	switch {
	case c.push != nil:
		return c.push.verdict(data)
	case e.Kind == Push:
		return c.data.verdict(data)
	}
	return NewError(Internal, e.Name+" is never pushed")
}

// ValidateAck checks the data of an ack that is ok, as Validate does.
func ValidateAck(e *Event, data json.RawMessage) *Error {
	c := contracts()[e.Name]
	switch {
	case c.ack != nil:
		return c.ack.verdict(data)
	case e.Kind == Fact:
		return c.push.verdict(data)
	}
	return NewError(Internal, e.Name+" is never acked")
}

// verdict judges a JSON text that may be anything.
func (r *rule) verdict(data []byte) *Error {
	if data == nil {
		data = []byte("{}")
	}
	if !utf8.Valid(data) {
		return NewError(BadFrame, "the data is not UTF-8")
	}
	s := scanner{b: data}
	err := s.skip(MaxDepth)
	if s.peek(); err == nil && s.i < len(data) {
		err = errSyntax
	}
	if err != nil {
		return NewError(BadFrame, fmt.Sprintf("the data is no JSON object: %v at byte %d", err, s.i))
	}
	c := checker{scanner: scanner{b: data}}
	c.value(r)
	return c.err
}

// rank orders the codes by how much they tell of what is wrong.
func rank(code Code) int {
	switch code {
	case UnknownField:
		return 3
	case MissingField:
		return 2
	}
	return 1
}

// checker walks well-formed JSON along a rule.
type checker struct {
	scanner
	quiet  bool // only failed counts
	failed bool
	err    *Error // the most telling one so far

	path []step // the way to the current value
}

// step is a field's name or, where that is nil, a place in a list.
type step struct {
	name  []byte
	index int
}

// fail notes an error at the current value, or at the field name of it.
func (c *checker) fail(code Code, name []byte, message string) {
	c.failed = true
	if c.quiet || c.err != nil && rank(code) <= rank(c.err.Code) {
		return
	}
	var at strings.Builder
	for _, s := range c.path {
		if s.name != nil {
			at.WriteString(pointer(s.name))
		} else {
			at.WriteString("/" + strconv.Itoa(s.index))
		}
	}
	if name != nil {
		at.WriteString(pointer(name))
	}
	if at.Len() == 0 {
		at.WriteString("data")
	}
	c.err = NewError(code, at.String()+": "+message)
}

// pointer returns the JSON pointer (RFC 6901) to a field, cut where a client's
// invention is too long to repeat.
func pointer(name []byte) string {
	const most = 64
	s := string(name)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return "/" + pointerEscapes.Replace(s)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// value checks one value and leaves the scanner behind it.
func (c *checker) value(r *rule) {
	first := c.peek()
	start := c.i
	if r.also != nil {
		c.value(r.also)
		c.i = start
	}
	if r.when != nil {
		c.conditional(r)
		c.i = start
	}
	kind := first
	switch first {
	case 'f':
		kind = 't'
	case '{', '[', '"', 't', 'n':
	default:
		kind = '0'
	}
	if r.kind != 0 && r.kind != kind {
		c.fail(InvalidField, nil, r.expected)
		c.ignore()
		return
	}
	switch kind {
	case '{':
		c.object(r)
	case '[':
		c.list(r)
	case '"':
		c.str(r)
	default:
		c.ignore()
		c.scalar(r, kind, c.b[start:c.i])
	}
}

// ignore passes over a value that was found well-formed before.
func (c *checker) ignore() { _ = c.skip(MaxDepth) }

func (c *checker) conditional(r *rule) {
	test := checker{scanner: c.scanner, quiet: true}
	test.value(r.when)
	switch {
	case !test.failed && r.then != nil:
		c.value(r.then)
	case test.failed && r.otherwise != nil:
		c.value(r.otherwise)
	}
}

func (c *checker) object(r *rule) {
	c.i++
	count, seen := 0, uint64(0)
	for first := true; ; first = false {
		if c.take('}') {
			break
		}
		if !first {
			c.take(',')
			c.peek()
		}
		name, escaped, _ := c.text()
		if escaped {
			name = unescape(name)
		}
		c.take(':')
		count++
		i := r.find(name)
		if i < 0 {
			if r.closed {
				c.fail(UnknownField, name, "no such field; "+r.known)
			}
			c.ignore()
			continue
		}
		if seen&(1<<i) != 0 {
			c.fail(InvalidField, name, "given twice")
		}
		seen |= 1 << i
		c.path = append(c.path, step{name: name})
		c.value(r.properties[i].rule)
		c.path = c.path[:len(c.path)-1]
	}
	for _, i := range r.required {
		if seen&(1<<i) == 0 {
			c.fail(MissingField, []byte(r.properties[i].name), "required")
		}
	}
	switch {
	case count < r.minProps:
		c.fail(InvalidField, nil, "at least "+counted(r.minProps, "field"))
	case count > r.maxProps:
		c.fail(InvalidField, nil, "at most "+counted(r.maxProps, "field"))
	}
}

// find returns the place of the property of that name, or -1. The objects are
// small: a walk beats a map.
func (r *rule) find(name []byte) int {
	for i := range r.properties {
		if r.properties[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (c *checker) list(r *rule) {
	c.i++
	var items [][]byte // when they must differ
	count := 0
	for ; !c.take(']'); count++ {
		if count > 0 {
			c.take(',')
		}
		if r.items == nil {
			c.ignore()
			continue
		}
		c.peek()
		start := c.i
		c.path = append(c.path, step{index: count})
		c.value(r.items)
		// Past maxItems the list is refused anyway: the pairs stay few.
		if r.unique && count < r.maxItems && c.b[start] == '"' {
			item := stringOf(c.b[start:c.i])
			if slices.ContainsFunc(items, func(b []byte) bool { return bytes.Equal(b, item) }) {
				c.fail(InvalidField, nil, "given twice")
			}
			items = append(items, item)
		}
		c.path = c.path[:len(c.path)-1]
	}
	switch {
	case count < r.minItems:
		c.fail(InvalidField, nil, "at least "+counted(r.minItems, "item"))
	case count > r.maxItems:
		c.fail(InvalidField, nil, "at most "+counted(r.maxItems, "item"))
	}
}

func (c *checker) str(r *rule) {
	s, escaped, _ := c.text()
	if escaped {
		s = unescape(s)
	}
	length := utf8.RuneCount(s)
	switch {
	case length < r.minLength:
		c.fail(InvalidField, nil, "at least "+counted(r.minLength, "character"))
	case length > r.maxLength:
		c.fail(InvalidField, nil, "at most "+counted(r.maxLength, "character"))
	case len(r.enum) > 0 && !slices.ContainsFunc(r.enum, func(v string) bool { return v == string(s) }),
		r.pattern != nil && !r.pattern(s),
		r.dateTime && !isDateTime(s):
		c.fail(InvalidField, nil, r.expected)
	}
}

// scalar checks a number, true, false or null, given as written.
func (c *checker) scalar(r *rule, kind byte, text []byte) {
	if len(r.enum) > 0 && r.enum[0] != string(text) {
		c.fail(InvalidField, nil, r.expected)
	}
	if kind != '0' || r.kind == 0 {
		return
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || r.min != nil && n < *r.min || r.max != nil && n > *r.max {
		c.fail(InvalidField, nil, r.expected)
	}
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

func isDateTime(b []byte) bool {
	_, err := time.Parse(time.RFC3339Nano, string(b))
	return err == nil
}

// hasVisible reports whether the text has a character that shows: none of white
// space, separators, controls and formats (the zero-width ones).
func hasVisible(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		b = b[size:]
		if r > ' ' && r < 0x7f || !unicode.In(r, unicode.White_Space, unicode.Z, unicode.Cc, unicode.Cf) {
			return true
		}
	}
	return false
}
