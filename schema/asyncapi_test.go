package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"roomlog/schema"
)

var update = flag.Bool("update", false, "rewrite the generated files")

func TestAsyncAPIDocumentIsFresh(t *testing.T) {
	made, err := schema.AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	again, err := schema.AsyncAPI()
	if err != nil || !bytes.Equal(made, again) {
		t.Fatal("two runs differ")
	}
	if *update {
		if err := os.WriteFile("asyncapi.json", made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, made) {
		t.Error("asyncapi.json is stale: run go generate ./schema")
	}
}

// Every reference in the document leads somewhere, every event is in it, and
// nothing of roomlog's own keywords is left.
func TestAsyncAPIDocumentHangsTogether(t *testing.T) {
	b, err := schema.AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	walk(root, func(m map[string]any) {
		for _, own := range []string{"x-bad", "x-expected", "$schema", "$defs"} {
			if _, ok := m[own]; ok {
				t.Errorf("%s is left in %v", own, m)
			}
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return
		}
		var at any = root
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	operations := root["operations"].(map[string]any)
	for _, e := range schema.Events() {
		key := strings.Replace(e.Name, ":", ".", 1)
		if _, ok := operations["receive."+key]; ok == (e.Kind == schema.Push) {
			t.Errorf("%s (%s): received %v", e.Name, e.Kind, ok)
		}
		if _, ok := operations["send."+key]; ok != (e.To != "") {
			t.Errorf("%s: sent %v, but it goes to %q", e.Name, ok, e.To)
		}
	}
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, value := range v {
			walk(value, visit)
		}
	case []any:
		for _, value := range v {
			walk(value, visit)
		}
	}
}
