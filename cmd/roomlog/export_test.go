package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a server has is exported while it runs and imported into a new directory: the
// read models are the same there, under an epoch of their own.
func TestExportAndImport(t *testing.T) {
	s := serve(t, t.TempDir())
	aFewRecords(t, s)
	want := liveStatus(t, s.dir)
	file, data := filepath.Join(t.TempDir(), "log.jsonl"), filepath.Join(t.TempDir(), "data")
	good(t, "export", "--data", s.dir, "-o", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out := good(t, "export", "--data", s.dir); out != string(text) {
		t.Errorf("standard output has %s", out)
	}
	all := lines(string(text))
	if out := good(t, "export", "--data", s.dir, "--from", "2", "--to", "3"); out != strings.Join(all[1:3], "\n")+"\n" {
		t.Errorf("seq 2 to 3 is %s", out)
	}
	if r := roomlog(t, "import", file, "--data", s.dir); r.code != 1 || !strings.Contains(r.stderr, "a server runs on "+s.dir) {
		t.Errorf("into a running server: exit code %d: %s", r.code, r.stderr)
	}
	half := strings.Join(all[:3], "\n") + "\n{\n"
	if r := roomlogWith(t, nil, half, "import", "-", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "line 4: ") || !strings.Contains(r.stderr, "the log has records up to seq 3") {
		t.Errorf("with a bad line: exit code %d: %s", r.code, r.stderr)
	}
	for _, said := range []string{"imported 3 records, 3 were there already; the log ends at seq 6", "imported 0 records, 6 were there already"} {
		if out := good(t, "import", file, "--data", data); !strings.Contains(out, said) {
			t.Errorf("it said %s, want %s", out, said)
		}
	}
	serve(t, data)
	if got := liveStatus(t, data); got.Projections != want.Projections || got.Epoch == want.Epoch || got.Log != want.Log {
		t.Errorf("imported it is %+v, and was %+v", got, want)
	}
	if got := replayed(t, data); len(got) != 6 {
		t.Errorf("%d records", len(got))
	}
}

// A log in a NATS cluster is exported as any other; its backup is the cluster's own.
func TestExportFromNATS(t *testing.T) {
	url := outsideNATS(t)
	s := serve(t, t.TempDir(), "--nats-url", url)
	aFewRecords(t, s)
	if out := good(t, "export", "--nats-url", url); len(lines(out)) != 6 {
		t.Errorf("exported was %s", out)
	}
	if r := roomlog(t, "backup", filepath.Join(t.TempDir(), "backup"), "--data", s.dir); r.code != 1 || !strings.Contains(r.stderr, "nats stream backup EVENTS DIR") {
		t.Errorf("a backup of it: exit code %d: %s", r.code, r.stderr)
	}
}
