package eventlog

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roomlog/eventlog/powerloss"

	"go.uber.org/goleak"
)

// The crash tests run this test binary again as the process that is killed.
const (
	childDir    = "ROOMLOG_TEST_CHILD_DIR"    // set in the child: the data directory
	childNotes  = "ROOMLOG_TEST_CHILD_NOTES"  // a folder for what the child tells the test
	childFsync  = "ROOMLOG_TEST_CHILD_FSYNC"  // fsync mode
	childSeed   = "ROOMLOG_TEST_CHILD_SEED"   // of its load
	childNoSync = "ROOMLOG_TEST_CHILD_NOSYNC" // set: it acks without making anything durable
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendUntilKilled(dir, os.Getenv(childNotes))
	}
	// A server that is stopped while it begins to fill ADMIN leaves a goroutine of
	// its own waiting for an answer, for 30 seconds at most.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(
		"github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

// appendUntilKilled is the child: many senders append, each after the ack of its
// last record, and every ack and everything that a follower was handed is noted in
// a file before it counts.
func appendUntilKilled(dir, notes string) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	journal, err := powerloss.Open(filepath.Join(notes, "journal"))
	must(err)
	l, err := Open(context.Background(), Config{
		Dir:    dir,
		Fsync:  FsyncMode(os.Getenv(childFsync)),
		OnSync: journal.Synced,
		test:   faults{noSync: os.Getenv(childNoSync) != ""},
	})
	must(err)
	note := func(name string) func(seq uint64, id string) {
		f, err := os.OpenFile(filepath.Join(notes, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(err)
		return func(seq uint64, id string) {
			_, err := fmt.Fprintf(f, "%d %s\n", seq, id)
			must(err)
		}
	}
	acked, seen := note("acked"), note("seen")
	seed, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	must(err)
	rng := rand.New(rand.NewPCG(seed, 0))
	senders := []int{1, 8, 64}[rng.IntN(3)]
	length := []int{200, 2000, 200_000}[rng.IntN(3)] // the last fills a block every 40 records

	go func() {
		f, err := l.Follow(context.Background(), l.Durable()+1)
		must(err)
		for {
			records, err := f.Next(context.Background(), 100)
			must(err)
			for _, r := range records {
				seen(r.Seq, r.ID)
			}
		}
	}()
	var once sync.Once
	for s := range senders {
		rng := rand.New(rand.NewPCG(seed, uint64(s+1)))
		go func() {
			for i := 0; ; i++ {
				r := post("sender"+strconv.Itoa(s), strings.Repeat("x", rng.IntN(length)))
				r.Key = strconv.Itoa(i)
				seq, err := l.AppendWait(context.Background(), r)
				must(err)
				acked(seq, r.ID)
				once.Do(func() { fmt.Println("going") })
			}
		}()
	}
	select {}
}

// crash runs the child on dir and kills it after a moment under load.
func crash(t *testing.T, dir, notes string, env ...string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childNotes+"="+notes)
	child.Env = append(child.Env, env...)
	child.Stderr = testWriter{t}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		_ = child.Wait()
		t.Fatalf("the child ended before its first ack: %v", err)
	}
	moment := time.NewTimer(time.Duration(rand.IntN(150)) * time.Millisecond)
	<-moment.C
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
}

