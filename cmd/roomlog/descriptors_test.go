package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"roomlog/realtime"
)

// limited starts a server in a shell that has set a limit of open files.
func limited(t *testing.T, ulimit string, args ...string) *serverProcess {
	t.Helper()
	dir := t.TempDir()
	args = append([]string{"-c", "ulimit " + ulimit + ` && exec "$0" "$@"`, binary, "serve", "--data", dir, "--listen", "127.0.0.1:0"}, args...)
	return launch(t, dir, exec.Command("sh", args...))
}

// A server that cannot open a file for every connection that it is to take does not
// start, and says how many it could take.
func TestTooFewOpenFiles(t *testing.T) {
	besides := realtime.Defaults().MaxHandshakes + ownFiles
	for _, c := range []struct{ files, connections, want string }{
		{"4000", "3000", fmt.Sprintf("--max-connections 3000 needs %d open files and this process may have 4000: raise the limit (ulimit -n %d, or LimitNOFILE=%d in a systemd unit), or give --max-connections %d or less",
			3000+besides, 3000+besides, 3000+besides, 4000-besides)},
		{"900", "1", fmt.Sprintf("--max-connections 1 needs %d open files and this process may have 900: raise the limit (ulimit -n %d, or LimitNOFILE=%d in a systemd unit)\n", 1+besides, 1+besides, 1+besides)},
	} {
		s := limited(t, "-n "+c.files, "--max-connections", c.connections)
		s.cmd.Wait()
		s.ended = true
		if code := s.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(s.stderr.String(), c.want) {
			t.Errorf("exit code %d: %swant %s", code, s.stderr, c.want)
		}
	}
}

// As many connections as the limit allows are taken, whatever a shell allows of them to
// begin with.
func TestTheSoftLimitOfOpenFilesIsRaised(t *testing.T) {
	s := limited(t, "-S -n 300 && ulimit -H -n 4000", "--max-connections", fmt.Sprint(4000-realtime.Defaults().MaxHandshakes-ownFiles))
	if s.url == "" {
		s.cmd.Wait()
		s.ended = true
		t.Fatalf("it did not start: %s", s.stderr)
	}
	if code, _ := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
