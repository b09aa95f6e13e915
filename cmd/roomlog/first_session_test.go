package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const readme = "../../README.md"

// The first session, the block of README.md behind that heading, is what a person
// sees who pastes it with a new server running: commands, and as comments what
// they print.
func TestFirstSession(t *testing.T) {
	s := serve(t, t.TempDir())
	whole, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitAfterN(string(whole), "\n## A first session\n", 2)
	parts = append(parts[:1], strings.SplitAfterN(parts[len(parts)-1], "```sh\n", 2)...)
	text, after, found := strings.Cut(parts[len(parts)-1], "```")
	if len(parts) != 3 || !found {
		t.Fatal("README.md has no first session")
	}
	var got strings.Builder
	for _, line := range lines(text) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		got.WriteString(line + "\n")
		shell := exec.Command("bash", "-c", line)
		shell.Dir = t.TempDir()
		shell.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "ROOMLOG_SERVER="+s.url, "ROOMLOG_DATA="+s.dir)
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", line, err, out)
		}
		for _, printed := range lines(string(out)) {
			got.WriteString("# " + printed + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(readme, []byte(parts[0]+parts[1]+got.String()+"```"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if a, b := settle(got.String()), settle(text); a != b {
		t.Errorf("got\n%s\nand not\n%s", a, b)
	}
}

var (
	digest = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	// models is the version of the read models: a change of any of them raises it.
	models = regexp.MustCompile(`\bversion [0-9]+\b`)
	size   = regexp.MustCompile(`\b[0-9.]+ [kMGT]?B\b`)
	// signals has those of sockets that are about to go, or not.
	signals = regexp.MustCompile(`SIGNALS .*`)
)

// settle replaces what differs from run to run.
func settle(text string) string {
	text = new(session).normal(text)
	text = models.ReplaceAllString(text, "version <version>")
	text = size.ReplaceAllString(text, "<size>")
	text = signals.ReplaceAllString(text, "SIGNALS <signals>")
	return digest.ReplaceAllString(text, "<digest>")
}
