package powerloss

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A strike never touches what was synced, and over many of them does everything
// to the rest that a power loss may do.
func TestStrike(t *testing.T) {
	var sum Report
	for seed := range uint64(200) {
		dir := t.TempDir()
		journal := filepath.Join(t.TempDir(), "journal")
		j, err := Open(journal)
		if err != nil {
			t.Fatal(err)
		}
		write := func(name, content string) string {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		folder := filepath.Dir(write("log/1.blk", "synced"))
		blk := filepath.Join(folder, "1.blk")
		j.Synced(blk, 6)
		j.Synced(blk, -1)
		j.Synced(folder, -1)
		write("log/1.blk", "synced and then some")

		meta := write("meta", "first")
		j.Synced(meta, 5)
		j.Synced(meta, -1)
		if err := os.Rename(write("meta.tmp", "second"), meta); err != nil {
			t.Fatal(err)
		}
		key := write("key", "an old key")
		j.Synced(key, 10)
		j.Synced(key, -1)
		next := write("key.next", "a new key")
		j.Synced(next, 9)
		if err := os.Rename(next, key); err != nil {
			t.Fatal(err)
		}
		write("new/file", "never synced")
		spared := write("spared", "by its owner")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}

		report, err := Strike{
			Dir: dir, Journal: journal, Rand: rand.New(rand.NewPCG(seed, 1)),
			Spare: func(path string) bool { return path == "spared" },
		}.Do()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(key); err != nil || string(b) != "an old key" && string(b) != "a new key" {
			t.Fatalf("seed %d: the key is %q, %v (%v)", seed, b, err, report)
		}
		if b, err := os.ReadFile(blk); err != nil || !bytes.HasPrefix(b, []byte("synced")) {
			t.Fatalf("seed %d: the synced part is gone: %q, %v (%v)", seed, b, err, report)
		}
		if b, err := os.ReadFile(spared); err != nil || string(b) != "by its owner" {
			t.Fatalf("seed %d: the spared file is %q, %v", seed, b, err)
		}
		sum.Removed += report.Removed
		sum.Cut += report.Cut
		sum.Zeroed += report.Zeroed
		sum.Garbled += report.Garbled
		sum.Reverted += report.Reverted
		sum.Kept += report.Kept

		// What the strike left is on disk: a second one finds nothing to take.
		if report, err := (Strike{Dir: dir, Journal: journal, Rand: rand.New(rand.NewPCG(seed, 2))}).Do(); err != nil || report.Removed+report.Cut+report.Zeroed+report.Garbled+report.Reverted > 0 {
			t.Fatalf("seed %d: a second strike did %v, %v", seed, report, err)
		}
	}
	if sum.Removed == 0 || sum.Cut == 0 || sum.Zeroed == 0 || sum.Garbled == 0 || sum.Reverted == 0 || sum.Kept == 0 {
		t.Errorf("some damage never happened: %v", sum)
	}
}
