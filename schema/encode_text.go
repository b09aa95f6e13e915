package schema

import (
	"encoding/binary"
	"unicode/utf8"
)

// appendText appends a string as encoding/json does. Nearly all are ASCII that stands for
// itself: those are copied, and looked at in their place.
func appendText(b []byte, s string, html bool) []byte {
	b = append(b, '"')
	start, end := len(b), len(b)+len(s)
	b = append(append(b, s...), "       "...) // at the end of a word, for unescaped
	if !unescaped(b[start:]) {
		return append(appendEscaped(b[:start], s, html), '"')
	}
	return append(b[:end], '"')
}

// unescaped reports whether all words of eight bytes are ASCII without anything that is
// escaped in HTML or JSON. It leaves out what is behind the last one.
//
// In each byte of a word, x-0x20 and, for each character c that is escaped, (x ^ c)-1 have
// the high bit for the bytes in question, and else only for those that have it in x.
func unescaped(b []byte) bool {
	const all = 0x0101010101010101 // a byte times this is eight of it
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		control := x - ' '*all
		backslash := (x ^ '\\'*all) - all
		quote := ((x | 0x04*all) ^ '&'*all) - all // and &, which differ in that bit
		angle := ((x | 0x02*all) ^ '>'*all) - all // and <, likewise
		if (x|control|backslash|quote|angle)&(0x80*all) != 0 {
			return false
		}
	}
	return true
}

// isEscaped reports whether a character of that many bytes does not stand for itself.
func isEscaped(c rune, size int, html bool) bool {
	switch c {
	case '"', '\\', '\u2028', '\u2029':
		return true
	case '<', '>', '&':
		return html
	case utf8.RuneError:
		return size == 1 // what is no UTF-8
	}
	return c < ' '
}

func appendEscaped(b []byte, s string, html bool) []byte {
	const hex = "0123456789abcdef"
	done := 0 // of s
	for i := 0; i < len(s); {
		c, size := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(s[i:])
		}
		i += size
		if !isEscaped(c, size, html) {
			continue
		}
		b = append(b, s[done:i-size]...)
		done = i
		switch c {
		case '"', '\\':
			b = append(b, '\\', byte(c))
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
		}
	}
	return append(b, s[done:]...)
}
