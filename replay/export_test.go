package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// exported is what Export writes of a log.
func exported(t *testing.T, log *eventlog.Log, from, to uint64) string {
	t.Helper()
	var out bytes.Buffer
	report, err := replay.Export(t.Context(), log, from, to, &out, nil)
	if err != nil || int(report.Records) != strings.Count(out.String(), "\n") {
		t.Fatalf("%+v, %v", report, err)
	}
	return out.String()
}

func openLog(t *testing.T, dir string) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// digestOf makes read models of a log and returns their digest.
func digestOf(t *testing.T, log *eventlog.Log) projections.Digest {
	t.Helper()
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(t.TempDir(), "models.db"), Log: log, Deliver: func([]projections.Applied) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- models.Run(ctx) }()
	defer func() { stop(); <-ran }()
	if err := models.WaitApplied(t.Context(), log.Durable()); err != nil {
		t.Fatal(err)
	}
	d, err := models.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A log that was exported and imported is the same, record by record, under another
// epoch, and so are the read models that are made of it.
func TestExportImport(t *testing.T) {
	h := newHistory(t)
	now := schema.TimeOf(start)
	_, err := h.Log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(start), Time: now, Event: "post:create", Version: 1,
		Actor: schema.Actor{ID: "zoe", Username: "Zoë \"z\" <z>", Avatar: "https://example.org/z.png"},
		Data:  json.RawMessage(`{"content":"a\n& <b> \u2028 é"}`), Key: "100% sure", Socket: "s", CorrelationID: "c", CausationID: "d",
	})
	if err != nil {
		t.Fatal(err)
	}
	text := exported(t, h.Log, 1, 0)
	again := openLog(t, t.TempDir())
	report, err := replay.Import(t.Context(), again, strings.NewReader(text), replay.ImportOptions{})
	if err != nil || report.Added != h.Log.Durable() || report.Last != h.Log.Durable() || report.Skipped != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for seq := uint64(1); seq <= h.Log.Durable(); seq++ {
		want, err := h.Log.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Get(t.Context(), seq); err != nil || !bytes.Equal(got.Leaf(), want.Leaf()) {
			t.Fatalf("record %d: %v\ngot  %q\nwant %q", seq, err, got.Leaf(), want.Leaf())
		}
	}
	before, after := digestOf(t, h.Log), digestOf(t, again)
	if before.Total != after.Total || before.Seq != after.Seq || before.Epoch == after.Epoch {
		t.Errorf("digests %+v and %+v", before, after)
	}
	// Again it changes nothing.
	if report, err := replay.Import(t.Context(), again, strings.NewReader(text), replay.ImportOptions{}); err != nil || report.Added != 0 || report.Skipped != h.Log.Durable() {
		t.Errorf("repeated: %+v, %v", report, err)
	}
}

// An import goes on where the log ends, and after it was cut short.
func TestImportGoesOn(t *testing.T) {
	h := newHistory(t)
	last := h.Log.Durable()
	log := openLog(t, t.TempDir())
	parts := []struct {
		from, to       uint64
		added, skipped uint64
	}{{1, 200, 200, 0}, {201, 400, 200, 0}, {301, last, last - 400, 100}}
	for _, p := range parts {
		report, err := replay.Import(t.Context(), log, strings.NewReader(exported(t, h.Log, p.from, p.to)), replay.ImportOptions{})
		if err != nil || report.Added != p.added || report.Skipped != p.skipped {
			t.Fatalf("%d to %d: %+v, %v", p.from, p.to, report, err)
		}
	}
	if exported(t, log, 1, 0) != exported(t, h.Log, 1, 0) {
		t.Error("the logs differ")
	}
	// A part has its own places only when that is asked for, and then again the same.
	part, own := exported(t, h.Log, 101, 150), openLog(t, t.TempDir())
	if _, err := replay.Import(t.Context(), own, strings.NewReader(part), replay.ImportOptions{}); err == nil || !strings.Contains(err.Error(), "line 1: its place is 101, and the log goes on at 1") {
		t.Errorf("a part into an empty log: %v", err)
	}
	for _, want := range []replay.ImportReport{{Added: 50, Last: 50}, {Skipped: 50, Last: 50}} {
		if report, err := replay.Import(t.Context(), own, strings.NewReader(part), replay.ImportOptions{Renumber: true}); err != nil || report != want {
			t.Errorf("renumbered: %+v, %v, want %+v", report, err, want)
		}
	}
}

