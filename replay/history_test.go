package replay

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"roomlog/schema"
)

// The history stays small: newest checkpoints are kept, older ones thin out, and those
// that hand over to another key stay.
func TestHistoryIsBounded(t *testing.T) {
	key, err := newKey("")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(key.verifier)
	if err != nil {
		t.Fatal(err)
	}
	var h history
	for i := range 3000 {
		c := Checkpoint{Origin: key.Name(), Size: uint64(i) + 1, Epoch: "e", Time: schema.Time(i) * 60_000}
		if i == 3 || i == 700 {
			next, err := newKey(key.Name())
			if err != nil {
				t.Fatal(err)
			}
			c.NextKey = next.verifier
		}
		if err := c.sign(key); err != nil {
			t.Fatal(err)
		}
		if h = h.with(c); len(h) > maxHistory {
			t.Fatalf("%d checkpoints are kept", len(h))
		}
	}
	if h[0].Size != 1 || h.newest().Size != 3000 || h[len(h)-maxHistory/4].Size != uint64(3000-maxHistory/4+1) {
		t.Errorf("from %d to %d", h[0].Size, h.newest().Size)
	}
	handovers := 0
	for i := range h {
		if h[i].NextKey != "" {
			handovers++
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, historyFile), h.file(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := loadHistory(dir, keys)
	if err != nil || len(again) != len(h) || fmt.Sprint(again) != fmt.Sprint(h) || handovers != 2 {
		t.Errorf("read back %d of %d, %d of them hand over, %v", len(again), len(h), handovers, err)
	}
}
