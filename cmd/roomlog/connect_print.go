package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"roomlog/schema"
)

// frame prints a frame from the server.
func (t *terminal) frame(raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.json {
		fmt.Fprintf(t.out, "%s\n", raw)
		return
	}
	var f schema.Frame
	if err := json.Unmarshal(raw, &f); err != nil || f.Event == "socket:hello" {
		return // the client says what is wrong with it; a hello is not news
	}
	fmt.Fprintln(t.out, t.readable(&f))
}

// The colours of a terminal (ECMA-48, SGR).
const (
	green = "32"
	red   = "31"
	blue  = "34"
)

func (t *terminal) readable(f *schema.Frame) string {
	switch {
	case f.Error != nil:
		return fmt.Sprintf("%s %s: %s", t.paint(red, "error"), f.Error.Code, f.Error.Message)
	case f.OK != nil && f.Seq != 0:
		note := ""
		if f.Duplicate {
			note = ", a duplicate of it"
		}
		return fmt.Sprintf("%s seq %d%s %s", t.paint(green, "ok"), f.Seq, note, compact(f.Data))
	case f.OK != nil:
		return fmt.Sprintf("%s %s", t.paint(green, "ok"), compact(f.Data))
	case f.Seq != 0:
		return fmt.Sprintf("%s in %s, seq %d %s", t.paint(blue, f.Event), f.Room, f.Seq, compact(f.Data))
	case f.Room != "":
		return fmt.Sprintf("%s in %s %s", t.paint(blue, f.Event), f.Room, compact(f.Data))
	}
	return fmt.Sprintf("%s %s", t.paint(blue, f.Event), compact(f.Data))
}

func (t *terminal) paint(colour, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// compact shows JSON on one line of a terminal.
func compact(data json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return plain(string(data))
	}
	return plain(b.String())
}

// plain shows text on one line of a terminal. What users wrote must not steer it:
// runes that do not print (controls, changes of the direction of writing) are shown
// by number, as JSON allows.
func plain(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
