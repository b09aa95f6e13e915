package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// spoilt gives a log a record that nobody can read, and notes: of what takes a client
// half a minute to earn, and of what else is asked for.
func spoilt(t *testing.T, cfg eventlog.Config, notes map[string]any) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now()
	if _, err = log.AppendWait(t.Context(), eventlog.Record{
		ID: eventlog.NewID(now), Time: schema.TimeOf(now), Event: "post:create", Version: 99, Actor: schema.Actor{ID: "dave", Username: "dave"}, Data: []byte(`{}`),
	}); err != nil {
		t.Fatal(err)
	}
	notes[schema.AuditSlow] = schema.AuditNote{User: "dave", Code: "SLOW_MESSAGE", Count: 3, Since: schema.TimeOf(now)}
	notes[schema.AuditRestored] = schema.AuditRestoredLog{Made: schema.TimeOf(now), Seq: 7, NewEpoch: true, Why: "as was asked for"}
	for kind, note := range notes {
		if err := log.Audit(kind, note); err != nil {
			t.Fatal(err)
		}
	}
}

// loses has a server apply records that the log has no more when an older backup of it
// is restored.
func loses(t *testing.T, dir string) {
	t.Helper()
	serve(t, dir).stop(syscall.SIGTERM)
	store, backup := filepath.Join(dir, "jetstream"), filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	s := serve(t, dir)
	aFewRecords(t, s)
	s.stop(syscall.SIGTERM)
	if err := errors.Join(os.RemoveAll(store), os.Rename(backup, store)); err != nil {
		t.Fatal(err)
	}
}

// misbehaves makes the server note what else there is to note, and returns a moderator.
func misbehaves(t *testing.T, s *serverProcess) (mod *client.Client) {
	t.Helper()
	mod, err := client.Dial(t.Context(), s.url, client.Options{Token: mint(t, filepath.Join(s.dir, secretName), "mod", schema.RoleModerator)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close() })
	eve := s.dial("eve", client.Options{})
	do(t, eve, "post:create", schema.PostCreate{Content: "here I am"})
	if _, err := eve.Do(t.Context(), "admin:stats", nil, ""); err == nil {
		t.Fatal("a user was told the figures")
	}
	do(t, mod, "admin:suspend", schema.AdminSuspend{UserID: "eve", Reason: "spam"})
	<-eve.Done()
	good(t, "rebuild", "--data", s.dir)
	return mod
}

// told is the ADMIN stream as admin:history tells it, oldest first, one JSON object
// each.
func told(t *testing.T, mod *client.Client) (all []string, entries []schema.AuditEntry) {
	t.Helper()
	var q schema.AdminHistory
	for q.Limit = 2; ; {
		var page schema.Items[schema.AuditEntry]
		if err := json.Unmarshal(do(t, mod, "admin:history", q).Data, &page); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, page.Items...)
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	slices.Reverse(entries)
	for i := range entries {
		var text strings.Builder
		if err := printJSON(&text, entries[i]); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(text.String()))
	}
	return all, entries
}

// Each kind of entry that the schema lists, as the table shows it to people.
var kindsForPeople = map[string]string{
	schema.AuditFact:      `fact admin:suspend mod {"userId":"eve","reason":"spam"}`,
	schema.AuditRefused:   `refused admin:stats eve NOT_PERMITTED`,
	schema.AuditSlow:      `slow - dave SLOW_MESSAGE 3 times since …`,
	schema.AuditSuspended: `suspended - eve SUSPENDED`,
	schema.AuditParked:    `parked - - {"seq":1,"id":"…","event":"post:create","projector":"log",`,
	schema.AuditRebuild:   `rebuild - - finished at seq 3; nothing differed`,
	schema.AuditLoss:      `loss - - {"reason":"`,
	schema.AuditRestored:  `restored - - up to seq 7, from a backup made …, under a new epoch: as was asked for`,

	schema.AuditCheckpoint: `checkpoint - - up to seq 1, root `,
}

