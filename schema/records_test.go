package schema_test

import (
	"bytes"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

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

// versionsOf yields an event as each of its versions, the oldest first.
func versionsOf(newest schema.Event) iter.Seq[schema.Event] {
	return func(yield func(schema.Event) bool) {
		e := newest
		for e.Version = 1; e.Version <= newest.Version && yield(e); e.Version++ {
		}
	}
}

// A record that was ever written can be read for ever: every version of every fact has
// a golden record.
func TestEveryVersionOfAFactHasAGoldenRecord(t *testing.T) {
	for _, newest := range schema.Events() {
		if newest.Kind != schema.Fact {
			continue
		}
		for e := range versionsOf(newest) {
			t.Run(e.FileName(), func(t *testing.T) { checkGoldenRecord(t, &e, &newest) })
		}
	}
}

func checkGoldenRecord(t *testing.T, e, newest *schema.Event) {
	r := readGoldenRecord(t, e)
	var target struct{ Target schema.Target }
	if r.Event != e.Name || r.Version != e.Version {
		t.Errorf("the file holds %s version %d", r.Event, r.Version)
	}
	if id, err := ulid.ParseStrict(r.ID); err != nil || id.Time() != uint64(r.Time) {
		t.Errorf("the id %s is not of %s: %v", r.ID, r.Time, err)
	}
	entity := e.Entity
	if entity == "target" && json.Unmarshal(r.Data, &target) == nil {
		entity = target.Target.Type
	}
	if typ, id, ok := strings.Cut(r.Entity, ":"); typ != entity || ok != (entity != "") || ok && id == "" {
		t.Errorf("it is about %q, not a %s", r.Entity, entity)
	}
	if !schema.ValidUserID(r.Actor.ID) {
		t.Errorf("actor %+v", r.Actor)
	}
	if err := recordError(e, r.Data); err != nil {
		t.Errorf("its data is none of its version: %v", err)
	}
	today, err := newest.Upcast(e.Version, r.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := recordError(newest, today); err != nil {
		t.Errorf("upcast it is none of version %d: %v", newest.Version, err)
	}
	if e.Version == newest.Version {
		if again := reencoded(t, e, r.Data); !bytes.Equal(again, compact(t, r.Data)) {
			t.Errorf("the gateway would write\n%s, not\n%s", again, r.Data)
		}
	}
}

func readGoldenRecord(t *testing.T, e *schema.Event) (r goldenRecord) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldenRecords, e.FileName()))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// recordError says why data is no record's of the event's version: by its file's
// record, or by what is sent when that is what the log holds.
func recordError(e *schema.Event, data []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	parts := theOracle()[e.FileName()]
	if record := parts["record"]; record != nil {
		return record.Validate(value)
	}
	return parts[""].Validate(value)
}

func TestNoStrayGoldenRecords(t *testing.T) {
	entries, err := os.ReadDir(goldenRecords)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name, number, isJSON := strings.Cut(strings.TrimSuffix(entry.Name(), ".json"), ".v")
		if !isJSON {
			continue // README.md
		}
		e, ok := schema.Lookup(strings.Replace(name, ".", ":", 1))
		if !ok || e.Kind != schema.Fact {
			t.Errorf("%s is of no fact", entry.Name())
		} else if version, err := strconv.Atoi(number); err != nil || version < 1 || version > e.Version {
			t.Errorf("%s is of no version of %s", entry.Name(), e.Name)
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
