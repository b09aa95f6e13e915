package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"roomlog/schema"
)

const goldenRecords = "../testdata/records"

// goldenRecord has the fields of a record that a golden file holds.
type goldenRecord struct {
	ID      string          `json:"id"`
	Time    schema.Time     `json:"time"`
	Event   string          `json:"event"`
	Version int             `json:"version"`
	Actor   schema.Actor    `json:"actor"`
	Entity  string          `json:"entity"`
	Data    json.RawMessage `json:"data"`
}

func TestEveryFactHasAGoldenRecord(t *testing.T) {
	for _, e := range schema.Events() {
		if e.Kind != schema.Fact {
			continue
		}
		b, err := os.ReadFile(filepath.Join(goldenRecords, e.FileName()))
		if err != nil {
			t.Error(err)
			continue
		}
		var r goldenRecord
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Errorf("%s: %v", e.FileName(), err)
			continue
		}
		var target struct{ Target schema.Target }
		if r.Event != e.Name || r.Version != e.Version {
			t.Errorf("%s holds %s version %d", e.FileName(), r.Event, r.Version)
		}
		if id, err := ulid.ParseStrict(r.ID); err != nil || id.Time() != uint64(r.Time) {
			t.Errorf("%s: the id %s is not of %s: %v", e.FileName(), r.ID, r.Time, err)
		}
		if e.Entity == "target" && json.Unmarshal(r.Data, &target) == nil {
			e.Entity = target.Target.Type
		}
		if typ, id, ok := strings.Cut(r.Entity, ":"); typ != e.Entity || ok != (e.Entity != "") || ok && id == "" {
			t.Errorf("%s is about %q, not a %s", e.FileName(), r.Entity, e.Entity)
		}
		if !schema.ValidUserID(r.Actor.ID) {
			t.Errorf("%s: actor %+v", e.FileName(), r.Actor)
		}
		if err := schema.Validate(&e, r.Data); err != nil {
			t.Errorf("%s: %v", e.FileName(), err)
		}
		if again := reencoded(t, &e, r.Data); !bytes.Equal(again, compact(t, r.Data)) {
			t.Errorf("%s: the gateway would write\n%s, not\n%s", e.FileName(), again, r.Data)
		}
	}
}

func TestNoStrayGoldenRecords(t *testing.T) {
	entries, err := os.ReadDir(goldenRecords)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name, _, isJSON := strings.Cut(strings.TrimSuffix(entry.Name(), ".json"), ".v")
		if !isJSON {
			continue // README.md
		}
		if e, ok := schema.Lookup(strings.Replace(name, ".", ":", 1)); !ok || e.Kind != schema.Fact {
			t.Errorf("%s is of no fact", entry.Name())
		}
	}
}

// reencoded is data as the gateway writes it.
func reencoded(t testing.TB, e *schema.Event, data json.RawMessage) []byte {
	t.Helper()
	payload, err := schema.Decode(e, data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compact(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
