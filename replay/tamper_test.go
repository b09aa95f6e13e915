package replay_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/highwayhash"
	"go.etcd.io/bbolt"

	"roomlog/eventlog"
	"roomlog/projections"
	"roomlog/replay"
	"roomlog/schema"
)

// signed is a stopped server's data directory: 100 records, and checkpoints over 30, 60
// and 100 of them.
type signed struct {
	dir     string
	backup  string // as it was at record 60
	newest  []byte
	records [][]byte // of the block file
}

// block is the file with the records.
const block = "jetstream/ROOMLOG/streams/EVENTS/msgs/1.blk"

func newSigned(t *testing.T) *signed {
	s := &signed{dir: t.TempDir(), backup: filepath.Join(t.TempDir(), "backup")}
	fillTo := func(from, to int) {
		opened(t, s.dir, func(log *eventlog.Log, models *projections.Models, signer *replay.Signer) {
			for i := from; i < to; i++ {
				writePost(t, log, i)
			}
			if err := models.WaitApplied(t.Context(), log.Durable()); err != nil {
				t.Fatal(err)
			}
			c, err := signer.Sign(t.Context())
			if err != nil || c.Size != uint64(to) {
				t.Fatalf("signed %+v, %v", c, err)
			}
			if again, err := signer.Sign(t.Context()); err != nil || !bytes.Equal(again.Note, c.Note) {
				t.Errorf("nothing was added, and this signed: %s, %v", again.Note, err)
			}
			s.newest = c.Note
		})
	}
	fillTo(0, 30)
	fillTo(30, 60)
	if err := os.CopyFS(s.backup, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	fillTo(60, 100)
	s.records = messages(t, s.dir)
	if len(s.records) != 100 {
		t.Fatalf("the block file has %d records", len(s.records))
	}
	return s
}

func writePost(t *testing.T, log *eventlog.Log, i int) {
	t.Helper()
	data, err := json.Marshal(schema.PostCreate{Content: fmt.Sprintf("number %03d", i+1)})
	if err != nil {
		t.Fatal(err)
	}
	r := eventlog.Record{
		ID: eventlog.NewID(start), Time: schema.TimeOf(start) + schema.Time(i), Event: "post:create", Version: 1,
		Actor: schema.Actor{ID: "alice", Username: "alice"}, Data: data,
	}
	if _, err := log.AppendWait(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// opened runs fn on a data directory as a server has it.
func opened(t *testing.T, dir string, fn func(*eventlog.Log, *projections.Models, *replay.Signer)) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	models, err := projections.Open(t.Context(), projections.Config{Path: filepath.Join(dir, "models.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer models.Close()
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- models.Run(ctx) }()
	defer func() { stop(); <-ran }()
	signer, err := replay.OpenSigner(replay.SignerConfig{Dir: dir, Log: log, Models: models})
	if err != nil {
		t.Fatal(err)
	}
	fn(log, models, signer)
}

// messages takes a block file apart.
func messages(t *testing.T, dir string) (all [][]byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, block))
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		size := binary.LittleEndian.Uint32(b) &^ (1 << 31)
		all, b = append(all, bytes.Clone(b[:size])), b[size:]
	}
	return all
}

// reseal gives a message that was changed the checksum and, unless it is 0, the sequence
// that hide it from the server.
func reseal(m []byte, seq uint64) []byte {
	if seq != 0 {
		binary.LittleEndian.PutUint64(m[4:], seq)
	}
	key := sha256.Sum256([]byte("EVENTS-1"))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err)
	}
	subject := 22 + int(binary.LittleEndian.Uint16(m[20:]))
	sum.Write(m[4:20])
	sum.Write(m[22:subject])
	sum.Write(m[subject+4 : len(m)-8])
	binary.LittleEndian.PutUint64(m[len(m)-8:], sum.Sum64())
	return m
}

