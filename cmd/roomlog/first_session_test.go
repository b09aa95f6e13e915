package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const firstSession = "../../testdata/sessions/first-session.txt"

// The first session, which README.md shows, is what a person sees who pastes it
// with a new server running.
func TestFirstSession(t *testing.T) {
	s := serve(t, t.TempDir())
	text, err := os.ReadFile(firstSession)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, command := range consoleCommands(string(text)) {
		shell := exec.Command("bash", "-c", command)
		shell.Dir = t.TempDir()
		shell.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "ROOMLOG_SERVER="+s.url, "ROOMLOG_DATA="+s.dir)
		var out bytes.Buffer
		shell.Stdout, shell.Stderr = &out, &out
		if err := shell.Run(); err != nil {
			t.Fatalf("%s\n%v\n%s", command, err, out.String())
		}
		fmt.Fprintf(&got, "$ %s\n%s", command, out.String())
	}
	if *update {
		if err := os.WriteFile(firstSession, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if a, b := settle(got.String()), settle(string(text)); a != b {
		t.Errorf("got\n%s\nand not\n%s", a, b)
	}
}

// consoleCommands returns the commands of a console transcript: the lines after
// "$ ", with the rest of a here-document up to its end, a line with a full stop.
func consoleCommands(text string) (commands []string) {
	var open *string
	for _, line := range lines(text) {
		switch command, is := strings.CutPrefix(line, "$ "); {
		case open != nil:
			*open += "\n" + line
			if line == "." {
				open = nil
			}
		case is:
			commands = append(commands, command)
			if strings.HasSuffix(command, "<<.") {
				open = &commands[len(commands)-1]
			}
		}
	}
	return commands
}

var digest = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// settle replaces what differs from run to run.
func settle(text string) string {
	text = new(session).normal(text)
	return digest.ReplaceAllString(text, "<digest>")
}
