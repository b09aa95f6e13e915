package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"roomlog/schema"
)

// connect --json prints every frame as one line, waits for its acks, and leaves
// at the end of the input, whatever the acks say.
func TestConnectPipe(t *testing.T) {
	s := serve(t, t.TempDir())
	in := `post:create {"content":"hello"}

# not a command
feed:get
post:like {"postId":"01JDXK5T7Q8W9V0A1B2C3D4E5F","action":"like"}
`
	r := roomlogWith(t, nil, in, "connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	var acks []schema.Frame
	for i, line := range lines(r.out) {
		var f schema.Frame
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if i == 0 && f.Event != "socket:hello" {
			t.Errorf("the first frame is %s", line)
		}
		if f.OK != nil {
			acks = append(acks, f)
		}
	}
	if len(acks) != 4 {
		t.Fatalf("%d acks:\n%s", len(acks), r.out)
	}
	bySeq := func(f schema.Frame) bool { return f.Seq == 1 }
	byCode := func(f schema.Frame) bool { return f.Error != nil && f.Error.Code == schema.PostNotFound }
	if !contains(acks, bySeq) || !contains(acks, byCode) {
		t.Errorf("the acks of the post and of the like are not both there:\n%s", r.out)
	}
}

// A token from elsewhere says who connects.
func TestConnectWithAToken(t *testing.T) {
	s := serve(t, t.TempDir())
	token := roomlog(t, "token", "--user", "carol", "--data", s.dir)
	r := roomlogWith(t, nil, "", "connect", "--token", strings.TrimSpace(token.out), "--server", s.url)
	if r.code != 0 || !strings.Contains(r.out, `"id":"carol"`) {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
}

func contains(frames []schema.Frame, is func(schema.Frame) bool) bool {
	for _, f := range frames {
		if is(f) {
			return true
		}
	}
	return false
}

// What a user writes does not steer the terminal of whoever reads it, and is shown
// as JSON that means the same.
func TestWhatDoesNotPrintIsShownByNumber(t *testing.T) {
	data := json.RawMessage("{\"content\": \"a\u202eb\u009b31m\U000e0041 é 😀\"}")
	want := `{"content":"a\u202eb\u009b31m\udb40\udc41 é 😀"}`
	if got := string(compact(data)); got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
	var a, b struct{ Content string }
	if err := errors.Join(json.Unmarshal(data, &a), json.Unmarshal(compact(data), &b)); err != nil || a != b {
		t.Errorf("it means %q, want %q: %v", b, a, err)
	}
}

// For people it prints acks, errors and pushes in words, without colours when
// nobody is at a terminal.
func TestConnectForPeople(t *testing.T) {
	s := serve(t, t.TempDir())
	r := roomlogWith(t, nil, "user:follow {\"followingId\":\"bob\",\"action\":\"follow\"}\nuser:follow {\"followingId\":\"alice\",\"action\":\"follow\"}\n",
		"connect", "--as", "alice", "--server", s.url, "--data", s.dir)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	for _, want := range []string{"ok seq 1 {", "error ONESELF: this cannot be done to oneself"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it did not say %q:\n%s", want, r.out)
		}
	}
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("colours in a pipe:\n%q", r.out)
	}
}

// A line that is no command is answered with how to write one, and the next one
// is sent all the same.
func TestConnectBadLine(t *testing.T) {
	s := serve(t, t.TempDir())
	in := "post:create hello\npost:create {\"content\":\"\xff\"}\npost:create {\"content\":\"hello\"}\n"
	r := roomlogWith(t, nil, in, "connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	if r.code != 2 || !strings.Contains(r.stderr, `"post:create hello" is not EVENT JSON`) || !strings.Contains(r.stderr, "2 of the lines") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	if !strings.Contains(r.out, `"seq":1,`) {
		t.Errorf("the good line was not acked:\n%s", r.out)
	}
}

// A pipe with more commands than a server lets wait for their acks has each of
// them carried out.
func TestConnectLongInput(t *testing.T) {
	const posts = 500
	s := serve(t, t.TempDir(), "--rate-events", "0")
	r := roomlogWith(t, nil, strings.Repeat("post:create {\"content\":\"again\"}\n", posts),
		"connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	if r.code != 0 || strings.Count(r.out, `"ok":true,"seq":`) != posts {
		t.Errorf("exit code %d, %d of %d acked\n%s", r.code, strings.Count(r.out, `"ok":true,"seq":`), posts, r.stderr)
	}
}

// A connection that is lost is an error; so is one that cannot be made.
func TestConnectLosesTheServer(t *testing.T) {
	s := serve(t, t.TempDir())
	cmd := exec.Command(binary, "connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	for range 2 { // the hello, and the ack of socket:connect
		if _, err := said.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	io.Copy(io.Discard, said)
	in.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "lost") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	r := roomlogWith(t, nil, "", "connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	if r.code != 1 || !strings.Contains(r.stderr, "no server answers at "+s.url+": start roomlog serve") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
