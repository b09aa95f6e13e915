package schema_test

import (
	"encoding/json"
	"testing"
	"time"

	"roomlog/schema"
)

func TestTimeIsMillisecondsInUTC(t *testing.T) {
	at := time.Date(2026, 11, 23, 19, 0, 0, 123_999_999, time.FixedZone("CET", 3600))
	b, err := json.Marshal(schema.TimeOf(at))
	if err != nil || string(b) != `"2026-11-23T18:00:00.123Z"` {
		t.Fatalf("%s, %v", b, err)
	}
	for text, want := range map[string]schema.Time{
		`"2026-11-23T18:00:00.123Z"`:       schema.TimeOf(at),
		`"2026-11-23T19:00:00.123+01:00"`:  schema.TimeOf(at),
		`"2026-11-23T18:00:00.123999999Z"`: schema.TimeOf(at),
		`"1969-12-31T23:59:59.999Z"`:       -1,
	} {
		var got schema.Time
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is %d: %v", text, got, err)
		}
	}
	for _, text := range []string{`1790000000`, `"tomorrow"`, `""`, `"2026-02-30T00:00:00Z"`} {
		var got schema.Time
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is %s", text, got)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	for kind, want := range map[schema.Kind]string{schema.Fact: "fact", schema.Signal: "signal", schema.Query: "query", schema.Push: "push", 9: "kind(9)"} {
		if kind.String() != want {
			t.Errorf("%d is %s", kind, kind)
		}
	}
}

// Every millisecond of a second, before and after 1970, and years of any length.
func TestTimeAsTheWireShowsIt(t *testing.T) {
	for _, second := range []int64{0, 1_795_456_800, -1, -62_135_596_800, -62_200_000_000, 253_402_300_799, 253_402_300_800} {
		for ms := range int64(1000) {
			moment := schema.Time(second*1000 + ms)
			want := time.Unix(second, ms*1e6).UTC().Format("2006-01-02T15:04:05.000Z")
			if text, err := json.Marshal(moment); moment.String() != want || string(text) != `"`+want+`"` || err != nil {
				t.Fatalf("%d is %s and %s, not %s: %v", int64(moment), moment, text, want, err)
			}
		}
	}
}