// exchange puts another text of the same length into a message.
func exchange(m []byte, old, new string) []byte {
	at := bytes.Index(m, []byte(old))
	if at < 0 || len(old) != len(new) {
		panic("nothing to exchange")
	}
	copy(m[at:], new)
	return m
}

// edited writes the records of a copy as edit leaves them.
func edited(edit func(m [][]byte) [][]byte) func(*testing.T, *signed, string) {
	return func(t *testing.T, s *signed, dir string) {
		m := make([][]byte, len(s.records))
		for i := range m {
			m[i] = bytes.Clone(s.records[i])
		}
		if err := os.WriteFile(filepath.Join(dir, block), bytes.Join(edit(m), nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func replaced(name string, change func([]byte) []byte) func(*testing.T, *signed, string) {
	return func(t *testing.T, _ *signed, dir string) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), change(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever is done to a log, verify names it, and where it begins: exactly with the read
// models' tree beside it, and between two checkpoints with nothing but these.
func TestEveryTamperingIsNamed(t *testing.T) {
	s := newSigned(t)
	for name, test := range map[string]struct {
		tamper  func(*testing.T, *signed, string)
		want    string // kinds with the first places, with the read models
		without string // the same without them; "" for the same
	}{
		"nothing": {func(*testing.T, *signed, string) {}, "", ""},
		"a bit of a body": {edited(func(m [][]byte) [][]byte {
			exchange(m[49], "number 050", "number 051")
			return m
		}), "damaged 50-50", ""},
		"a bit of a header": {edited(func(m [][]byte) [][]byte {
			exchange(m[9], "ce-type", "ce-typf")
			return m
		}), "damaged 10-10", ""},
		"a bit of a checksum": {edited(func(m [][]byte) [][]byte {
			m[99][len(m[99])-1] ^= 1
			return m
		}), "damaged 100-100", ""},
		"a bit of a length": {edited(func(m [][]byte) [][]byte {
			m[69][0] ^= 0x40
			return m
		}), "damaged 70-100", ""},
		"a body with its checksum": {edited(func(m [][]byte) [][]byte {
			reseal(exchange(m[49], "number 050", "number 999"), 0)
			return m
		}), "changed 50-50", "differs 31-60"},
		"a header with its checksum": {edited(func(m [][]byte) [][]byte {
			reseal(exchange(m[79], "ce-time:", "ce-timf:"), 0)
			return m
		}), "changed 80-80", "differs 61-100"},
		"a subject with its checksum": {edited(func(m [][]byte) [][]byte {
			reseal(exchange(m[4], "events.social", "events.sociol"), 0)
			return m
		}), "changed 5-5", "differs 1-30"},
		"a record dropped": {edited(func(m [][]byte) [][]byte {
			return slices.Delete(m, 19, 20)
		}), "missing 20-20", ""},
		"several records dropped": {edited(func(m [][]byte) [][]byte {
			return slices.Delete(m, 19, 25)
		}), "missing 20-25", ""},
		"a record dropped, the others moved up": {edited(func(m [][]byte) [][]byte {
			m = slices.Delete(m, 39, 40)
			for i := 39; i < len(m); i++ {
				reseal(m[i], uint64(i)+1)
			}
			return m
		}), "changed 40-99 shorter 100-100", "differs 31-60 shorter 100-100"},
		"two records swapped": {edited(func(m [][]byte) [][]byte {
			m[14], m[15] = m[15], m[14]
			return m
		}), "misplaced 15-15", ""},
		"two records swapped, with their places": {edited(func(m [][]byte) [][]byte {
			m[14], m[15] = reseal(m[15], 15), reseal(m[14], 16)
			return m
		}), "changed 15-16", "differs 1-30"},
		"a record twice": {edited(func(m [][]byte) [][]byte {
			return slices.Insert(m, 30, bytes.Clone(m[29]))
		}), "misplaced 30-30", ""},
		"an old record again": {edited(func(m [][]byte) [][]byte {
			return append(m, bytes.Clone(m[4]))
		}), "misplaced 5-5", ""},
		"a record inserted": {edited(func(m [][]byte) [][]byte {
			forged := reseal(exchange(bytes.Clone(m[7]), "number 008", "forgery!!!"), 0)
			m = slices.Insert(m, 70, forged)
			for i := 70; i < len(m); i++ {
				reseal(m[i], uint64(i)+1)
			}
			return m
		}), "changed 71-100", "differs 61-100"},
		"a record cut off": {edited(func(m [][]byte) [][]byte {
			return m[:99]
		}), "shorter 100-100", ""},
		"cut within a record": {edited(func(m [][]byte) [][]byte {
			m[89] = m[89][:30]
			return m[:90]
		}), "shorter 90-100", ""},
		"an old backup of the log": {func(t *testing.T, s *signed, dir string) {
			replaceTree(t, filepath.Join(s.backup, "jetstream"), filepath.Join(dir, "jetstream"))
		}, "shorter 61-100", ""},
		"an old backup of everything": {func(t *testing.T, s *signed, dir string) {
			replaceTree(t, s.backup, dir)
		}, "shorter 61-100", ""},
		"a checkpoint of another size": {replaced("checkpoint", func(b []byte) []byte {
			return bytes.Replace(b, []byte("\n100\n"), []byte("\n90\n"), 1)
		}), "forged 0-0", ""},
		"a checkpoint of somebody else's": {replaced("checkpoints", func(b []byte) []byte {
			return append(b, forgery(t)...)
		}), "forged 0-0", ""},
		"the read models": {func(t *testing.T, s *signed, dir string) {
			changeLeaf(t, filepath.Join(dir, "models.db"), 33)
		}, "models 33-33", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			keys := keysOf(t, s.dir)
			kept := filepath.Join(t.TempDir(), "kept")
			if err := os.WriteFile(kept, s.newest, 0o600); err != nil {
				t.Fatal(err)
			}
			test.tamper(t, s, dir)
			if got := verdict(t, dir, keys, kept, true); got != test.want {
				t.Errorf("with the read models: %q, want %q", got, test.want)
			}
			switch test.without {
			case "":
				test.without = test.want
			case "-":
				test.without = ""
			}
			if got := verdict(t, dir, keys, kept, false); got != test.without {
				t.Errorf("without the read models: %q, want %q", got, test.without)
			}
		})
	}
}

// verdict verifies a directory by its own checkpoints and one that was kept.
func verdict(t *testing.T, dir string, keys *replay.Keys, kept string, models bool) string {
	t.Helper()
	var e replay.Evidence
	if err := e.ReadCheckpoints(dir, []string{kept}, keys); err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.OpenFiles(eventlog.Config{Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if models {
		tree, err := projections.OpenTree(filepath.Join(dir, "models.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		e.Leaves, e.Size = tree, tree.Size
	}
	r, err := replay.Verify(t.Context(), log, &e, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s %d-%d", f.Kind, f.From, f.To))
		t.Logf("%s: %s", f.Kind, f.Text)
	}
	for _, n := range r.Notes {
		t.Logf("note: %s", n)
	}
	return strings.Join(all, " ")
}

func keysOf(t *testing.T, dir string) *replay.Keys {
	t.Helper()
	keys, err := replay.LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func replaceTree(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// forgery is a checkpoint that another log's key has signed.
func forgery(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	opened(t, dir, func(log *eventlog.Log, models *projections.Models, signer *replay.Signer) {
		writePost(t, log, 0)
		if err := models.WaitApplied(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := signer.Sign(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("\n"), b...)
}

// changeLeaf flips a bit in the tree of a file of read models.
func changeLeaf(t *testing.T, path string, seq uint64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		leaves := tx.Bucket([]byte("tree")).Bucket([]byte("leaves"))
		key := binary.BigEndian.AppendUint64(nil, seq)
		row := bytes.Clone(leaves.Get(key))
		row[0] ^= 1
		return leaves.Put(key, row)
	})
	if err != nil {
		t.Fatal(err)
	}
}
