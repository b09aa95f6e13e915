package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

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

// tamper takes one key of one read model away.
func tamper(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		return deleteOne(tx.Bucket([]byte("likes")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deleteOne deletes the first value in b or below it.
func deleteOne(b *bbolt.Bucket) error {
	key, value := b.Cursor().First()
	if value == nil {
		return deleteOne(b.Bucket(key))
	}
	return b.Delete(key)
}
