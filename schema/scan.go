package schema

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how many objects and lists may be nested in a frame, the frame
// itself included.
const MaxDepth = 32

var (
	errSyntax  = errors.New("not JSON")
	errTooDeep = errors.New("nested too deep")
)

// scanner steps through JSON (RFC 8259) in place. It is written by hand because
// every frame of every client goes through it: encoding/json would allocate for
// each token. Its verdicts are held against encoding/json by a fuzz test. It does
// not look at UTF-8; callers check the whole text at once.
type scanner struct {
	b []byte
	i int
}

// peek returns the next byte that is not white space without consuming it, 0 at
// the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take consumes c if it comes next, after white space.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// ends reports whether nothing but white space comes.
func (s *scanner) ends() bool {
	s.peek()
	return s.i == len(s.b)
}

// skip consumes one value, whose containers may be nested depth deep.
func (s *scanner) skip(depth int) error {
	switch c := s.peek(); c {
	case '{', '[':
		if depth == 0 {
			return errTooDeep
		}
		if c == '{' {
			return s.skipObject(depth - 1)
		}
		return s.skipList(depth - 1)
	case '"':
		_, _, ok := s.text()
		return syntax(ok)
	case 't':
		return syntax(s.word("true"))
	case 'f':
		return syntax(s.word("false"))
	case 'n':
		return syntax(s.word("null"))
	default:
		return syntax(s.number())
	}
}

func syntax(ok bool) error {
	if !ok {
		return errSyntax
	}
	return nil
}

func (s *scanner) skipObject(depth int) error {
	s.i++
	if s.take('}') {
		return nil
	}
	for {
		if s.peek() != '"' {
			return errSyntax
		}
		if _, _, ok := s.text(); !ok || !s.take(':') {
			return errSyntax
		}
		if err := s.skip(depth); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

func (s *scanner) skipList(depth int) error {
	s.i++
	if s.take(']') {
		return nil
	}
	for {
		if err := s.skip(depth); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// text consumes the string that starts here and returns what stands between its
// quotes, and whether that has escapes.
func (s *scanner) text() (raw []byte, escaped, ok bool) {
	start := s.i + 1
	for i := start + plain(s.b[start:]); i < len(s.b); i += plain(s.b[i:]) {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return s.b[start:i], escaped, true
		case c != '\\' || i+1 == len(s.b):
			return nil, false, false
		}
		escaped = true
		switch s.b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if !hex4(s.b[i+2:]) {
				return nil, false, false
			}
			i += 6
		default:
			return nil, false, false
		}
	}
	return nil, false, false
}

// plain returns how many bytes there are before one that means something in a string: a
// quote, a backslash or a control character. It looks at eight of them at a time: in each
// byte the highest bit tells. What is subtracted can borrow from a higher byte, but only
// when the lower one is such a byte itself, and the lowest of these counts.
func plain(b []byte) (n int) {
	const each = 0x0101010101010101
	for ; n+8 <= len(b); n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		if tell := ((x - ' '*each) | ((x ^ '"'*each) - each) | ((x ^ '\\'*each) - each)) &^ x & (0x80 * each); tell != 0 {
			return n + bits.TrailingZeros64(tell)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

func hex4(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for _, c := range b[:4] {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// number consumes a number.
func (s *scanner) number() bool {
	s.one("-")
	if !s.one("0") && !s.digits() {
		return false
	}
	if s.one(".") && !s.digits() {
		return false
	}
	if s.one("eE") {
		s.one("+-")
		return s.digits()
	}
	return true
}

// one consumes the next byte if it is one of set.
func (s *scanner) one(set string) bool {
	if s.i == len(s.b) {
		return false
	}
	for i := range len(set) {
		if s.b[s.i] == set[i] {
			s.i++
			return true
		}
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// unescape returns the text of a string that has escapes, given what stands
// between its quotes. Half a surrogate pair becomes U+FFFD, as in encoding/json.
func unescape(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(text, raw...)
		}
		text = append(text, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			var r rune
			r, raw = codePoint(raw)
			text = utf8.AppendRune(text, r)
			continue
		}
		text = append(text, c)
	}
}

// codePoint reads what follows \u, and the rest of a surrogate pair.
func codePoint(raw []byte) (rune, []byte) {
	first := hexRune(raw)
	raw = raw[4:]
	if !utf16.IsSurrogate(first) {
		return first, raw
	}
	if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
		if r := utf16.DecodeRune(first, hexRune(raw[2:])); r != utf8.RuneError {
			return r, raw[6:]
		}
	}
	return utf8.RuneError, raw
}

// hexRune reads four hexadecimal digits that hex4 has seen.
func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r = r<<4 | rune(c)
	}
	return r
}
