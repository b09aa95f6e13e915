package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roomlog/realtime/client"
	"roomlog/schema"
)

// Read models that are damaged are made anew from the log.
func TestDamagedReadModels(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	aFewRecords(t, s)
	whole := liveStatus(t, dir).Projections
	for name, damage := range map[string]func(string) error{
		"gone":    os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 6000) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 4096)), 0o600) },
	} {
		s.stop(syscall.SIGTERM)
		if err := damage(filepath.Join(dir, modelsName)); err != nil {
			t.Fatal(err)
		}
		s = serve(t, dir)
		if got := liveStatus(t, dir).Projections; got != whole {
			t.Errorf("%s: made anew they are %+v, and were %+v", name, got, whole)
		}
	}
	alice := s.dial("alice", client.Options{})
	do(t, alice, "post:create", schema.PostCreate{Content: "all is well"})
}
