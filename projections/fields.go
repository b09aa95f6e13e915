package projections

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Fields are the named parts of a row's key or value, in the order in which they read
// best. As JSON they are an object in that order; as text "name value, name value".
type Fields []Field

// Field is one of them. Value is what encoding/json takes; one that was read from JSON
// is a json.RawMessage.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON writes an object.
func (f Fields) MarshalJSON() ([]byte, error) {
	if f == nil {
		return []byte("null"), nil
	}
	b := []byte{'{'}
	for i, field := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, asJSON(field.Name)...), ':')
		b = append(b, asJSON(field.Value)...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Fields) UnmarshalJSON(text []byte) error {
	*f = nil
	d := json.NewDecoder(bytes.NewReader(text))
	switch begin, err := d.Token(); {
	case err != nil:
		return err
	case begin == nil:
		return nil
	case begin != json.Delim('{'):
		return errors.New("the fields of a row are not an object")
	}
	for *f = (Fields{}); d.More(); {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		*f = append(*f, Field{name.(string), value})
	}
	return nil
}

// asJSON is a value as JSON without what is escaped for browsers. Every value of a
// field has such a form.
func asJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return asJSON(fmt.Sprint(v))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (f Fields) String() string {
	words := make([]string, len(f))
	for i, field := range f {
		words[i] = field.Name + " " + string(asJSON(field.Value))
	}
	return strings.Join(words, ", ")
}

// Changed says in words what makes one value of a row the other: "likes 1 → 2". Of a
// row that is new or gone it says so, with all of it.
func (f Fields) Changed(to Fields) string {
	switch {
	case f == nil:
		return strings.TrimSpace("new  " + to.String())
	case to == nil:
		return strings.TrimSpace("gone  " + f.String())
	}
	var words []string
	names := make([]string, 0, len(f)+len(to))
	for _, field := range append(f[:len(f):len(f)], to...) {
		names = append(names, field.Name)
	}
	told := map[string]bool{}
	for _, name := range names {
		if told[name] {
			continue
		}
		told[name] = true
		if before, after := f.get(name), to.get(name); before != after {
			words = append(words, name+" "+before+" → "+after)
		}
	}
	return strings.Join(words, ", ")
}

// get returns a field as JSON, "-" for none.
func (f Fields) get(name string) string {
	for _, field := range f {
		if field.Name == name {
			return string(asJSON(field.Value))
		}
	}
	return "-"
}
