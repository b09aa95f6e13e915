package main

import (
	"regexp"
	"strings"
	"testing"
)

// The demo has a server of its own unless it is given one.
func TestDemoAlone(t *testing.T) {
	out := good(t, "demo")
	for _, want := range []string{
		"0 of them known from an earlier run), ",
		" 0 connections lost\n",
		"        60      43  Francisco          Act 1, scene 1               Marcellus: Let's do't",
		"       145      75  Lord               Act 5, scene 2               Prince Fortinbras: Let four captains",
		"         7       0                     Act 4, scene 1 ",
		"         3       0                     Hamlet to Audience           Hamlet: [Aside] Wormwood, wormwood.\n",
		"         1       0                     Rosencrantz to Guildenstern ",
		"             10     313         28      1  Queen Gertrude\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo did not say %q:\n%s", want, out)
		}
	}
}

var factsKnown = regexp.MustCompile(`: (\d+) facts \(\d+/s, (\d+) of them known`)

// replayDemo plays the play once more on the server, which knows all of it.
func replayDemo(t *testing.T, s *serverProcess) {
	t.Helper()
	out := good(t, "demo", "--server", s.url, "--data", s.dir)
	n := factsKnown.FindStringSubmatch(out)
	if n == nil || n[1] != n[2] || !strings.Contains(out, " 0 connections lost") {
		t.Errorf("a second run was not recognised as one:\n%s", out)
	}
}

func TestLongSpeechesAreSeveralMessages(t *testing.T) {
	line := strings.Repeat("x", 1500)
	text := strings.Join([]string{line, line, line, line, line}, "\n")
	got := parts(text)
	if len(got) != 3 || strings.Join(got, "\n") != text {
		t.Errorf("%d parts", len(got))
	}
	for _, part := range got {
		if len(part) > maxMessage {
			t.Errorf("a part has %d characters", len(part))
		}
	}
}
