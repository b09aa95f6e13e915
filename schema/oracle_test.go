package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"roomlog/schema"
)

// The oracle judges by the same schema files with a general JSON Schema validator.
// Each event has up to four schemas: what is sent, pushed, acked and, where that is not
// what is sent, recorded. They are found by the event's name, and by the name of each
// version's file.
type oracle map[string]map[string]*jsonschema.Schema

var theOracle = sync.OnceValue(func() oracle {
	const base = "https://roomlog.example/events/"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	add := func(name string, text []byte) any {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			panic(err)
		}
		if err := c.AddResource(base+name, doc); err != nil {
			panic(err)
		}
		return doc
	}
	shared, err := os.ReadFile("events/defs.json")
	if err != nil {
		panic(err)
	}
	add("defs.json", shared)
	o := oracle{}
	for _, newest := range schema.Events() {
		for e := range versionsOf(newest) {
			doc := add(e.FileName(), schema.SchemaFile(&e)).(map[string]any)
			parts := map[string]*jsonschema.Schema{"": c.MustCompile(base + e.FileName())}
			defs, _ := doc["$defs"].(map[string]any)
			for part := range defs {
				parts[part] = c.MustCompile(base + e.FileName() + "#/$defs/" + part)
			}
			o[e.FileName()], o[e.Name] = parts, parts
		}
	}
	return o
})

// verdict returns the code that Validate must give, "" for none. ok is false where
// roomlog is stricter than JSON Schema and only a refusal is known.
func (o oracle) verdict(e *schema.Event, data []byte) (code schema.Code, ok bool) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return schema.BadFrame, true
	}
	shape := shapeOf(data)
	if shape.depth > schema.MaxDepth {
		return schema.BadFrame, true
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		panic(err)
	}
	err = o[e.Name][""].Validate(value)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return "", !shape.doubled && !shape.oddNumber
	case !errors.As(err, &invalid):
		panic(err)
	}
	code = schema.InvalidField
	var visit func(*jsonschema.ValidationError)
	visit = func(v *jsonschema.ValidationError) {
		switch v.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			code = schema.UnknownField
		case *kind.Required:
			if code == schema.InvalidField {
				code = schema.MissingField
			}
		}
		for _, cause := range v.Causes {
			visit(cause)
		}
	}
	visit(invalid)
	return code, !shape.doubled && !shape.oddNumber
}

type shape struct {
	depth     int
	doubled   bool // an object has a field twice
	oddNumber bool // a number is not written in plain digits
}

// shapeOf looks at well-formed JSON token by token.
func shapeOf(data []byte) shape {
	var s shape
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil in a list
		name  bool            // a name comes next
	}
	var stack []level
	for {
		token, err := d.Token()
		if err == io.EOF {
			return s
		}
		if err != nil {
			panic(err)
		}
		top := len(stack) - 1
		if text, isText := token.(string); isText && top >= 0 && stack[top].name {
			s.doubled = s.doubled || stack[top].names[text]
			stack[top].names[text] = true
			stack[top].name = false
			continue
		}
		if top >= 0 && stack[top].names != nil && token != json.Delim('}') {
			stack[top].name = true
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				stack = append(stack, level{names: map[string]bool{}, name: true})
			case '[':
				stack = append(stack, level{})
			default:
				stack = stack[:top]
			}
			s.depth = max(s.depth, len(stack))
		case json.Number:
			s.oddNumber = s.oddNumber || strings.ContainsAny(token.String(), ".eE")
		}
	}
}

// agree fails the test when roomlog and the oracle differ.
func agree(t testing.TB, e *schema.Event, data []byte) {
	t.Helper()
	var got schema.Code
	err := schema.Validate(e, data)
	if err != nil {
		got = err.Code
	}
	want, sure := theOracle().verdict(e, data)
	switch {
	case sure && got != want:
		t.Errorf("%s %s: %v, the oracle says %q", e.Name, clip(data), err, want)
	case !sure && got == "" && want != "":
		t.Errorf("%s %s: accepted, the oracle says %q", e.Name, clip(data), want)
	case got == "" && e.Kind != schema.Push:
		if _, err := schema.Decode(e, data); err != nil {
			t.Errorf("%s %s is valid and cannot be decoded: %v", e.Name, clip(data), err)
		}
	}
}

func clip(data []byte) []byte {
	if len(data) > 300 {
		return append(data[:300:300], "…"...)
	}
	return data
}

// verdictOnly is what validating with the general validator costs.
func (o oracle) verdictOnly(e *schema.Event, data []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return o[e.Name][""].Validate(value)
}
