package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// shape is a JSON Schema, of the keywords that roomlog's files use, to be written
// for people: fields in the order of the file, {postId: id, content?: text ≤4000}.
type shape struct {
	Ref         string            `json:"$ref"`
	Defs        map[string]*shape `json:"$defs"`
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Expected    string            `json:"x-expected"`
	Properties  members           `json:"properties"`
	Required    []string          `json:"required"`
	Closed      closed            `json:"additionalProperties"`
	MinProps    int               `json:"minProperties"`
	MaxProps    int               `json:"maxProperties"`
	Items       *shape            `json:"items"`
	MinItems    *int64            `json:"minItems"`
	MaxItems    *int64            `json:"maxItems"`
	Unique      bool              `json:"uniqueItems"`
	MinLength   *int64            `json:"minLength"`
	MaxLength   *int64            `json:"maxLength"`
	Minimum     *int64            `json:"minimum"`
	Maximum     *int64            `json:"maximum"`
	Enum        []json.RawMessage `json:"enum"`
	Const       json.RawMessage   `json:"const"`
	If          *shape            `json:"if"`
	Then        *shape            `json:"then"`
	Else        *shape            `json:"else"`
	Examples    []json.RawMessage `json:"examples"`
}

// closed is additionalProperties: false.
type closed bool

func (c *closed) UnmarshalJSON(b []byte) error {
	*c = string(b) == "false"
	return nil
}

// members are an object's members in their order.
type members []struct {
	name  string
	shape *shape
}

func (f *members) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		s := new(shape)
		if err := d.Decode(s); err != nil {
			return err
		}
		*f = append(*f, struct {
			name  string
			shape *shape
		}{name.(string), s})
	}
	return nil
}

func (s *shape) String() string {
	switch {
	case s.Ref != "":
		_, name, _ := strings.Cut(s.Ref, "#/$defs/")
		return name
	case s.Const != nil:
		return string(s.Const)
	case s.Enum != nil:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = string(v)
		}
		return strings.Join(values, " | ")
	case len(s.Properties) > 0:
		return s.object()
	}
	switch s.Type {
	case "object":
		if s.Closed {
			return "{}"
		}
		return "{…}"
	case "array":
		bounds := strings.TrimSpace(between(s.MinItems, s.MaxItems))
		switch {
		case s.Items == nil:
			return "[" + bounds + "]"
		case bounds == "":
			return "[" + s.Items.String() + "]"
		}
		return "[" + bounds + " of " + s.Items.String() + "]"
	case "string":
		return "text" + between(s.MinLength, s.MaxLength)
	case "integer":
		return "integer" + between(s.Minimum, s.Maximum)
	}
	return s.Type
}

func (s *shape) object() string {
	var b strings.Builder
	for i, f := range s.Properties {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.name)
		if !slices.Contains(s.Required, f.name) {
			b.WriteByte('?')
		}
		b.WriteString(": " + f.shape.String())
	}
	return "{" + b.String() + "}"
}

// exact is the largest number that is exact in every JSON parser: as a maximum it
// needs no mention with every count.
const exact = 1<<53 - 1

func between(least, most *int64) string {
	switch {
	case most != nil && *most == exact:
		return fmt.Sprintf(" ≥%d", *least)
	case least != nil && most != nil && *least == *most:
		return fmt.Sprintf(" %d", *most)
	case least != nil && most != nil:
		return fmt.Sprintf(" %d..%d", *least, *most)
	case most != nil:
		return fmt.Sprintf(" ≤%d", *most)
	case least != nil:
		return fmt.Sprintf(" ≥%d", *least)
	}
	return ""
}

// remarks are what String cannot show, each after a semicolon.
func (s *shape) remarks() string {
	var b strings.Builder
	if s.Unique {
		b.WriteString("; none twice")
	}
	if s.MinProps == 1 && s.MaxProps == 1 {
		b.WriteString("; one of these")
	} else if s.MinProps == 1 {
		b.WriteString("; at least one of these")
	}
	for _, f := range s.Properties {
		if note := f.shape.note(); note != "" {
			fmt.Fprintf(&b, "; `%s`: %s", f.name, uncapitalised(note))
		}
		for inner := range strings.SplitSeq(strings.TrimPrefix(f.shape.remarks(), "; "), "; ") {
			if inner != "" {
				fmt.Fprintf(&b, "; `%s`: %s", f.name, inner)
			}
		}
	}
	if s.If != nil {
		fmt.Fprintf(&b, "; when %s: %s", s.If.condition(), s.Then.demand())
		if s.Else != nil {
			fmt.Fprintf(&b, "; otherwise %s", s.Else.demand())
		}
	}
	return b.String()
}

// note is what its file says about a shape in words, without the full stop.
func (s *shape) note() string { return strings.TrimSuffix(cmp.Or(s.Expected, s.Description), ".") }

func uncapitalised(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// condition is an if: what some fields are.
func (s *shape) condition() string {
	var all []string
	for _, f := range s.Properties {
		all = append(all, fmt.Sprintf("`%s` is `%s`", f.name, f.shape))
	}
	return strings.Join(all, " and ")
}

// demand is a then or else: what holds besides.
func (s *shape) demand() string {
	var all []string
	for _, name := range s.Required {
		all = append(all, fmt.Sprintf("`%s` is required", name))
	}
	for _, f := range s.Properties {
		all = append(all, fmt.Sprintf("`%s` is `%s`", f.name, f.shape))
	}
	if s.If != nil {
		all = append(all, fmt.Sprintf("when %s: %s", s.If.condition(), s.Then.demand()))
	}
	return strings.Join(all, ", ")
}
