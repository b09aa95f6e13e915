package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The table of permissions is printed as it was decided, or written to a file.
func TestPermissionsArePrinted(t *testing.T) {
	want, err := os.ReadFile("../../schema/testdata/permissions.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := good(t, "schema", "--permissions"); got != string(want) {
		t.Errorf("printed\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "permissions.txt")
	if got := good(t, "schema", "--permissions", "--out", file); got != "" {
		t.Errorf("with --out it prints\n%s", got)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
		t.Errorf("the file has\n%s(%v)", got, err)
	}
}
