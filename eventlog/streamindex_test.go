package eventlog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"roomlog/schema"
)

// killed returns a copy of a log's directory as it is while the log is open: what a
// process that is killed leaves.
func killed(t *testing.T, dir string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// grown is a log whose index is some blocks and subjects behind; it is open.
func grown(t *testing.T) (l *Log, records int) {
	t.Helper()
	dir := t.TempDir()
	l = openLog(t, Config{Dir: dir})
	long := strings.Repeat("x", 900_000)
	for i := range 12 {
		mustAppend(t, l, post("alice", fmt.Sprint("early ", i, long)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, Config{Dir: dir})
	for i := range 22 {
		r := post("bob", fmt.Sprint("late ", i, long))
		if i%5 == 1 {
			r.Event = "user:follow"
			r.Data, _ = json.Marshal(schema.UserFollow{FollowingID: "alice", Action: schema.ActionFollow})
		}
		mustAppend(t, l, r)
	}
	return l, 34
}

// An index that was brought up to date is what the server itself would have written. When
// this fails after an update of the server, see streamindex.go.
func TestStreamIndexIsTheServers(t *testing.T) {
	l, _ := grown(t)
	dir := l.cfg.Dir
	copied := killed(t, dir)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	theirs, err := readIndex(blockFolder(dir, streamEvents), streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	msgs := blockFolder(copied, streamEvents)
	behind, err := readIndex(msgs, streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := blockIndexes(msgs)
	if err != nil || len(blocks) < len(behind.blocks)+2 || len(behind.blocks) < 2 {
		t.Fatalf("blocks %v, of which the index knows %d: %v; the test tests nothing", blocks, len(behind.blocks), err)
	}
	if grew, err := behind.catchUp(t.Context(), msgs, streamEvents, blocks); !grew || err != nil {
		t.Fatalf("catching up: %v, %v", grew, err)
	}
	if err := behind.write(msgs, streamEvents); err != nil {
		t.Fatal(err)
	}
	ours, err := readIndex(msgs, streamEvents)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, ours, theirs)
	if grew, err := ours.catchUp(t.Context(), msgs, streamEvents, blocks); grew || err != nil {
		t.Errorf("once more: %v, %v", grew, err)
	}
}

func mustEqual(t *testing.T, ours, theirs *streamIndex) {
	t.Helper()
	for _, x := range []*streamIndex{ours, theirs} {
		x.written = time.Time{}
		slices.SortFunc(x.subjects, func(a, b indexedSubject) int { return cmp.Compare(a.name, b.name) })
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("ours is\n%+v\nand the server's\n%+v", ours, theirs)
	}
}

// Where a torn record was given up, the server begins a block with nothing but a tombstone
// in it. What came behind that one stays when the process is killed, and goes on.
func TestTombstoneInTheIndex(t *testing.T) {
	for _, records := range []int{1, 20} {
		dir := t.TempDir()
		l := openLog(t, Config{Dir: dir})
		for range records {
			mustAppend(t, l, post("alice", "early"))
		}
		l.Close()
		msgs := blockFolder(dir, streamEvents)
		info, err := os.Stat(blockPath(msgs, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(blockPath(msgs, 1), info.Size()-10); err != nil {
			t.Fatal(err)
		}
		openLog(t, Config{Dir: dir}).Close()
		l = openLog(t, Config{Dir: dir})
		for range 10 {
			mustAppend(t, l, post("bob", "late"))
		}
		copied := killed(t, dir)
		l.Close()
		theirs, err := readIndex(msgs, streamEvents)
		if err != nil || theirs.records != uint64(records)-1+10 {
			t.Fatalf("the server's index has %+v, %v; the test tests nothing", theirs, err)
		}
		again := openLog(t, Config{Dir: copied})
		ours, err := readIndex(blockFolder(copied, streamEvents), streamEvents)
		if err != nil {
			t.Fatal(err)
		}
		if records > 1 { // with nothing left of the first block, ours still names an empty one
			mustEqual(t, ours, theirs)
		}
		mustAppend(t, again, post("carol", "at last"))
		stream, err := again.js.Stream(t.Context(), streamEvents)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(records) + 1; seq <= again.Durable(); seq++ {
			if _, err := stream.GetMsg(t.Context(), seq); err != nil {
				t.Errorf("the server does not find record %d of %d: %v", seq, again.Durable(), err)
			}
		}
	}
}

// hurtBlock flips a bit of a block and lets it have been written to an hour before or after now.
func hurtBlock(t *testing.T, msgs string, block, at int, ago time.Duration) {
	t.Helper()
	path, when := blockPath(msgs, block), time.Now().Add(-ago)
	if err := errors.Join(flipByte(path, at), os.Chtimes(path, when, when)); err != nil {
		t.Fatal(err)
	}
}

// The server reads no block anew, and so cuts nothing off, when the process was killed
// after it had made a block and before it wrote to it.
func TestUnwrittenBlock(t *testing.T) {
	l, records := grown(t)
	dir := killed(t, l.cfg.Dir)
	msgs := blockFolder(dir, streamEvents)
	blocks, err := blockIndexes(msgs)
	if err != nil {
		t.Fatal(err)
	}
	hurtBlock(t, msgs, 1, 2_000_000, time.Hour)
	before := contents(t, msgs)
	unwritten := blockPath(msgs, blocks[len(blocks)-1]+1)
	if err := os.WriteFile(unwritten, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	again := openLog(t, Config{Dir: dir, Known: uint64(records), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if strings.Contains(said.String(), "[EVENTS]") {
		t.Errorf("the server said\n%s", said.String())
	}
	if after := contents(t, msgs); !reflect.DeepEqual(before, after) {
		t.Error("a block was touched")
	}
	if seq := mustAppend(t, again, post("carol", "at last")); seq != uint64(records)+1 {
		t.Errorf("the next record has place %d", seq)
	}
}

// When there is an index to go on from and it cannot be used after all, all that is known
// is read before the server does.
func TestIndexThatIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	long := strings.Repeat("x", 900_000)
	for range 25 {
		mustAppend(t, l, post("alice", long))
	}
	l.Close()
	l = openLog(t, Config{Dir: dir})
	mustAppend(t, l, post("alice", "one more"))
	for name, spoil := range map[string]func(t *testing.T, msgs string){
		"damage behind what is known": func(t *testing.T, msgs string) { hurtBlock(t, msgs, 2, 2_000_000, -time.Hour) },
		"no room": func(t *testing.T, msgs string) {
			if err := os.MkdirAll(filepath.Join(msgs, indexName+".tmp", "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole, damaged := killed(t, dir), killed(t, dir)
			for _, dir := range []string{whole, damaged} {
				spoil(t, blockFolder(dir, streamEvents))
			}
			if again := openLog(t, Config{Dir: whole, Known: 5}); again.Durable() != 26 {
				t.Errorf("it ends at %d", again.Durable())
			}
			msgs := blockFolder(damaged, streamEvents)
			hurtBlock(t, msgs, 1, 2_000_000, time.Hour)
			before := contents(t, msgs)
			again, err := Open(t.Context(), Config{Dir: damaged, Known: 5})
			if err == nil {
				again.Close()
			}
			if after := contents(t, msgs); !errors.Is(err, ErrCut) || !reflect.DeepEqual(before, after) {
				t.Errorf("it is opened: %v", err)
			}
		})
	}
}

// A retry of what was acked before the process was killed gets its place.
func TestRetryAfterKill(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	mustAppend(t, l, post("alice", "early"))
	l.Close()
	l = openLog(t, Config{Dir: dir})
	long := strings.Repeat("x", 900_000)
	records := make([]Record, 20)
	for i := range records {
		records[i] = post("bob", long)
		mustAppend(t, l, records[i])
	}
	again := openLog(t, Config{Dir: killed(t, dir), Known: 21})
	for i, r := range records {
		if seq := mustAppend(t, again, r); seq != uint64(i)+2 {
			t.Errorf("the retry of record %d has place %d", i+2, seq)
		}
	}
	if again.Durable() != 21 {
		t.Errorf("the log ends at %d", again.Durable())
	}
}

// After its process was killed a log goes on where it was, and the server reads none of
// its blocks: so it cuts nothing off of one that was damaged meanwhile, which those find
// who read it.
func TestKilledLogIsNotReadAnew(t *testing.T) {
	l, records := grown(t)
	dir := killed(t, l.cfg.Dir)
	path := blockPath(blockFolder(dir, streamEvents), 1)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hurt := bytes.Replace(whole, []byte("early 3"), []byte("Early 3"), 1)
	if err := errors.Join(os.WriteFile(path, hurt, 0o600), os.Chtimes(path, info.ModTime(), info.ModTime().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	again := openLog(t, Config{Dir: dir, Known: uint64(records), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if strings.Contains(said.String(), "[EVENTS]") {
		t.Errorf("the server said\n%s", said.String())
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, hurt) {
		t.Errorf("a block was touched: %v", err)
	}
	if again.Durable() != uint64(records) {
		t.Errorf("the log ends at %d, not at %d", again.Durable(), records)
	}
	if _, err := again.Get(t.Context(), 4); err == nil {
		t.Error("the damaged record is handed out")
	}
	if r, err := again.Get(t.Context(), 5); err != nil || !strings.Contains(string(r.Data), "early 4") {
		t.Errorf("the record behind it: %v", err)
	}
	if seq := mustAppend(t, again, post("carol", "at last")); seq != uint64(records)+1 {
		t.Errorf("the next record has place %d", seq)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, again, 1, 0); len(got) != records+1 || got[records].Actor.ID != "carol" {
		t.Errorf("%d records", len(got))
	}
}

// A start reads a bounded part of the log, however long that is and however the last
// process ended. What is counted is what is asked of the kernel, from the disk or not.
func TestStartReadsLittle(t *testing.T) {
	if _, err := os.Stat("/proc/self/io"); err != nil {
		t.Skip("the kernel does not count what a process reads:", err)
	}
	const records, size = 6000, 20_000
	cfg := Config{Dir: t.TempDir(), Known: records, test: faults{dedup: 100 * time.Millisecond}} // the least there is
	l := openLog(t, cfg)
	failed := make(chan error, records)
	for range records {
		if err := l.Append(t.Context(), post("alice", strings.Repeat("x", size)), func(_ uint64, err error) { failed <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range records {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	last := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for time.Since(last) < cfg.test.dedup {
		runtime.Gosched()
	}
	const little, all = 6 * 8 << 20, records * size // the last block is read as a whole, some times
	for _, start := range []struct {
		how   string
		least int64
		most  int64
	}{{"stopped", 1, little}, {"killed", 1, little}, {"without an index", all, 4 * all}} {
		switch start.how {
		case "killed":
			cfg.Dir = killed(t, cfg.Dir)
		case "without an index":
			cfg.Dir = killed(t, cfg.Dir)
			if err := os.Remove(filepath.Join(blockFolder(cfg.Dir, streamEvents), indexName)); err != nil {
				t.Fatal(err)
			}
		}
		before := bytesRead(t)
		l := openLog(t, cfg)
		if r, err := l.Get(t.Context(), l.Durable()); err != nil || r.Actor.ID != "alice" {
			t.Errorf("%s: the last record is %v, %v", start.how, r, err)
		}
		if read := bytesRead(t) - before; read < start.least || read > start.most {
			t.Errorf("%s: it read %d bytes of a log of more than %d", start.how, read, all)
		}
		mustAppend(t, l, post("alice", "one more")) // the index is behind now
	}
}

// bytesRead is how many bytes this process has read so far: see proc_pid_io(5).
func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatalf("no count in %q: %v", text, err)
	}
	return n
}

// A log with gaps, and with what the server leaves in its blocks for them, has an index
// that is brought up to date like any other.
func TestGapsInTheIndex(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir})
	long := strings.Repeat("x", 900_000)
	for range 20 {
		mustAppend(t, l, post("alice", long))
	}
	l.Close()
	msgs := blockFolder(dir, streamEvents)
	// The server cuts the end off the first block, in the middle of the log, and off the last.
	if err := errors.Join(flipByte(blockPath(msgs, 1), 5_000_000), flipByte(blockPath(msgs, 3), 1_000_000), os.Remove(filepath.Join(msgs, indexName))); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		l = openLog(t, Config{Dir: dir})
		for range 4 * (i + 1) {
			mustAppend(t, l, post("bob", long))
		}
		missing, err := l.Missing(t.Context(), l.Durable())
		if err != nil || len(missing) == 0 {
			t.Fatalf("missing are %v, %v: the test tests nothing", missing, err)
		}
		var said bytes.Buffer
		again := openLog(t, Config{Dir: killed(t, dir), Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if i > 0 && strings.Contains(said.String(), "[EVENTS]") {
			t.Errorf("the server said\n%s", said.String())
		}
		if now, err := again.Missing(t.Context(), again.Durable()); err != nil || again.Durable() != l.Durable() || !slices.Equal(now, missing) {
			t.Errorf("missing are %v of %d, and were %v of %d: %v", now, again.Durable(), missing, l.Durable(), err)
		}
		if got, want := readAll(t, again, 1, 0), readAll(t, l, 1, 0); len(got) != len(want) {
			t.Errorf("%d records, and were %d", len(got), len(want))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is not the index's log with whole records behind it is left to the server, once all
// that is known of it has been read.
func TestUnfitIndex(t *testing.T) {
	l, records := grown(t)
	other := openLog(t, Config{})
	for range 3 {
		mustAppend(t, other, post("alice", "of another log"))
	}
	other.Close()
	for name, test := range map[string]struct {
		spoil func(dir, msgs string) error
		left  int // records; 0: it is not opened, so that nothing is cut off
	}{
		"none": {func(_, msgs string) error { return os.Remove(filepath.Join(msgs, indexName)) }, records},
		"garbage": {func(_, msgs string) error {
			return os.WriteFile(filepath.Join(msgs, indexName), []byte("garbage"), 0o600)
		}, records},
		"another version": {func(_, msgs string) error { return flipByte(filepath.Join(msgs, indexName), 1) }, records},
		"a flipped bit":   {func(_, msgs string) error { return flipByte(filepath.Join(msgs, indexName), 20) }, records},
		"another log's": {func(_, msgs string) error {
			b, err := os.ReadFile(filepath.Join(blockFolder(other.cfg.Dir, streamEvents), indexName))
			return errors.Join(err, os.WriteFile(filepath.Join(msgs, indexName), b, 0o600))
		}, records},
		"another boot": {func(dir, _ string) error { return os.WriteFile(filepath.Join(dir, bootName), []byte("another"), 0o600) }, records},
		"no boot":      {func(dir, _ string) error { return os.Remove(filepath.Join(dir, bootName)) }, records},
		"a torn record": {func(_, msgs string) error {
			info, err := os.Stat(blockPath(msgs, 4))
			return errors.Join(err, os.Truncate(blockPath(msgs, 4), info.Size()-10))
		}, 0},
		"a block is missing":    {func(_, msgs string) error { return os.Remove(blockPath(msgs, 3)) }, records - 11}, // those of that block
		"a block was cut short": {func(_, msgs string) error { return os.Truncate(blockPath(msgs, 1), 5_000_000) }, 0},
		"a damaged record":      {func(_, msgs string) error { return flipByte(blockPath(msgs, 3), 2_000_000) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := killed(t, l.cfg.Dir)
			if err := test.spoil(dir, blockFolder(dir, streamEvents)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, blockFolder(dir, streamEvents))
			again, err := Open(t.Context(), Config{Dir: dir, Known: uint64(records)})
			if test.left == 0 {
				if after := contents(t, blockFolder(dir, streamEvents)); !errors.Is(err, ErrCut) || !reflect.DeepEqual(before, after) {
					t.Errorf("it is opened: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if got := readAll(t, again, 1, 0); len(got) != test.left || again.Durable() != uint64(records) {
				t.Errorf("%d records are left, durable up to %d", len(got), again.Durable())
			}
		})
	}
}

func flipByte(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 1
	return os.WriteFile(path, b, 0o600)
}

// contents is what the block files of a folder hold.
func contents(t *testing.T, msgs string) map[int]string {
	t.Helper()
	blocks, err := blockIndexes(msgs)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int]string)
	for _, block := range blocks {
		b, err := os.ReadFile(blockPath(msgs, block))
		if err != nil {
			t.Fatal(err)
		}
		all[block] = string(b)
	}
	return all
}
