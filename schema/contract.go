package schema

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// files holds the JSON Schema files, one an event and version, and defs.json with
// what they share.
//
//go:embed events/*.json
var files embed.FS

const defsFile = "defs.json"

// rule is a compiled JSON Schema, of the keywords that roomlog's files use. It
// exists because validation is on the way of every command: a rule walks the JSON
// text itself, where a general validator first decodes it into maps (measured for a
// post:like: over ten times as long, 30 allocations in place of one). A test and a fuzz
// test hold its verdicts against such a validator.
type rule struct {
	kind     byte // '{', '[', '"', '0' for integer, 't' for boolean, 0 for any
	expected string

	properties []property // at most 64: checker.object keeps a bit for each
	required   []int      // places in properties
	known      string     // the properties' names, for people
	closed     bool       // additionalProperties: false
	minProps   int
	maxProps   int

	items    *rule
	minItems int
	maxItems int
	unique   bool

	minLength int
	maxLength int
	pattern   func([]byte) bool
	dateTime  bool

	enum     []string // the strings allowed; of another kind the one JSON text
	min, max *int64

	// In JSON Schema's order: where when holds then must hold too, else otherwise.
	when, then, otherwise *rule
	// also is the schema that $ref names, beside other keywords.
	also *rule
}

type property struct {
	name string
	rule *rule
}

// contract is what an event's schema file says.
type contract struct {
	data *rule // what the client sends, and a record holds; of a Push, what the server sends
	push *rule // nil when the event is not pushed
	ack  *rule // nil when the ack carries what is pushed
}

// contracts are compiled at the first use, since most runs of the command line
// need none. A file that cannot be compiled is a mistake of the build: it panics,
// and no test passes.
var contracts = sync.OnceValue(func() map[string]*contract {
	c := compiler{files: map[string]map[string]any{}}
	all := make(map[string]*contract, len(catalogue))
	for _, e := range catalogue {
		root := c.load(e.FileName())
		defs, _ := root["$defs"].(map[string]any)
		made := &contract{data: c.compile(e.FileName(), root)}
		if s, ok := defs["push"]; ok {
			made.push = c.compile(e.FileName(), s)
		}
		if s, ok := defs["ack"]; ok {
			made.ack = c.compile(e.FileName(), s)
		}
		all[e.Name] = made
	}
	return all
})

// SchemaFile returns the text of the event's schema file.
func SchemaFile(e *Event) []byte {
	b, err := files.ReadFile(path.Join("events", e.FileName()))
	if err != nil {
		panic(err)
	}
	return b
}

type compiler struct {
	files map[string]map[string]any
}

func (c *compiler) load(name string) map[string]any {
	if root, ok := c.files[name]; ok {
		return root
	}
	b, err := files.ReadFile(path.Join("events", name))
	if err != nil {
		panic(err)
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		panic(fmt.Sprintf("schema: %s: %v", name, err))
	}
	c.files[name] = root
	return root
}

// resolve returns the schema that ref names, and the file it stands in.
func (c *compiler) resolve(file, ref string) (string, any) {
	name, fragment, _ := strings.Cut(ref, "#")
	if name == "" {
		name = file
	}
	var at any = c.load(name)
	for part := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		m, ok := at.(map[string]any)
		if !ok || m[part] == nil {
			panic(fmt.Sprintf("schema: %s: %s names nothing", file, ref))
		}
		at = m[part]
	}
	return name, at
}

// compile turns a schema into a rule. It panics at a keyword it does not know: a
// limit that looks enforced and is not would be worse.
func (c *compiler) compile(file string, schema any) *rule {
	s, ok := schema.(map[string]any)
	if !ok {
		panic(fmt.Sprintf("schema: %s: a schema is no object: %v", file, schema))
	}
	if ref, ok := s["$ref"].(string); ok && len(s) == 1 {
		return c.compile(c.resolve(file, ref))
	}
	r := newRule()
	for keyword, v := range s {
		if !c.keyword(file, r, keyword, v) {
			panic(fmt.Sprintf("schema: %s: unknown keyword or value: %s: %v", file, keyword, v))
		}
	}
	r.require(s["required"])
	switch {
	case r.pattern != nil && r.expected == "":
		panic(fmt.Sprintf("schema: %s: pattern without x-expected: %v", file, s["pattern"]))
	case r.unique && (r.maxItems == math.MaxInt || r.items.kind != '"'):
		panic(fmt.Sprintf("schema: %s: uniqueItems without maxItems, or not of strings", file))
	case len(r.properties) > 64:
		panic(fmt.Sprintf("schema: %s: more than 64 properties", file))
	}
	if r.expected == "" {
		r.expected = expectation(r)
	}
	return r
}

