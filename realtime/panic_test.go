package realtime

import (
	"errors"
	"strings"
	"testing"
)

// The log is told what a panic was, and nothing of what a client sent.
func TestWordsOfAPanic(t *testing.T) {
	const content = "what somebody wrote"
	for what, do := range map[string]func(){
		"index out of range":  func() { _ = []byte(content)[len(content)+len(t.Name()):][0] },
		"nil pointer":         func() { var s *session; s.id = content },
		"is string, not":      func() { var v any = content; _ = v.(error) },
		"string":              func() { panic(content) },
		"*errors.errorString": func() { panic(errors.New(content)) },
	} {
		func() {
			defer func() {
				got := wordsOf(recover())
				if strings.Contains(got, content) || got == "" {
					t.Errorf("%q, of a panic with %s", got, what)
				}
			}()
			do()
		}()
	}
}