// noted reads the child's notes: sequence by id, in the order they were written.
func noted(t *testing.T, notes, name string) (ids []string, seqs map[string]uint64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(notes, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	seqs = make(map[string]uint64)
	lines := strings.SplitAfter(string(b), "\n")
	for _, line := range lines[:len(lines)-1] {
		var seq uint64
		var id string
		if _, err := fmt.Sscan(line, &seq, &id); err != nil {
			t.Fatalf("note %q: %v", line, err)
		}
		ids = append(ids, id)
		seqs[id] = seq
	}
	return ids, seqs
}

// broken compares a log with what the child noted, and returns the first promise
// that it does not keep.
func broken(t *testing.T, dir, notes string) (string, int) {
	t.Helper()
	journal, err := powerloss.Open(filepath.Join(notes, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	l, err := Open(context.Background(), Config{Dir: dir, OnSync: journal.Synced})
	if err != nil {
		return "the log does not open: " + err.Error(), 0
	}
	defer l.Close()
	place := make(map[string]uint64)
	highest := make(map[string]int) // newest record of each sender of this round
	for r, err := range l.Read(context.Background(), 1, 0) {
		if err != nil {
			return "the log cannot be read: " + err.Error(), 0
		}
		if r.Err != nil {
			return fmt.Sprintf("record %d is none: %v", r.Seq, r.Err), 0
		}
		if other, twice := place[r.ID]; twice {
			return fmt.Sprintf("record %s is there twice, at %d and %d", r.ID, other, r.Seq), 0
		}
		place[r.ID] = r.Seq
		n, err := strconv.Atoi(r.Key)
		if last, ok := highest[r.Actor.ID]; err != nil || ok && n != last+1 && n != 0 {
			return fmt.Sprintf("record %s of %s at %d comes after its %d", r.Key, r.Actor.ID, r.Seq, last), 0
		}
		highest[r.Actor.ID] = n
	}
	for _, name := range []string{"acked", "seen"} {
		ids, seqs := noted(t, notes, name)
		for _, id := range ids {
			if place[id] != seqs[id] {
				return fmt.Sprintf("record %s was %s at %d and is at %d (0: nowhere)", id, name, seqs[id], place[id]), 0
			}
		}
	}
	return "", len(place)
}

func rounds(t *testing.T, name string, short int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, s)
	}
	return n
}

// After kill -9 under load every acked record is in the log, once, in order.
func TestKill(t *testing.T) {
	for _, mode := range []FsyncMode{FsyncGroup, FsyncAlways} {
		t.Run(string(mode), func(t *testing.T) {
			dir, notes := t.TempDir(), t.TempDir()
			for round := range 2 {
				crash(t, dir, notes, childFsync+"="+string(mode), childSeed+"="+strconv.Itoa(round))
				if what, _ := broken(t, dir, notes); what != "" {
					t.Fatalf("round %d: %s", round, what)
				}
			}
		})
	}
}

// After a power loss under load every acked record, and every record that a
// follower was handed, is in the log, once, in order. ROOMLOG_POWERLOSS_ROUNDS
// sets how often the plug is pulled.
func TestPowerLoss(t *testing.T) {
	total := rounds(t, "ROOMLOG_POWERLOSS_ROUNDS", 5)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const perLog = 8 // power losses that one log lives through
	for first := 0; first < total; first += perLog {
		mode := FsyncGroup
		if first/perLog%4 == 3 {
			mode = FsyncAlways
		}
		dir, notes := t.TempDir(), t.TempDir()
		for round := first; round < min(first+perLog, total); round++ {
			crash(t, dir, notes, childFsync+"="+string(mode), childSeed+"="+strconv.FormatUint(rng.Uint64(), 10))
			report := strike(t, dir, notes, rng)
			what, records := broken(t, dir, notes)
			if what != "" {
				t.Fatalf("round %d, fsync %s: %s (the strike: %v)", round, mode, what, report)
			}
			t.Logf("round %d, fsync %s: %d records; %v", round, mode, records, report)
		}
	}
}

func strike(t *testing.T, dir, notes string, rng *rand.Rand) powerloss.Report {
	t.Helper()
	report, err := powerloss.Strike{
		Dir:     dir,
		Journal: filepath.Join(notes, "journal"),
		Rand:    rng,
		Spare:   func(path string) bool { return path == "LOCK" },
		Lose:    func(path string) bool { return filepath.Base(path) == "index.db" },
	}.Do()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, bootName), []byte("an earlier boot"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// The control: a log that acks without making anything durable does not survive a
// power loss, and the check says so.
func TestPowerLossControl(t *testing.T) {
	dir, notes := t.TempDir(), t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	crash(t, dir, notes, childFsync+"="+string(FsyncGroup), childSeed+"=1", childNoSync+"=1")
	report := strike(t, dir, notes, rng)
	what, _ := broken(t, dir, notes)
	if what == "" {
		t.Fatalf("acked records survived without any fsync (the strike: %v): the power-loss test proves nothing", report)
	}
	t.Logf("as it must be: %s", what)
}
