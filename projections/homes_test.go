package projections

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roomlog/eventlog"
	"roomlog/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// golden is a line of testdata/facts.jsonl: a fact, and what became of it.
type golden struct {
	User   string          `json:"user"`
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
	Code   schema.Code     `json:"code,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Rooms  []string        `json:"rooms,omitempty"`
	Of     string          `json:"followersOf,omitempty"`
	Users  []string        `json:"users,omitempty"`
	Others json.RawMessage `json:"others,omitempty"` // told, where it is not the result
	Leave  []string        `json:"evicted,omitempty"`
	Closed bool            `json:"closed,omitempty"`
	Notes  []Note          `json:"notes,omitempty"`
}

// Every fact that this release takes has the home that the catalogue names, and
// stands in the golden file at least once applied.
func TestEveryFactHasAHomeAndGoldenData(t *testing.T) {
	applied := map[string]bool{}
	for _, g := range readGolden(t) {
		applied[g.Event] = applied[g.Event] || g.Code == ""
	}
	facts := 0
	for _, e := range schema.Events() {
		if e.Kind != schema.Fact {
			if homes[e.Name] != nil {
				t.Errorf("%s has a home, but is no fact that this release takes", e.Name)
			}
			continue
		}
		facts++
		h := homes[e.Name]
		switch {
		case h == nil:
			t.Errorf("%s has no home", e.Name)
			continue
		case h.projector != e.Home:
			t.Errorf("%s is decided by %s, the catalogue says %s", e.Name, h.projector, e.Home)
		case versions[h.projector] == 0:
			t.Errorf("%s has no version", h.projector)
		case !applied[e.Name]:
			t.Errorf("%s is not applied in testdata/facts.jsonl", e.Name)
		}
	}
	if facts != len(homes) {
		t.Errorf("%d facts and %d homes", facts, len(homes))
	}
	s := newState(nil)
	if got := len(s.observers()); got != len(versions) {
		t.Errorf("%d projectors are told of records, %d have a version", got, len(versions))
	}
}

// The golden facts, one after the other, come out as the file says.
func TestGoldenFacts(t *testing.T) {
	lines := readGolden(t)
	w := bare(t, filepath.Join(t.TempDir(), "models.db"))
	var out bytes.Buffer
	for i, g := range lines {
		r := fact(i+1, g.User, g.Event, schema.PostCreate{})
		r.Data, r.Entity = g.Data, ""
		got := applyAll(t, w, []eventlog.Record{r}, 1, true)[0]
		now := golden{User: g.User, Event: g.Event, Data: g.Data, Code: got.Code, Result: got.Result, Notes: got.Notes}
		for _, p := range got.Pushes {
			now.Rooms, now.Of, now.Users, now.Leave, now.Closed = p.Rooms, p.FollowersOf, p.Users, p.Evicted, p.Closed
			if p.Own != nil {
				now.Others = p.Data
			}
		}
		line, err := json.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	path := filepath.Join("testdata", "facts.jsonl")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
		}
	}
}

func readGolden(t *testing.T) (lines []golden) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "facts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var g golden
		if err := json.Unmarshal(scan.Bytes(), &g); err != nil {
			t.Fatalf("line %d: %v", len(lines)+1, err)
		}
		lines = append(lines, g)
	}
	return lines
}

// What no projector can read is parked once, under "log", and changes nothing but
// the history.
func TestRecordsThatNobodyCanReadAreParked(t *testing.T) {
	good := fact(2, "alice", "post:create", schema.PostCreate{Content: "hello"})
	for name, spoil := range map[string]func(*eventlog.Record){
		"foreign message":     func(r *eventlog.Record) { *r = eventlog.Record{Err: errors.New("no ce-id")} },
		"unknown event":       func(r *eventlog.Record) { r.Event = "post:pin" },
		"no fact":             func(r *eventlog.Record) { r.Event = "feed:get" },
		"newer version":       func(r *eventlog.Record) { r.Version++ },
		"no version":          func(r *eventlog.Record) { r.Version = 0 },
		"actor without id":    func(r *eventlog.Record) { r.Actor.ID = "" },
		"actor that forges":   func(r *eventlog.Record) { r.Actor.ID = "a\x00b" /* would be listed under a */ },
		"id that is no ULID":  func(r *eventlog.Record) { r.ID = "1" },
		"data of other types": func(r *eventlog.Record) { r.Data = json.RawMessage(`{"content":7}`) },
		"data that is cut":    func(r *eventlog.Record) { r.Data = json.RawMessage(`{"content":"`) },
		"endless key":         func(r *eventlog.Record) { r.Key = strings.Repeat("k", 1000) },
		"a taken post id":     func(r *eventlog.Record) { r.ID = id(1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := bare(t, filepath.Join(t.TempDir(), "models.db"))
			first := fact(1, "bob", "post:create", schema.PostCreate{Content: "first"})
			applyAll(t, w, []eventlog.Record{first}, 1, true)
			before := digestOf(t, w.db)
			r := good
			spoil(&r)
			if got := applyAll(t, w, []eventlog.Record{r}, 1, true)[0]; got.Code != schema.Parked || got.Pushes != nil {
				t.Errorf("outcome %q with %d pushes", got.Code, len(got.Pushes))
			}
			viewOf(t, w, func(v *View) {
				if parked, err := parkedIn(v.tx); err != nil || len(parked) != 1 {
					t.Errorf("parked %v, %v", parked, err)
				}
				for seq := range v.ActorSeqs("a", 0) {
					t.Errorf("record %d is listed for a user who did not send it", seq)
				}
			})
			after := digestOf(t, w.db)
			for projector, sum := range after.Projections {
				if changed := sum != before.Projections[projector]; changed != (projector == "history" || projector == "tree") && projector != "keys" {
					t.Errorf("%s changed: %v", projector, changed)
				}
			}
			if got := applyAll(t, w, []eventlog.Record{good}, 1, true)[0]; got.Code != "" {
				t.Errorf("the next record is %s", got.Code)
			}
		})
	}
}