// Every kind of entry is read back: by moderators over the wire, and by roomlog inspect
// from a server that runs, from one that follows it, from what it left, and from a
// log in NATS; each of them shows the same.
func TestEveryKindOfAuditIsReadBack(t *testing.T) {
	for name, outside := range map[string]bool{"a data directory": false, "a log in NATS": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg, flags, alone := eventlog.Config{Dir: dir}, []string{}, []string{"--data", dir}
			if outside {
				cfg = eventlog.Config{URL: outsideNATS(t)}
				flags = []string{"--nats-url", cfg.URL}
				alone = flags
			}
			notes := map[string]any{}
			if outside { // no message of a stream can be deleted, and nobody restores an older one
				notes[schema.AuditLoss] = schema.AuditLostRecords{Reason: "they are ahead of the log", Applied: 6}
			} else {
				loses(t, dir)
				flags = []string{"--accept-loss"}
			}
			spoilt(t, cfg, notes)
			s := serve(t, dir, flags...)
			mod := misbehaves(t, s)
			// It signs what is left to sign now, and not when it stops.
			good(t, "verify", "--data", dir, "--prove", "3")
			var want []string
			var entries []schema.AuditEntry
			eventually(t, func() (bool, string) {
				want, entries = told(t, mod)
				seen := map[string]bool{}
				for _, e := range entries {
					seen[e.Kind] = true
				}
				return len(seen) == len(schema.AuditKinds) && strings.Contains(strings.Join(want, ""), schema.RebuildFinished), "every kind of entry, not only " + strings.Join(want, "\n")
			})

			live := []string{"inspect", "--data", dir}
			shows(t, "running", lines(good(t, append(live, "--json")...)), want)
			follows(t, append(live, "--json"), want)
			filtered(t, live, entries, want)
			table := good(t, live...)
			forPeople(t, table)
			stopped := append([]string{"inspect"}, alone...)
			if outside {
				follows(t, append(stopped, "--json"), want)
			}
			if code, _ := s.stop(syscall.SIGTERM); code != 0 {
				t.Fatalf("exit code %d\n%s", code, s.stderr)
			}
			shows(t, "stopped", lines(good(t, append(stopped, "--json")...)), want)
			filtered(t, stopped, entries, want)
			if got := good(t, stopped...); got != table {
				t.Errorf("stopped it shows\n%sand running it showed\n%s", got, table)
			}
		})
	}
}

func shows(t *testing.T, when string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s, inspect shows\n%s\nand admin:history\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func follows(t *testing.T, args, want []string) {
	t.Helper()
	shown, end := following(t, args...)
	for _, line := range want {
		if !shown.Scan() || shown.Text() != line {
			t.Errorf("a follow shows %s, want %s", shown.Text(), line)
		}
	}
	end()
}

// filtered asks for each kind, each user and each moment that occurs.
func filtered(t *testing.T, inspect []string, entries []schema.AuditEntry, all []string) {
	t.Helper()
	show := func(keep func(i int) bool, flags ...string) {
		t.Helper()
		var want []string
		for i := range all {
			if keep(i) {
				want = append(want, all[i])
			}
		}
		shows(t, strings.Join(flags, " "), lines(good(t, slices.Concat(inspect, []string{"--json"}, flags)...)), want)
	}
	for _, kind := range schema.AuditKinds {
		show(func(i int) bool { return entries[i].Kind == kind }, "--kind", kind)
	}
	for _, user := range []string{"mod", "eve", "dave", "nobody"} {
		show(func(i int) bool {
			return entries[i].Actor != nil && entries[i].Actor.ID == user || strings.Contains(all[i], `"data":{"userId":"`+user) && entries[i].Actor == nil
		}, "--actor", user)
	}
	middle := entries[len(entries)/2].Time
	show(func(i int) bool { return entries[i].Time >= middle }, "--since", middle.String())
	show(func(i int) bool { return entries[i].Kind == schema.AuditRefused && entries[i].Time >= middle }, "--kind", schema.AuditRefused, "--actor", "eve", "--since", middle.String())
}

func forPeople(t *testing.T, table string) {
	t.Helper()
	var rows []string
	for _, line := range lines(table)[1:] {
		_, row, _ := strings.Cut(strings.Join(strings.Fields(volatile.ReplaceAllString(line, "…"))[1:], " "), "… ")
		rows = append(rows, row)
	}
	for _, kind := range schema.AuditKinds {
		want := kindsForPeople[kind]
		if want == "" || !slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row, want) }) {
			t.Errorf("no row of kind %s, %q, in\n%s", kind, want, strings.Join(rows, "\n"))
		}
	}
}
