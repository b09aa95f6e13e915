package schema

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzMatchersByHand holds the functions that stand for patterns against the
// regular expressions that the schema files show.
func FuzzMatchersByHand(f *testing.F) {
	for _, s := range []string{"", "01JDQ0G6ZK8V7T5M3N2B1A0C9D", "81JDQ0G6ZK8V7T5M3N2B1A0C9D", "alice", "a b", "a\"", "a\\", "~!", strings.Repeat("x", 129), " \t\v\u0085\u00a0\u200b\ufeff\u3000", "\u2800", "夜", "a\n"} {
		f.Add(s)
	}
	patterns := map[string]*regexp.Regexp{}
	for _, pattern := range []string{patternID, patternUserID, patternVisible} {
		patterns[pattern] = regexp.MustCompile(pattern)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // never gets this far
		}
		for pattern, expression := range patterns {
			if got, want := matcher(pattern)([]byte(s)), expression.MatchString(s); got != want {
				t.Errorf("%q against %s: %v", s, pattern, got)
			}
		}
	})
}

// The patterns by hand are those of the files, or they would never be used.
func TestMatchersByHandAreInUse(t *testing.T) {
	text, err := files.ReadFile("events/" + defsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{patternID, patternUserID, patternVisible} {
		quoted, err := json.Marshal(pattern)
		if err != nil || !strings.Contains(string(text), string(quoted)) {
			t.Errorf("no definition has the pattern %s", pattern)
		}
	}
}

// A keyword that the rules do not enforce must not go unnoticed.
func TestUnknownKeywordsAreRefused(t *testing.T) {
	for _, text := range []string{
		`{"type":"string","not":{}}`, `{"type":"null"}`, `{"additionalProperties":true}`, `{"format":"uri"}`, `{"pattern":"a"}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"string"}}`, `{"$ref":"defs.json#/$defs/nothing"}`, `{"const":[]}`, `true`,
	} {
		var s any
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if !panics(func() { (&compiler{files: map[string]map[string]any{}}).compile("test", s) }) {
			t.Errorf("%s is compiled", text)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// FuzzUnescape holds unescape against encoding/json.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{`\"\\\/\b\f\n\r\t`, `\u0041\ud83c\udfad\ud800\udfad\ud83cx\ud83c\u0041`, `\uDBFF\uDFFF`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		quoted := append(append([]byte{'"'}, raw...), '"')
		s := scanner{b: quoted}
		if body, _, ok := s.text(); !ok || len(body) != len(raw) || !utf8.Valid(raw) {
			return
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		if got := unescape(raw); string(got) != want {
			t.Errorf("%s: %q, not %q", raw, got, want)
		}
	})
}
