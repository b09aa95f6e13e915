package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomlog/eventlog"
	"roomlog/schema"
)

// toldRecord is a record of a log that is always the same.
type toldRecord struct {
	user, event, entity string
	version             int
	data                any
}

// toldID is the id of the nth record.
func toldID(n int) string { return fmt.Sprintf("01KBR8C800%016d", n) }

// tellTale makes the log that the golden replays are of: some of all that can be seen.
func tellTale(t *testing.T, dir string) {
	t.Helper()
	post, talk, message := toldID(1), toldID(6), toldID(7)
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i, r := range []toldRecord{
		{"alice", "post:create", "post:" + post, 1, schema.PostCreate{Content: "To be, or not to be\u202e #question", Hashtags: []string{"question"}}},
		{"bob", "user:follow", "user:alice", 1, schema.UserFollow{FollowingID: "alice", Action: "follow"}},
		{"bob", "post:like", "post:" + post, 1, schema.PostAction{PostID: post, Action: "like"}},
		{"bob", "post:like", "post:" + post, 1, schema.PostAction{PostID: post, Action: "like"}},
		{"bob", "post:comment", "post:" + post, 1, schema.PostComment{PostID: post, Content: "that is the question"}},
		{"alice", "conversation:create", "conversation:" + talk, 1, schema.ConversationCreate{Type: "group", Participants: []string{"bob", "carol"}, Name: "Elsinore"}},
		{"alice", "message:send", "conversation:" + talk, 1, schema.MessageSend{ConversationID: talk, Content: "who's there?", MessageType: "text"}},
		{"bob", "message:read", "conversation:" + talk, 1, schema.MessageRef{ConversationID: talk, MessageID: message}},
		{"carol", "admin:report", "report:" + toldID(9), 1, schema.AdminReport{Target: schema.Target{Type: "post", ID: post}, Reason: "melancholy"}},
		{"mod", "admin:remove", "post:" + post, 1, schema.AdminContent{Target: schema.Target{Type: "post", ID: post}, Reason: "melancholy"}},
		{"carol", "post:like", "post:" + post, 99, schema.PostAction{PostID: post, Action: "like"}},
		{"mod", "admin:suspend", "user:bob", 1, schema.AdminSuspend{UserID: "bob", Reason: "for good"}},
	} {
		data, err := json.Marshal(r.data)
		if err != nil {
			t.Fatal(err)
		}
		_, err = log.AppendWait(t.Context(), eventlog.Record{
			ID: toldID(i + 1), Time: schema.TimeOf(begin.Add(time.Duration(i) * time.Minute)), Event: r.event, Version: r.version,
			Actor: schema.Actor{ID: r.user, Username: r.user}, Entity: r.entity, Data: data,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// here carries out a command line in this process, which is faster than in one of its own.
func here(t *testing.T, args ...string) result {
	var out, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(""), &out, &stderr)
	return result{code, out.String(), stderr.String()}
}

// What replay prints stays as it is, letter by letter: testdata/replay has it. Other
// forms of what is the same are the same.
func TestGoldenReplays(t *testing.T) {
	dir := t.TempDir()
	tellTale(t, dir)
	for name, args := range map[string][]string{
		"table.txt":         {},
		"explain.txt":       {"--explain", "--from", "3", "--to", "11"},
		"lines.jsonl":       {"--format", "json", "--explain", "--from", "3", "--to", "5"},
		"cloudevents.jsonl": {"--format", "cloudevents"},
		"of-message.txt":    {"--of", toldID(7)},
		"of-post.txt":       {"--of", "post:" + toldID(1)},
		"of-carol.txt":      {"--of", "carol"},
		"room.txt":          {"--room", "conversation:" + toldID(6), "--until", "2026-11-01T12:06:30Z"},
		"conversation.txt":  {"--show", "conversation:" + toldID(6)},
		"post-then.json":    {"--show", "post:" + toldID(1), "--at", "2026-11-01T12:04:59Z", "--json"},
		"bob.txt":           {"--show", "user:bob"},
		"likes.txt":         {"--show", "model:likes", "--limit", "1"},
		"reports-as-of.txt": {"--show", "reports", "--at", "9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := here(t, append([]string{"replay", "--data", dir}, args...)...)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			got := r.out
			file := filepath.Join("../../testdata/replay", name)
			if *update {
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("replay %s prints\n%s\nand %s has\n%s", strings.Join(args, " "), got, file, want)
			}
		})
	}
	if table, asked := here(t, "replay", "--data", dir, "--format", "table").out, here(t, "replay", "--data", dir).out; table != asked {
		t.Errorf("the form is not a table by default:\n%s", asked)
	}
	if long, short := here(t, "replay", "--data", dir, "--format", "json").out, here(t, "replay", "--data", dir, "--json").out; long != short {
		t.Errorf("--json is not short for --format json:\n%s", short)
	}
}

// What cannot be shown is said in a sentence, with the right exit code.
func TestReplayRefuses(t *testing.T) {
	dir := t.TempDir()
	tellTale(t, dir)
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"--room nowhere":    {2, "no room is called"},
		"--of post:x":       {2, "nothing has the id"},
		"--until yesterday": {2, "no moment"},
		"--since 2026-11-02T00:00:00Z --until 2026-11-01T00:00:00Z": {2, "until must not be earlier"},
		"--follow --until 1h":                      {2, "give one of them"},
		"--follow":                                 {2, "nothing to follow"},
		"--json --format table":                    {2, "two forms"},
		"--format xml":                             {2, "must be one of"},
		"--explain --format cloudevents":           {2, "no place for"},
		"--at 3":                                   {2, "go with --show"},
		"--show reports --actor alice":             {2, "choose records"},
		"--show reports --format cloudevents":      {2, "is no event"},
		"--show reports --at 0":                    {2, "before record 1"},
		"--show everything":                        {2, "give conversation:ID"},
		"--show reports --limit 0":                 {2, "from 1 to 10000"},
		"--show reports --at 13":                   {1, "none at 13 yet"},
		"--show reports --at 2026-10-01T00:00:00Z": {1, "the log was empty"},
		"--show presence:nobody":                   {1, "as of record 12: no such user"},
		"--show model:likes --page x":              {1, "no page ended"},
		"--nats-url nats://127.0.0.1:1":            {1, "cannot reach NATS"},
	} {
		r := here(t, append([]string{"replay", "--data", dir}, strings.Fields(args)...)...)
		if r.code != want.code || !strings.Contains(r.stderr, want.says) || r.out != "" {
			t.Errorf("replay %s: exit code %d\n%s%s", args, r.code, r.out, r.stderr)
		}
	}
}
