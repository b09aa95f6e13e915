package projections

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"roomlog/eventlog"
	"roomlog/schema"
)

// goldenRecords returns the records of testdata/records in the order of their times.
func goldenRecords(t *testing.T) (records []eventlog.Record) {
	t.Helper()
	files, err := filepath.Glob("../testdata/records/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var g struct {
			ID      string          `json:"id"`
			Time    schema.Time     `json:"time"`
			Event   string          `json:"event"`
			Version int             `json:"version"`
			Actor   schema.Actor    `json:"actor"`
			Entity  string          `json:"entity"`
			Data    json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(text, &g); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		records = append(records, eventlog.Record{
			ID: g.ID, Time: g.Time, Event: g.Event, Version: g.Version, Actor: g.Actor, Entity: g.Entity, Data: g.Data,
		})
	}
	slices.SortFunc(records, func(a, b eventlog.Record) int { return int(a.Time - b.Time) })
	for i := range records {
		records[i].Seq = uint64(i) + 1
	}
	return records
}

// Every record of every version that was ever released is applied today.
func TestGoldenRecordsAreApplied(t *testing.T) {
	records := goldenRecords(t)
	w := bare(t, filepath.Join(t.TempDir(), "models.db"))
	for i, o := range applyAll(t, w, records, 1, true) {
		if r := records[i]; o.Code != "" || len(o.Pushes) == 0 {
			t.Errorf("%s version %d is %s with %d pushes", r.Event, r.Version, o.Code, len(o.Pushes))
		}
	}
	viewOf(t, w, func(v *View) {
		for _, r := range records {
			if r.Event != "post:create" {
				continue
			}
			post, err := v.Post("ophelia", r.ID)
			if err != nil {
				continue // it is deleted at the end of the story
			}
			if post.Hashtags == nil || len(post.Hashtags) != 0 {
				t.Errorf("the post without hashtags has %q", post.Hashtags)
			}
		}
	})
}

// asVersion1 is a record as the release before wrote it.
func asVersion1(r eventlog.Record) eventlog.Record {
	if r.Event == "post:create" || r.Event == "post:update" {
		r.Version, r.Data = 1, []byte(strings.Replace(string(r.Data), `,"hashtags":[]`, "", 1))
	}
	return r
}

// A log in which every other post is of version 1 gives the read models that it gives
// when all are of version 2, to the byte, and so does a rebuild. The tree alone is of the
// records as they are stored.
func TestMixedVersionsGiveTheSameReadModels(t *testing.T) {
	now := traffic(400, 20)
	mixed := slices.Clone(now)
	downcast, without := 0, 0
	for i := range mixed {
		if now[i].Event != "post:create" {
			continue
		}
		if i%3 == 0 {
			now[i].Data = []byte(strings.Replace(string(now[i].Data), `["hamlet"]`, `[]`, 1))
			mixed[i].Data = now[i].Data
		}
		if i%2 == 0 {
			downcast++
			mixed[i] = asVersion1(now[i])
		}
		if len(mixed[i].Data) < len(now[i].Data) {
			without++
		}
	}
	if downcast < 10 || without < 3 || without == downcast {
		t.Fatalf("%d records are of version 1, %d of them without hashtags", downcast, without)
	}
	w := newWorld(t)
	w.run()
	w.wait(w.append(mixed...))
	got := w.digest()
	w.rebuild()
	other := newWorld(t)
	other.run()
	other.wait(other.append(now...))
	if diff := differing(other.digest(), got); !slices.Equal(diff, []string{"tree"}) {
		t.Errorf("%v differ", diff)
	}
	if parked := w.models.Parked(); len(parked) > 0 {
		t.Errorf("parked %+v", parked)
	}
}

// A record of a newer release is parked with what to do and the rest goes on, over a
// rebuild and a restart; a release that knows more makes the read models anew.
func TestRecordsOfANewerReleaseArePassedOver(t *testing.T) {
	w := newWorld(t)
	w.run()
	event, _ := schema.Lookup("post:create")
	w.n++
	newer := fact(w.n, "alice", event.Name, schema.PostCreate{Content: "from the future"})
	newer.Version = event.Version + 1
	if o := w.outcome(w.append(newer)); o.Code != schema.Parked {
		t.Fatalf("it is %q", o.Code)
	}
	w.must("alice", event.Name, schema.PostCreate{Content: "of today"})
	parked := w.models.Parked()
	why := fmt.Sprintf("post:create is of version %d, and this release knows it up to %d: start a newer release", newer.Version, event.Version)
	if len(parked) != 1 || !strings.Contains(parked[0].Error, why) {
		t.Fatalf("parked %+v", parked)
	}
	w.rebuild()
	w.close()
	w.run()
	if again := w.models.Parked(); !slices.Equal(again, parked) {
		t.Errorf("after rebuild and restart parked %+v", again)
	}
	known := 0
	for _, e := range schema.Events() {
		if e.Kind == schema.Fact {
			known += e.Version
		}
	}
	if knownVersions() != known || versions["keys"] <= known {
		t.Errorf("the read models' version of keys is %d, and does not rise with the catalogue's %d", versions["keys"], known)
	}
}

// A command whose first try was written by the release before is known again.
func TestARetryAfterAnUpgrade(t *testing.T) {
	w := newWorld(t)
	w.run()
	now := fact(1, "alice", "post:create", schema.PostCreate{Content: "once & for all"})
	now.Data = []byte(`{"content":"once & for all","hashtags":[]}`) // as the gateway writes it
	now.Key = "k"
	first := now
	first.Version, first.Data = 1, []byte(`{"content":"once & for all"}`)
	seq := w.append(first)
	if o := w.outcome(seq); o.Code != "" {
		t.Fatalf("the first try is %s", o.Code)
	}
	now.ID = id(2)
	if o := w.outcome(w.append(now)); o.Code != schema.DuplicateKey || o.FirstSeq != seq {
		t.Errorf("the retry is %s of %d", o.Code, o.FirstSeq)
	}
	now.ID, now.Data = id(3), []byte(`{"content":"once & for all","hashtags":["x"]}`)
	if o := w.outcome(w.append(now)); o.Code != schema.KeyReused {
		t.Errorf("another command under the key is %s", o.Code)
	}
}