// newRule returns the rule that allows everything.
func newRule() *rule {
	return &rule{maxItems: math.MaxInt, maxLength: math.MaxInt, maxProps: math.MaxInt}
}

// require notes the places of the names; a name without a schema of its own may
// be anything.
func (r *rule) require(names any) {
	list, _ := names.([]any)
	for _, name := range list {
		i := slices.IndexFunc(r.properties, func(p property) bool { return p.name == name })
		if i < 0 {
			i = len(r.properties)
			r.properties = append(r.properties, property{name.(string), newRule()})
		}
		r.required = append(r.required, i)
	}
}

// keyword takes one keyword into the rule.
func (c *compiler) keyword(file string, r *rule, keyword string, v any) (ok bool) {
	if size := r.size(keyword); size != nil {
		*size = int(v.(float64))
		return true
	}
	switch keyword {
	case "$schema", "$defs", "title", "description", "examples", "x-bad":
		return true
	case "$ref":
		r.also = c.compile(c.resolve(file, v.(string)))
	case "x-expected":
		r.expected, ok = v.(string)
		return ok
	case "type":
		r.kind, ok = kinds[v.(string)]
		return ok
	case "properties":
		for name, sub := range v.(map[string]any) {
			r.properties = append(r.properties, property{name, c.compile(file, sub)})
		}
		slices.SortFunc(r.properties, func(a, b property) int { return strings.Compare(a.name, b.name) })
		r.known = knownNames(r.properties)
	case "required":
		// after properties, see require
	case "additionalProperties":
		r.closed = true
		return v == false
	case "items":
		r.items = c.compile(file, v)
	case "uniqueItems":
		r.unique = v.(bool)
	case "pattern":
		r.pattern = matcher(v.(string))
	case "format":
		r.dateTime = true
		return v == "date-time"
	case "enum":
		r.kind = '"'
		for _, value := range v.([]any) {
			r.enum = append(r.enum, value.(string))
		}
	case "const":
		return r.constant(v)
	case "minimum":
		r.min = integer(v)
	case "maximum":
		r.max = integer(v)
	case "if":
		r.when = c.compile(file, v)
	case "then":
		r.then = c.compile(file, v)
	case "else":
		r.otherwise = c.compile(file, v)
	default:
		return false
	}
	return true
}

// size returns the limit on a length that the keyword sets, nil for any other one.
func (r *rule) size(keyword string) *int {
	switch keyword {
	case "minProperties":
		return &r.minProps
	case "maxProperties":
		return &r.maxProps
	case "minItems":
		return &r.minItems
	case "maxItems":
		return &r.maxItems
	case "minLength":
		return &r.minLength
	case "maxLength":
		return &r.maxLength
	}
	return nil
}

// constant makes v the one value that the rule allows.
func (r *rule) constant(v any) (ok bool) {
	switch v := v.(type) {
	case string:
		r.kind, r.enum = '"', []string{v}
	case float64:
		r.kind, r.enum = '0', []string{strconv.Itoa(int(v))}
	case bool:
		r.kind, r.enum = 't', []string{strconv.FormatBool(v)}
	default:
		return false
	}
	return true
}

var kinds = map[string]byte{"object": '{', "array": '[', "string": '"', "integer": '0', "boolean": 't'}

func integer(v any) *int64 {
	n := int64(v.(float64))
	return &n
}

func knownNames(ps []property) string {
	if len(ps) == 0 {
		return "none is allowed"
	}
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.name
	}
	return "allowed: " + strings.Join(names, ", ")
}

// expectation says in plain words what a value must be.
func expectation(r *rule) string {
	switch {
	case len(r.enum) == 1:
		return r.enum[0]
	case len(r.enum) > 0:
		return "one of " + strings.Join(r.enum, ", ")
	case r.min != nil && r.max != nil:
		return fmt.Sprintf("a whole number from %d to %d", *r.min, *r.max)
	case r.min != nil:
		return fmt.Sprintf("a whole number from %d", *r.min)
	}
	switch r.kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a whole number"
	case 't':
		return "true or false"
	}
	return "another value"
}

// matcher returns the pattern as a function; the frequent patterns have one by
// hand, held against the regular expression by a fuzz test.
func matcher(pattern string) func([]byte) bool {
	switch pattern {
	case patternID:
		return func(b []byte) bool { return ValidID(string(b)) }
	case patternUserID:
		return func(b []byte) bool { return ValidUserID(string(b)) }
	case patternVisible:
		return hasVisible
	}
	return regexp.MustCompile(pattern).Match
}

// The patterns that matcher knows.
const (
	patternID      = `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`
	patternUserID  = `^[!#-\[\]-~]{1,128}$`
	patternVisible = `[^\s\p{Z}\p{Cc}\p{Cf}]`
)
