package schema

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// Unmarshal does what json.Unmarshal does, for a value that is zero. Of data as Encode
// writes it, it costs a third: what is unusual (null, a field that is unknown, twice
// there or in other letters, text that is not UTF-8) is left to encoding/json. The
// strings that it fills in share one copy of data.
func Unmarshal(data []byte, into any) error {
	v := reflect.ValueOf(into).Elem()
	u := unmarshaler{scanner: scanner{b: data}}
	if u.value(v, typeOf(v.Type())) && u.ends() && utf8.Valid(data) {
		return nil
	}
	v.SetZero()
	return json.Unmarshal(data, into)
}

// ValidJSON does what json.Valid does in a quarter of its time.
func ValidJSON(data []byte) bool {
	const maxNesting = 10_000 // of encoding/json
	s := scanner{b: data}
	return s.skip(maxNesting) == nil && s.ends()
}

// goType is a Go type as Unmarshal reads it: a string, a bool, a struct, or a slice.
type goType struct {
	kind   reflect.Kind // reflect.Invalid: a type that is left to encoding/json
	elem   *goType      // of a slice
	fields []goField    // of a struct, by their places
}

type goField struct {
	name string // in JSON
	*goType
}

var goTypes sync.Map // reflect.Type → *goType

func typeOf(t reflect.Type) *goType {
	if known, ok := goTypes.Load(t); ok {
		return known.(*goType)
	}
	g := &goType{}
	g.look(t, 4)
	goTypes.Store(t, g)
	return g
}

// look finds out how a type is read. Depth ends it where a type contains itself.
func (g *goType) look(t reflect.Type, depth int) {
	if p := reflect.PointerTo(t); depth == 0 || p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool:
		g.kind = t.Kind()
	case reflect.Slice:
		g.elem = &goType{}
		if g.elem.look(t.Elem(), depth-1); g.elem.kind != reflect.Invalid {
			g.kind = reflect.Slice
		}
	case reflect.Struct:
		if t.NumField() > 64 {
			return // see object
		}
		g.fields = make([]goField, t.NumField())
		for i := range g.fields {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" || !f.IsExported() || options != "" && options != "omitempty" && options != "omitzero" {
				return // embedded, or something that no payload has
			}
			g.fields[i] = goField{name, &goType{}}
			g.fields[i].look(f.Type, depth-1)
		}
		g.kind = reflect.Struct
	}
}

// unmarshaler reads JSON into Go values as long as nothing is unusual.
type unmarshaler struct {
	scanner
	text string // the JSON, once a string of it is needed
}

// value reads one value. It reports whether that is done.
func (u *unmarshaler) value(v reflect.Value, g *goType) bool {
	first := u.peek()
	switch g.kind {
	case reflect.String:
		text, ok := u.str(first)
		v.SetString(text)
		return ok
	case reflect.Bool:
		v.SetBool(first == 't')
		return first == 't' && u.word("true") || first == 'f' && u.word("false")
	case reflect.Slice:
		return first == '[' && u.list(v, g.elem)
	case reflect.Struct:
		return first == '{' && u.object(v, g.fields)
	}
	return false
}

// str reads the string that begins with first.
func (u *unmarshaler) str(first byte) (text string, ok bool) {
	if first != '"' {
		return "", false
	}
	from := u.i + 1
	raw, escaped, ok := u.scanner.text()
	if escaped {
		return string(unescape(raw)), true
	}
	if u.text == "" {
		u.text = string(u.b)
	}
	return u.text[from : from+len(raw)], ok
}

func (u *unmarshaler) object(v reflect.Value, fields []goField) bool {
	u.i++
	if u.take('}') {
		return true
	}
	var seen uint64
	for {
		if u.peek() != '"' {
			return false
		}
		name, _, ok := u.scanner.text()
		i := 0
		for i < len(fields) && fields[i].name != string(name) {
			i++
		}
		if !ok || i == len(fields) || seen>>i&1 == 1 || !u.take(':') || !u.value(v.Field(i), fields[i].goType) {
			return false
		}
		seen |= 1 << i
		if u.take('}') {
			return true
		}
		if !u.take(',') {
			return false
		}
	}
}

func (u *unmarshaler) list(v reflect.Value, elem *goType) bool {
	u.i++
	if u.take(']') {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // and not nil
		return true
	}
	for n := 0; ; n++ {
		v.Grow(1)
		v.SetLen(n + 1)
		if !u.value(v.Index(n), elem) {
			return false
		}
		if u.take(']') {
			return true
		}
		if !u.take(',') {
			return false
		}
	}
}
