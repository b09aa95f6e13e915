package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roomlog/projections"
	"roomlog/realtime"
	"roomlog/realtime/client"
	"roomlog/replay"
	"roomlog/schema"
)

// binary is the roomlog that the tests run, built once.
var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(journalledDir); dir != "" {
		serveJournalled(dir, os.Getenv(journalFile)) // see powerloss_test.go
	}
	if dir := os.Getenv(doomedDir); dir != "" {
		serveDoomed(dir, projections.Point(os.Getenv(doomedAt))) // see rebuild_crash_test.go
	}
	if dir := os.Getenv(doomedBackup); dir != "" {
		restoreDoomed(dir, os.Getenv(doomedRestore), replay.RestorePoint(os.Getenv(doomedAt))) // see restore_test.go
	}
	if os.Getenv(swarmChild) != "" {
		attack() // see swarm_test.go
	}
	if args := os.Getenv(soakArgs); args != "" {
		serveSoaking(args) // see soak_server_test.go
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "roomlog-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, e := range os.Environ() { // whoever runs the tests may have a roomlog of their own
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "ROOMLOG_") && !strings.HasSuffix(name, "_ROUNDS") && name != swarmLong && name != trafficLong && name != soakLong {
			os.Unsetenv(name)
		}
	}
	binary = filepath.Join(dir, "roomlog")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build roomlog: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
	// its own waiting for an answer, for 30 seconds at most.
	left := goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3")
	if err := goleak.Find(left); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// patience is how long a test waits for anything to happen.
const patience = 30 * time.Second

// result is how a command ended.
type result struct {
	code        int
	out, stderr string
}

// roomlog runs a command to its end.
func roomlog(t *testing.T, args ...string) result {
	t.Helper()
	return roomlogWith(t, nil, "", args...)
}

// roomlogWith is roomlog with variables and an input.
func roomlogWith(t *testing.T, env []string, in string, args ...string) result {
	t.Helper()
	return roomlogWithin(t, patience, env, in, args...)
}

// roomlogWithin is roomlogWith for what may take longer.
func roomlogWithin(t *testing.T, d time.Duration, env []string, in string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(in)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("roomlog %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// good runs a command that must succeed, and returns its output.
func good(t *testing.T, args ...string) string {
	t.Helper()
	r := roomlog(t, args...)
	if r.code != 0 {
		t.Fatalf("roomlog %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.stderr)
	}
	return r.out
}

// serverProcess is a roomlog serve that runs as a process of its own.
type serverProcess struct {
	t      *testing.T
	dir    string
	url    string
	cmd    *exec.Cmd
	stderr *bytes.Buffer // to be read after the end
	greet  []string      // lines of standard output up to the last line of the greeting
	rest   chan string   // the rest of standard output, once, after the end
	ended  bool
}

// serve starts a server on dir, with its limits off unless args say otherwise,
// and waits until it is ready. It is killed at the end of the test if it still runs.
func serve(t *testing.T, dir string, args ...string) *serverProcess {
	t.Helper()
	s := startServing(t, dir, args...)
	if s.url == "" {
		s.cmd.Wait()
		s.ended = true
		t.Fatalf("the server did not get ready:\n%s", s.stderr)
	}
	return s
}

// startServing is serve for servers that may not get ready: url is then "".
func startServing(t *testing.T, dir string, args ...string) *serverProcess {
	t.Helper()
	args = append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--rate-events", "0"}, args...)
	return launch(t, dir, exec.Command(binary, args...))
}

// launch starts a process that serves dir and reads its greeting.
func launch(t *testing.T, dir string, cmd *exec.Cmd) *serverProcess {
	t.Helper()
	s := &serverProcess{t: t, dir: dir, cmd: cmd, stderr: new(bytes.Buffer), rest: make(chan string, 1)}
	s.cmd.Stderr = s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	lines := bufio.NewReader(out)
	for s.url == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.rest <- ""
			return s
		}
		s.greet = append(s.greet, strings.TrimSuffix(line, "\n"))
		_, s.url, _ = strings.Cut(strings.TrimSpace(line), "ready at ")
	}
	go func() {
		rest, _ := io.ReadAll(lines)
		s.rest <- string(rest)
	}()
	return s
}

// address is the HOST:PORT it listens on.
func (s *serverProcess) address() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.url, "ws://"), "/ws")
}

// kill ends the server as a crash does.
func (s *serverProcess) kill() {
	if s.ended {
		return
	}
	s.ended = true
	s.cmd.Process.Kill()
	<-s.rest
	s.cmd.Wait()
}

// stop ends the server as an operator does, and returns its exit code and the
// output that came after its first line.
func (s *serverProcess) stop(signal os.Signal) (code int, out string) {
	s.t.Helper()
	if s.ended {
		s.t.Fatal("this server has ended already")
	}
	s.ended = true
	s.cmd.Process.Signal(signal)
	select {
	case out = <-s.rest:
	case <-time.After(patience):
		s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-s.rest
		s.cmd.Wait()
		s.t.Fatalf("the server did not stop:\n%s", s.stderr)
	}
	s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), out
}

// dial connects a user.
func (s *serverProcess) dial(user string, o client.Options) *client.Client {
	s.t.Helper()
	o.Token = s.token(user)
	c, err := client.Dial(s.t.Context(), s.url, o)
	if err != nil {
		s.t.Fatalf("connect as %s: %v", user, err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *serverProcess) token(user string) string {
	s.t.Helper()
	return mint(s.t, filepath.Join(s.dir, "auth.secret"), user)
}

func mint(t *testing.T, secretFile, user string, roles ...schema.Role) string {
	t.Helper()
	secret, err := realtime.ReadSecretFile(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	id := realtime.Identity{Actor: schema.Actor{ID: user}, Roles: roles, Expires: time.Now().Add(time.Hour)}
	token, err := realtime.MintToken(secret, id, "", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// eventually waits until ok, which says what it still waits for.
func eventually(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		done, waiting := ok()
		if done {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("waited %s for %s", patience, waiting)
		}
	}
}

// lines are the lines of an output, without the last empty one.
func lines(out string) []string {
	all := strings.Split(out, "\n")
	return slices.Clip(all[:len(all)-1])
}