// Lines that cannot be imported are named, and what came before them is stored.
func TestImportRefuses(t *testing.T) {
	line := func(seq int) string {
		at := time.Now()
		return fmt.Sprintf(`{"specversion":"1.0","id":"%s","type":"post:create","source":"/roomlog","time":"2026-11-28T21:00:00.000Z",`+
			`"dataschema":"urn:roomlog:schema:post.create.v1","actor":"alice","actorname":"Alice","sequence":"%d","data":{"content":"hello"}}`, eventlog.NewID(at), seq)
	}
	with := func(old, new string) string {
		changed := strings.Replace(line(3), old, new, 1)
		if changed == line(3) {
			t.Fatalf("%q is not in a line", old)
		}
		return changed
	}
	for _, c := range []struct{ bad, want string }{
		{"{", "unexpected end of JSON input"},
		{with("post:create", "post:creat"), `no event of the catalogue is called "post:creat"`},
		{with("post:create", "post:join"), "post:join is no fact"},
		{with(`"actor":"alice"`, `"actor":"two words"`), `its actor "two words" is no user id`},
		{with(`"id":"`, `"id":"x`), "is no ULID"},
		{with(`,"sequence":"3"`, ""), "--renumber gives it one"},
		{with(`"sequence":"3"`, `"sequence":"5"`), "its place is 5, and the log goes on at 3"},
		{with(`"sequence":"3"`, `"sequence":"2"`), "its place 2 does not come after 2"},
		{with("hello", strings.Repeat("x", 1<<20)), "the log takes at most"},
		{strings.Repeat("x", 9<<20), "is longer than"},
	} {
		log := openLog(t, t.TempDir())
		report, err := replay.Import(t.Context(), log, strings.NewReader(line(1)+"\n"+line(2)+"\n"+c.bad+"\n"+line(4)+"\n"), replay.ImportOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "line 3") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if report.Added != 2 || report.Last != 2 || log.Durable() != 2 {
			t.Errorf("%s: %+v", c.want, report)
		}
		log.Close()
	}
	// Another log's record, and the same one twice.
	log := openLog(t, t.TempDir())
	first, second := line(1), line(2)
	if _, err := replay.Import(t.Context(), log, strings.NewReader(first+"\n\n"+second), replay.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		first + "\n" + line(2): "line 2: it is record",
		strings.Replace(first, `"sequence":"1"`, `"sequence":"3"`, 1): "its id is in the file twice",
	} {
		if _, err := replay.Import(t.Context(), log, strings.NewReader(text), replay.ImportOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// An export ends where it is told to, or when it is no longer wanted, and leaves out
// what has no form as a CloudEvent.
func TestExport(t *testing.T) {
	log := openLog(t, t.TempDir())
	for i, entity := range []string{"post:a", "\xff", "post:b", "post:c"} {
		_, err := log.AppendWait(t.Context(), eventlog.Record{
			ID: eventlog.NewID(start), Time: schema.TimeOf(start), Event: "post:create", Version: 1, Entity: entity,
			Actor: schema.Actor{ID: "alice"}, Data: fmt.Appendf(nil, `{"content":"%d"}`, i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	report, err := replay.Export(t.Context(), log, 1, 3, &out, nil)
	if err != nil || report.First != 1 || report.Last != 3 || report.Records != 2 || report.Left != 1 || report.LeftFirst != 2 || !strings.Contains(report.Why.Error(), "UTF-8") {
		t.Errorf("%+v, %v", report, err)
	}
	if strings.Count(out.String(), "\n") != 2 {
		t.Errorf("it wrote %q", out.String())
	}
	if report, err := replay.Export(t.Context(), log, 5, 0, &out, nil); err != nil || report.Records != 0 {
		t.Errorf("behind the end: %+v, %v", report, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replay.Export(ended, log, 1, 0, &out, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}
