package schema_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"roomlog/schema"
)

// schemaFile is what the tests read of an event's file.
type schemaFile struct {
	Title       string
	Description string
	Examples    []json.RawMessage
	Bad         []badExample                                    `json:"x-bad"`
	Defs        map[string]struct{ Examples []json.RawMessage } `json:"$defs"`
}

type badExample struct {
	Data json.RawMessage
	Code schema.Code
	Why  string
}

func readSchemaFile(t testing.TB, e *schema.Event) schemaFile {
	t.Helper()
	var f schemaFile
	if err := json.Unmarshal(schema.SchemaFile(e), &f); err != nil {
		t.Fatalf("%s: %v", e.FileName(), err)
	}
	return f
}

func TestEveryEventOfTheCatalogueIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range schema.Events() {
		t.Run(e.Name, func(t *testing.T) {
			if seen[e.Name] {
				t.Error("stands twice in the catalogue")
			}
			seen[e.Name] = true
			if e.Namespace() == "" {
				t.Error("has no namespace")
			}
			if found, ok := schema.Lookup(e.Name); !ok || found.Name != e.Name {
				t.Error("is not found by its name")
			}
			if (e.Home != "") != (e.Kind == schema.Fact) {
				t.Errorf("kind %s with home %q", e.Kind, e.Home)
			}
			if (e.Who == schema.Server) != (e.Kind == schema.Push) {
				t.Errorf("kind %s is sent by %q", e.Kind, e.Who)
			}
			if (e.Kind == schema.Fact || e.Kind == schema.Push) && e.To == "" {
				t.Error("is told to nobody")
			}
			f := readSchemaFile(t, &e)
			if f.Title != e.Name || f.Description != e.Summary {
				t.Errorf("its file is of %q: %q", f.Title, f.Description)
			}
			if len(f.Examples) == 0 {
				t.Error("its file has no example")
			}
			if e.Kind != schema.Push && len(f.Bad) < 3 {
				t.Errorf("its file has %d bad examples of 3", len(f.Bad))
			}
			if _, err := schema.Decode(&e, nil); (err == nil) != (e.Kind != schema.Push) {
				t.Errorf("payload type: %v", err)
			}
		})
	}
}

// A subject is stream, namespace, noun and verb: the streams of the log and what
// their readers may filter by depend on it.
func TestSubjectsOfRecords(t *testing.T) {
	for _, e := range schema.Events() {
		want := ""
		noun, verb, _ := strings.Cut(e.Name, ":")
		switch {
		case e.Kind == schema.Fact:
			want = "events." + string(e.Namespace()) + "." + noun + "." + verb
		case e.Kind == schema.Signal, e.Name == "socket:disconnect":
			want = "signals." + string(e.Namespace()) + "." + noun + "." + verb
		}
		if e.Subject() != want {
			t.Errorf("%s (%s) has the subject %q, want %q", e.Name, e.Kind, e.Subject(), want)
		}
		if want != "" && (verb == "" || strings.ContainsAny(want, " *>") || strings.Count(want, ".") != 3) {
			t.Errorf("%q is no subject of four names", want)
		}
	}
}

func TestNoStraySchemaFiles(t *testing.T) {
	known := map[string]bool{"defs.json": true}
	for _, newest := range schema.Events() {
		for e := range versionsOf(newest) {
			known[e.FileName()] = true
		}
	}
	entries, err := os.ReadDir("events")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !known[entry.Name()] {
			t.Errorf("events/%s belongs to no event", entry.Name())
		}
		delete(known, entry.Name())
	}
	for name := range known {
		t.Errorf("events/%s is missing", name)
	}
}

func TestOlderNamesLeadToTheEvent(t *testing.T) {
	e, ok := schema.Lookup("socket:typing")
	if !ok || e.Name != "user:typing" {
		t.Errorf("socket:typing is %v", e)
	}
	if _, ok := schema.Lookup("post:created"); ok {
		t.Error("post:created is nothing")
	}
}

// Every code that the package exports has its row in the table, and so has every
// close code.
func TestEveryExportedCodeIsInItsTable(t *testing.T) {
	codes, closes := declaredCodes(t)
	if len(codes) < 40 || len(closes) < 10 {
		t.Fatalf("found only %d codes and %d close codes", len(codes), len(closes))
	}
	for _, code := range codes {
		err := schema.NewError(schema.Code(code), "")
		if err.Message == "" || err.Error() != code+": "+err.Message {
			t.Errorf("%s: %v", code, err)
		}
		if err := schema.NewError(schema.Code(code), "in detail"); err.Message != "in detail" {
			t.Errorf("%s hides the detail", code)
		}
	}
	for _, text := range closes {
		n, err := strconv.Atoi(text)
		code := schema.CloseCode(n)
		if err != nil || code.Reason() == "" || code < 4000 || code > 4999 || code.Reconnect() != (code < 4500) {
			t.Errorf("close code %s: %q", text, code.Reason())
		}
	}
}

func declaredCodes(t *testing.T) (codes, closes []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		typ, _ := spec.Type.(*ast.Ident)
		if typ == nil || len(spec.Values) != 1 {
			return true
		}
		value := strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
		switch typ.Name {
		case "Code":
			codes = append(codes, value)
		case "CloseCode":
			closes = append(closes, value)
		}
		return true
	})
	return codes, closes
}

func TestNewErrorRefusesACodeOutsideTheTable(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unknown code passed")
		}
	}()
	schema.NewError("OOPS", "")
}

func TestRoles(t *testing.T) {
	for _, e := range schema.Events() {
		moderated := e.Namespace() == schema.Admin && e.Kind != schema.Push && e.Name != "admin:report"
		if got := e.Roles(); (len(got) > 0) != moderated {
			t.Errorf("%s needs one of the roles %v", e.Name, got)
		}
	}
}
