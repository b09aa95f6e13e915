package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// moderated makes facts of /admin and things that are noted: a report, a removal, a
// refused command and a rebuild. It returns the post.
func moderated(t *testing.T, s *serverProcess) (post string) {
	t.Helper()
	alice, bob := s.dial("alice", client.Options{}), s.dial("bob", client.Options{})
	mod, err := client.Dial(t.Context(), s.url, client.Options{Token: strings.TrimSpace(good(t, "token", "--data", s.dir, "--user", "mod", "--role", "moderator"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close() })
	var created schema.PostCreated
	if err := json.Unmarshal(do(t, alice, "post:create", schema.PostCreate{Content: "buy my ghosts"}).Data, &created); err != nil {
		t.Fatal(err)
	}
	post = created.Post.ID
	target := schema.Target{Type: schema.TargetPost, ID: post}
	do(t, bob, "admin:report", schema.AdminReport{Target: target, Reason: "spam"})
	do(t, mod, "admin:remove", schema.AdminContent{Target: target, Reason: "spam"})
	if _, err := bob.Do(t.Context(), "admin:stats", nil, ""); err == nil {
		t.Fatal("a user was told the figures")
	}
	good(t, "rebuild", "--data", s.dir)
	return post
}

// volatile is what differs between two runs.
var volatile = regexp.MustCompile(`20\d\d-[0-9T:.-]+Z|\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b`)

// inspected waits until the ADMIN stream has as many entries: it is filled behind
// the acks.
func inspected(t *testing.T, dir string, want int, args ...string) []string {
	t.Helper()
	args = append([]string{"inspect", "--data", dir}, args...)
	var got []string
	for range 200 {
		if got = lines(good(t, args...)); len(got) >= want {
			break
		}
	}
	if len(got) != want {
		t.Fatalf("roomlog %s: %d lines, want %d:\n%s", strings.Join(args, " "), len(got), want, strings.Join(got, "\n"))
	}
	return got
}

// What inspect says is the same while the server runs and after, as a table and as
// JSON.
func TestInspectRunningAndStopped(t *testing.T) {
	dir := t.TempDir()
	unknown := schema.Target{Type: schema.TargetPost, ID: eventlog.NewID(time.Now())}
	voidFirst(t, dir, "admin:remove", "mod", schema.AdminContent{Target: unknown, Reason: "spam"})
	s := serve(t, dir)
	post := moderated(t, s)
	good(t, "verify", "--data", dir, "--prove", "4") // signs a second time, and not when it stops
	all := inspected(t, dir, 9)
	queries := map[string]int{
		"":                                    9, // with the head of the table
		"--json":                              8,
		"--json --kind checkpoint":            2,
		"--json --kind fact":                  3,
		"--json --kind refused":               1,
		"--json --kind rebuild":               2,
		"--json --actor mod":                  2,
		"--json --actor bob":                  2, // a report, and a refusal
		"--json --actor bob --kind fact":      1,
		"--json --since 1h":                   8,
		"--json --since 2100-01-01T00:00:00Z": 0,
		"--json --kind slow":                  0,
	}
	running := map[string]string{}
	for q, want := range queries {
		running[q] = good(t, append([]string{"inspect", "--data", dir}, strings.Fields(q)...)...)
		if got := lines(running[q]); len(got) != want {
			t.Errorf("inspect %s: %d lines, want %d:\n%s", q, len(got), want, running[q])
		}
	}
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr)
	}
	for q := range queries {
		if out := good(t, append([]string{"inspect", "--data", dir}, strings.Fields(q)...)...); out != running[q] {
			t.Errorf("inspect %s: stopped it says\n%sand running it said\n%s", q, out, running[q])
		}
	}

	// The stream is filled from two sides: facts keep their order, and notes theirs.
	var table []string
	for _, line := range all {
		line = volatile.ReplaceAllString(strings.ReplaceAll(line, post, "POST"), "…")
		table = append(table, strings.Join(strings.Fields(line)[1:], " "))
	}
	for _, want := range []string{
		"TIME KIND EVENT WHO WHAT",
		`… fact admin:report bob {"target":{"type":"post","id":"POST"},"reason":"spam"}`,
		`… fact admin:remove mod {"target":{"type":"post","id":"POST"},"reason":"spam"}`,
		`… fact admin:remove mod void:POST_NOT_FOUND {"target":{"type":"post","id":"…"},"reason":"spam"}`,
		"… refused admin:stats bob NOT_PERMITTED",
		"… rebuild - - started at seq 4",
		"… rebuild - - finished at seq 4; nothing differed",
	} {
		found := false
		for _, line := range table {
			found = found || line == want
		}
		if !found {
			t.Errorf("no line %q in\n%s", want, strings.Join(table, "\n"))
		}
	}
	var refused schema.AuditEntry
	var note schema.AuditNote
	if err := json.Unmarshal([]byte(running["--json --kind refused"]), &refused); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(refused.Data, &note); err != nil || note.User != "bob" || note.Event != "admin:stats" || note.Count != 1 || note.Since == 0 {
		t.Errorf("the refusal: %s (%v)", refused.Data, err)
	}
}

// Follow shows what is there and then what comes.
func TestInspectFollow(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	bob := s.dial("bob", client.Options{})
	report := func(user string) {
		do(t, bob, "admin:report", schema.AdminReport{Target: schema.Target{Type: schema.TargetUser, ID: user}, Reason: "spam"})
	}
	for _, user := range []string{"alice", "carol", "dave"} { // they must be known
		do(t, s.dial(user, client.Options{}), "post:create", schema.PostCreate{Content: "here I am"})
	}
	report("alice")
	shown, end := following(t, "inspect", "--json", "--kind", "fact", "--data", dir)
	for i, user := range []string{"alice", "carol", "dave"} {
		if i > 0 {
			report(user)
		}
		if !shown.Scan() {
			t.Fatalf("the follow ended before %q", user)
		}
		var e schema.AuditEntry
		if err := json.Unmarshal(shown.Bytes(), &e); err != nil || e.Event != "admin:report" || e.LogSeq == 0 || !strings.Contains(string(e.Data), user) {
			t.Errorf("wanted the report of %q and got %s (%v)", user, shown.Text(), err)
		}
	}
	end()
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir).stop(syscall.SIGTERM)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "no entry is of kind", []string{"--data", dir, "--kind", "gossip"}},
		{exitUsage, "is no user id", []string{"--data", dir, "--actor", "a b"}},
		{exitUsage, "is no moment", []string{"--data", dir, "--since", "yesterday"}},
		{exitUsage, "nothing to follow", []string{"--data", dir, "--follow"}},
		{exitFailed, "there is no log in", []string{"--data", t.TempDir()}},
		{exitFailed, "cannot reach NATS", []string{"--data", dir, "--nats-url", "nats://127.0.0.1:1"}},
	} {
		r := roomlog(t, append([]string{"inspect"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("inspect %s: exit code %d: %s", strings.Join(c.args, " "), r.code, r.stderr)
		}
	}
}
