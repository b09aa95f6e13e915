package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// freeAddress is a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// auditorURL is where a server takes its auditor.
func auditorURL(t *testing.T, dir, address string) string {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(dir, "nats.auditor.password"))
	if err != nil {
		t.Fatal(err)
	}
	return "nats://auditor:" + strings.TrimSpace(string(password)) + "@" + address
}

// contentOf is every file of a folder with what is in it.
func contentOf(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Type()&fs.ModeSocket != 0 {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %d %x\n", path, len(text), sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// talkALittle adds to aFewRecords a conversation, and returns its id and a message's.
func talkALittle(t *testing.T, s *serverProcess) (talk, message string) {
	t.Helper()
	carol, dave := s.dial("carol", client.Options{}), s.dial("dave", client.Options{})
	var made schema.ConversationCreated
	if err := json.Unmarshal(do(t, carol, "conversation:create", schema.ConversationCreate{Type: "direct", Participants: []string{"dave"}}).Data, &made); err != nil {
		t.Fatal(err)
	}
	talk = made.Conversation.ID
	var sent schema.MessageSent
	if err := json.Unmarshal(do(t, dave, "message:send", schema.MessageSend{ConversationID: talk, Content: "well", MessageType: "text"}).Data, &sent); err != nil {
		t.Fatal(err)
	}
	do(t, carol, "message:read", schema.MessageRef{ConversationID: talk, MessageID: sent.Message.ID})
	return talk, sent.Message.ID
}

// Whatever is asked, the answer is the same of a running server, with an auditor's
// credentials, of a stopped server and of a backup; nothing is changed where nobody
// runs, and nothing is left behind.
func TestReplayIsTheSameWhereverTheLogIs(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	s := serve(t, dir, "--nats-listen", address)
	post := aFewRecords(t, s)
	talk, message := talkALittle(t, s)
	queries := [][]string{
		{}, {"--json"}, {"--format", "cloudevents"},
		{"--of", message}, {"--of", "post:" + post}, {"--of", "alice"}, {"--room", "conversation:" + talk},
		{"--actor", "bob", "--event", "post:*", "--until", "0s"}, {"--from", "3", "--to", "5", "--explain", "--json"}, {"--explain", "--of", message},
		{"--show", "post:" + post}, {"--show", "post:" + post, "--at", "3", "--json"}, {"--show", "conversation:" + talk, "--at", "8"},
		{"--show", "user:alice", "--as", "bob", "--at", "0s"}, {"--show", "model:history", "--at", "7"}, {"--show", "feed:bob", "--at", "4"},
	}
	ask := func(from ...string) (answers []string) {
		for _, q := range queries {
			r := here(t, append(append([]string{"replay"}, from...), q...)...)
			if r.code != 0 || r.out == "" {
				t.Errorf("%q of %q: exit code %d\n%s%s", q, from, r.code, r.out, r.stderr)
			}
			answers = append(answers, r.out)
		}
		return answers
	}
	want := ask("--data", dir)
	check := func(where string, got []string) {
		t.Helper()
		for i := range queries {
			if got[i] != want[i] {
				t.Errorf("%q of %s is\n%s\nand of the running server\n%s", queries[i], where, got[i], want[i])
			}
		}
	}
	check("the auditor's log", ask("--data", filepath.Join(dir, "none"), "--nats-url", auditorURL(t, dir, address)))
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.stderr)
	}
	left := contentOf(t, dir)
	check("the stopped server", ask("--data", dir))
	if now := contentOf(t, dir); now != left {
		t.Errorf("it changed\n%s\nto\n%s", left, now)
	}

	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(filepath.Join(backup, "jetstream"), os.DirFS(filepath.Join(dir, "jetstream"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(backup, "manifest.json"), []byte(`{"format":1,"lastSeq":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	copied := contentOf(t, backup)
	check("a backup", ask("--data", backup))
	if now := contentOf(t, backup); now != copied {
		t.Errorf("it changed\n%s\nto\n%s", copied, now)
	}
	if err := os.WriteFile(filepath.Join(backup, "manifest.json"), []byte(`{"format":1,"lastSeq":4}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lines(here(t, "replay", "--data", backup).out); len(got) != 4 {
		t.Errorf("a backup that ends with record 4 has %d", len(got))
	}
	if files, err := os.ReadDir(temporary); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// Read models that are behind their log, or none, or of another log: all make the same
// answers.
func TestReplayWithoutFittingReadModels(t *testing.T) {
	dir := t.TempDir()
	tellTale(t, dir)
	show := []string{"replay", "--data", dir, "--show", "post:" + toldID(1), "--at", "8", "--json"}
	want := here(t, show...)
	if want.code != 0 || !strings.Contains(want.out, `"likesCount":1,"commentsCount":1`) {
		t.Fatalf("%+v", want)
	}
	s := serve(t, dir)
	s.stop(syscall.SIGTERM)
	other := t.TempDir()
	tellTale(t, other)
	behind, err := os.ReadFile(filepath.Join(dir, "models.db"))
	if err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir)
	talkALittle(t, s)
	s.stop(syscall.SIGTERM)
	all := here(t, "replay", "--data", dir)
	for name, spoil := range map[string]func() error{
		"behind":  func() error { return os.WriteFile(filepath.Join(dir, "models.db"), behind, 0o600) },
		"foreign": func() error { return os.WriteFile(filepath.Join(other, "models.db"), behind, 0o600) },
		"noise": func() error {
			return os.WriteFile(filepath.Join(dir, "models.db"), bytes.Repeat([]byte("noise"), 1<<14), 0o600)
		},
		"none": func() error { return os.Remove(filepath.Join(dir, "models.db")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		in := dir
		if name == "foreign" {
			in = other
		}
		left := contentOf(t, in)
		if got := here(t, "replay", "--data", in, "--show", "post:"+toldID(1), "--at", "8", "--json"); got.out != want.out {
			t.Errorf("%s: %+v", name, got)
		}
		if got := here(t, "replay", "--data", in); in == dir && got.out != all.out || strings.Contains(got.out, "pending") {
			t.Errorf("%s: %s\nwant %s", name, got.out, all.out)
		}
		if now := contentOf(t, in); now != left {
			t.Errorf("%s: it changed\n%s\nto\n%s", name, left, now)
		}
	}
}

// An auditor follows with no more than an auditor's credentials, and sees what each
// record changed as it comes; so does who has the data directory.
func TestExplainFollows(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	s := serve(t, dir, "--nats-listen", address)
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: "one"})
	for _, from := range [][]string{{"--data", dir}, {"--data", filepath.Join(dir, "none"), "--nats-url", auditorURL(t, dir, address)}} {
		begin := liveStatus(t, dir).Log.Durable + 1
		shown, end := following(t, append([]string{"replay", "--json", "--explain", "--event", "user:follow", "--from", fmt.Sprint(begin)}, from...)...)
		for i := range 3 {
			friend := fmt.Sprintf("user-%d-%d", begin, i)
			do(t, alice, "post:create", schema.PostCreate{Content: "between"})
			do(t, alice, "user:follow", schema.UserFollow{FollowingID: friend, Action: "follow"})
			if !shown.Scan() {
				t.Fatal("the follow ended")
			}
			want := `{"model":"graph","table":"following","key":{"user":"alice","follows":"` + friend + `"},"after":{"since":`
			if l := shown.Text(); !strings.Contains(l, want) || !strings.Contains(l, `"outcome":"applied"`) {
				t.Errorf("wanted %s in\n%s", want, l)
			}
		}
		end()
	}
}

// What is shown as of a record is what its sender was answered right after it.
func TestShowIsWhatClientsWereAnswered(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	alice, bob := s.dial("alice", client.Options{}), s.dial("bob", client.Options{})
	var created schema.PostCreated
	if err := json.Unmarshal(do(t, alice, "post:create", schema.PostCreate{Content: "hello"}).Data, &created); err != nil {
		t.Fatal(err)
	}
	post := created.Post.ID
	answers := map[uint64][2]string{}
	for _, act := range []struct {
		event string
		data  any
	}{
		{"post:like", schema.PostAction{PostID: post, Action: "like"}},
		{"post:comment", schema.PostComment{PostID: post, Content: "hello yourself"}},
		{"user:follow", schema.UserFollow{FollowingID: "alice", Action: "follow"}},
		{"post:like", schema.PostAction{PostID: post, Action: "unlike"}},
		{"post:share", schema.PostShare{PostID: post}},
	} {
		seq := do(t, bob, act.event, act.data).Seq
		answers[seq] = [2]string{
			string(do(t, bob, "post:get", schema.PostRef{PostID: post}).Data),
			string(do(t, bob, "feed:get", schema.Page{}).Data),
		}
	}
	for seq, want := range answers {
		at := fmt.Sprint(seq)
		if got := here(t, "replay", "--data", dir, "--show", "post:"+post, "--as", "bob", "--at", at, "--json"); !strings.Contains(want[0], postIn(t, got.out)) {
			t.Errorf("as of %s the post is\n%s%s\nand bob was answered\n%s", at, got.out, got.stderr, want[0])
		}
		if got := here(t, "replay", "--data", dir, "--show", "feed:bob", "--at", at, "--json"); !strings.Contains(got.out, `"answer":`+want[1]) {
			t.Errorf("as of %s the feed is\n%s%s\nand bob was answered\n%s", at, got.out, got.stderr, want[1])
		}
	}
}

// postIn is the post of what --show post:ID --json prints.
func postIn(t *testing.T, out string) string {
	t.Helper()
	var seen struct {
		Answer struct{ Post json.RawMessage }
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil || seen.Answer.Post == nil {
		t.Fatalf("%s: %v", out, err)
	}
	return string(seen.Answer.Post)
}
