package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"regexp"
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

// connecting is a connect that runs.
type connecting struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer // to be read after the end
}

func connect(t *testing.T, s *serverProcess, args ...string) *connecting {
	t.Helper()
	args = append([]string{"connect", "--as", "alice", "--server", s.url, "--data", s.dir}, args...)
	c := &connecting{t: t, cmd: exec.Command(binary, args...)}
	c.cmd.Stderr = &c.stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	c.out = bufio.NewReader(out)
	return c
}

// until reads lines of standard output until one has the text in it.
func (c *connecting) until(text string) string {
	c.t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			c.t.Fatalf("it never said %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}

// wait closes the input and returns the exit code.
func (c *connecting) wait() int {
	c.in.Close()
	io.Copy(io.Discard, c.out)
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// A connection that does not come back is an error; so is one that cannot be made.
func TestConnectLosesTheServer(t *testing.T) {
	s := serve(t, t.TempDir())
	atOnce := connect(t, s, "--json", "--retry-for", "0s")
	soon := connect(t, s, "--retry-for", "300ms")
	atOnce.until(`"ok":true`)
	soon.until(`"id":"alice"`)
	s.kill()
	io.Copy(io.Discard, soon.out)
	if code := atOnce.wait(); code != 1 || !strings.Contains(atOnce.stderr.String(), "lost") || strings.Contains(atOnce.stderr.String(), "trying again") {
		t.Errorf("exit code %d: %s", code, atOnce.stderr.String())
	}
	if code := soon.wait(); code != 1 || !strings.Contains(soon.stderr.String(), "connection lost (") || !strings.Contains(soon.stderr.String(), "did not come back in time") {
		t.Errorf("exit code %d: %s", code, soon.stderr.String())
	}
	r := roomlogWith(t, nil, "", "connect", "--as", "alice", "--json", "--server", s.url, "--data", s.dir)
	if r.code != 1 || !strings.Contains(r.stderr, "no server answers at "+s.url+": start roomlog serve") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// A server that crashes and starts again: connect comes back to its room, is told
// what it missed, and what it sends meanwhile is carried out once.
func TestConnectComesBack(t *testing.T) {
	s := serve(t, t.TempDir())
	c := connect(t, s)
	io.WriteString(c.in, "post:create {\"content\":\"before\"}\n")
	post := postID.FindString(c.until("ok seq 1 "))
	io.WriteString(c.in, "post:join {\"postId\":\""+post+"\"}\n")
	c.until("ok {}")
	s.kill()
	io.WriteString(c.in, "post:create {\"content\":\"meanwhile\"}\n")
	again := serve(t, s.dir, "--listen", s.address())
	c.until("meanwhile")
	r := roomlogWith(t, nil, "post:comment {\"postId\":\""+post+"\",\"content\":\"in the room\"}\n",
		"connect", "--as", "bob", "--server", again.url, "--data", s.dir)
	if r.code != 0 {
		t.Fatalf("bob: exit code %d\n%s", r.code, r.stderr)
	}
	if line := c.until("in the room"); !strings.Contains(line, "post:comment in post:"+post) {
		t.Errorf("alice was told %q", line)
	}
	if code := c.wait(); code != 0 || !strings.Contains(c.stderr.String(), "connection lost (") || !strings.Contains(c.stderr.String(), "back; ") {
		t.Errorf("exit code %d: %s", code, c.stderr.String())
	}
}

var postID = regexp.MustCompile(`\b01[0-9A-Z]{24}\b`)
