package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:generate go run ../cmd/roomlog schema --protocol PROTOCOL.md

// Reference returns the description of the protocol with its generated parts made
// anew: what stands between the lines "<!-- generated: NAME -->" and
// "<!-- end -->", for each NAME of events, types, errors and closes.
func Reference(document []byte) ([]byte, error) {
	parts := map[string]func(*bytes.Buffer) error{
		"events": writeEvents, "types": writeTypes, "errors": writeErrors, "closes": writeCloses,
	}
	var out bytes.Buffer
	rest := document
	for {
		before, after, found := bytes.Cut(rest, []byte("<!-- generated: "))
		out.Write(before)
		if !found {
			break
		}
		name, after, _ := bytes.Cut(after, []byte(" -->\n"))
		_, after, closed := bytes.Cut(after, []byte("<!-- end -->"))
		write := parts[string(name)]
		if write == nil || !closed {
			return nil, fmt.Errorf("reference: there is no part %q, or its <!-- end --> is missing", name)
		}
		delete(parts, string(name))
		fmt.Fprintf(&out, "<!-- generated: %s -->\n\n", name)
		if err := write(&out); err != nil {
			return nil, fmt.Errorf("reference: %s: %w", name, err)
		}
		out.WriteString("\n<!-- end -->")
		rest = after
	}
	if len(parts) > 0 {
		return nil, fmt.Errorf("reference: the document has no place for %v", slices.Sorted(maps.Keys(parts)))
	}
	return out.Bytes(), nil
}

// writeEvents writes a section an event, under a heading a namespace.
func writeEvents(w *bytes.Buffer) error {
	last := Namespace("")
	for i := range catalogue {
		e := &catalogue[i]
		if n := e.Namespace(); n != last {
			if last != "" {
				w.WriteByte('\n')
			}
			fmt.Fprintf(w, "### /%s\n", n)
			last = n
		}
		if err := writeEvent(w, e); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

func writeEvent(w *bytes.Buffer, e *Event) error {
	var file shape
	if err := json.Unmarshal(SchemaFile(e), &file); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n#### `%s`\n\n%s *%s*", e.Name, e.Summary, kindInWords(e.Kind))
	if e.Kind != Push {
		fmt.Fprintf(w, "; sent by: %s", e.Who)
	}
	if e.To != "" {
		fmt.Fprintf(w, "; pushed to: %s", e.To)
	}
	w.WriteString(".")
	w.WriteString("\n\n")
	push, ack := file.Defs["push"], file.Defs["ack"]
	if e.Kind == Push {
		push, ack = &file, nil
	} else {
		writePart(w, "send", &file)
	}
	if record := file.Defs["record"]; record != nil {
		writePart(w, fmt.Sprintf("in the log, as version %d,", e.Version), record)
	}
	switch {
	case e.Kind == Push:
		writePart(w, "push", push)
	case ack == nil && push != nil:
		writePart(w, "ack and push", push)
	default:
		writePart(w, "ack", ack)
		if push != nil {
			writePart(w, "push", push)
		}
	}
	return writeExample(w, &file)
}

func kindInWords(k Kind) string {
	if k == Push {
		return "Push, from the server only"
	}
	name := k.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

func writePart(w *bytes.Buffer, name string, s *shape) {
	fmt.Fprintf(w, "- %s `%s`%s\n", name, s, s.remarks())
}

// writeExample writes the first example of a file that says anything.
func writeExample(w *bytes.Buffer, file *shape) error {
	for _, example := range file.Examples {
		var compact bytes.Buffer
		if err := json.Compact(&compact, example); err != nil {
			return err
		}
		if compact.String() != "{}" {
			fmt.Fprintf(w, "- for example `%s`\n", &compact)
			break
		}
	}
	return nil
}

// writeTypes writes what the events' shapes name.
func writeTypes(w *bytes.Buffer) error {
	b, err := files.ReadFile(path.Join("events", defsFile))
	if err != nil {
		return err
	}
	var file struct {
		Defs members `json:"$defs"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return err
	}
	w.WriteString("| type | is | |\n|---|---|---|\n")
	for _, f := range file.Defs {
		notes := strings.TrimPrefix(f.shape.note()+f.shape.remarks(), "; ")
		fmt.Fprintf(w, "| `%s` | `%s` | %s |\n", f.name, inTable(f.shape.String()), strings.ReplaceAll(inTable(notes), "<", "\\<"))
	}
	return nil
}

// inTable keeps text from ending a table's cell.
func inTable(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func writeErrors(w *bytes.Buffer) error {
	w.WriteString("| code | message | temporary | what to do |\n|---|---|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		todo := advice[code]
		if todo == "" {
			return fmt.Errorf("nothing says what to do about %s", code)
		}
		temporary := ""
		if codes[code].temporary {
			temporary = "yes"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", code, codes[code].message, temporary, todo)
	}
	return nil
}

func writeCloses(w *bytes.Buffer) error {
	w.WriteString("| code | reason | reconnect | what to do |\n|---|---|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(closeReasons)) {
		todo := closeAdvice[code]
		if todo == "" {
			return fmt.Errorf("nothing says what to do about %d", code)
		}
		reconnect := "no"
		if code.Reconnect() {
			reconnect = "yes"
		}
		fmt.Fprintf(w, "| %d | %s | %s | %s |\n", code, code.Reason(), reconnect, todo)
	}
	return nil
}
