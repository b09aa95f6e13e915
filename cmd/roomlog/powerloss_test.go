package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"roomlog/eventlog/powerloss"
	"roomlog/realtime/client"
	"roomlog/schema"
)

// The server that loses its power is this test binary, run again: only there can
// a test listen to what is made durable.
const (
	journalledDir = "ROOMLOG_TEST_SERVE" // set in the child: the data directory
	journalFile   = "ROOMLOG_TEST_JOURNAL"
)

// serveJournalled is the child. It ends by being killed.
func serveJournalled(dir, file string) {
	journal, err := powerloss.Open(file)
	if err == nil {
		cfg := unlimited(dir)
		cfg.onSync = journal.Synced
		var s *Server
		if s, err = NewServer(context.Background(), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil))); err == nil {
			err = s.Run(context.Background(), func() { s.greet(os.Stdout) })
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitFailed)
}

// witness is a user who follows all senders and remembers every push.
type witness struct {
	mu     sync.Mutex
	pushed map[uint64]string // place in the log → id of the post
}

func (w *witness) push(f schema.Frame) {
	if f.Event != "post:create" {
		return
	}
	var created schema.PostCreated
	if json.Unmarshal(f.Data, &created) == nil {
		w.mu.Lock()
		w.pushed[f.Seq] = created.Post.ID
		w.mu.Unlock()
	}
}

// After a power loss under load the server has all that it acked, once, in the
// order of the acks; nothing that it pushed is missing; its read models are those
// that a rebuild makes, whether their own file came through or not.
func TestServerPowerLoss(t *testing.T) {
	const perLog = 8 // power losses that one directory lives through
	total := rounds(t, "ROOMLOG_POWERLOSS_ROUNDS", 3)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for first := 0; first < total; first += perLog {
		t.Run(fmt.Sprintf("from round %d", first), func(t *testing.T) {
			livesThrough(t, min(perLog, total-first), rng)
		})
	}
}

func livesThrough(t *testing.T, losses int, rng *rand.Rand) {
	dir, journal := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "journal")
	senders := make([]*sender, 8)
	for i := range senders {
		senders[i] = &sender{user: fmt.Sprintf("user-%d", i)}
	}
	w := &witness{pushed: map[uint64]string{}}
	for round := range losses {
		s := launchJournalled(t, dir, journal)
		watcher := s.dial("witness", client.Options{OnPush: w.push})
		for _, one := range senders {
			_, err := watcher.Do(t.Context(), "user:follow", schema.UserFollow{FollowingID: one.user, Action: schema.ActionFollow}, "")
			if err != nil && !hasCode(err, schema.AlreadyFollowing) {
				t.Fatal(err)
			}
		}
		models := filepath.Join(dir, modelsName)
		before := readModels(t, models)
		loadAndKill(s, senders, round)
		report := strike(t, dir, journal, rng, before)

		back := launchJournalled(t, dir, journal)
		checkAcked(t, dir, senders)
		checkPushed(t, dir, w)
		checkRebuild(t, dir)
		back.kill() // nothing is under way: the journal's baseline still holds
		if t.Failed() {
			t.Fatalf("round %d; the strike: %v", round, report)
		}
		t.Logf("round %d: %v", round, report)
	}
}

func launchJournalled(t *testing.T, dir, journal string) *serverProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), journalledDir+"="+dir, journalFile+"="+journal)
	s := launch(t, dir, cmd)
	if s.url == "" {
		s.cmd.Wait()
		s.ended = true
		t.Fatalf("the server did not come back:\n%s", s.stderr)
	}
	return s
}

func readModels(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// strike takes the power. The read models are not synced while they are open:
// what is left of them is all, nothing, something older, or anything; and the
// machine comes back under another boot id.
func strike(t *testing.T, dir, journal string, rng *rand.Rand, models []byte) powerloss.Report {
	t.Helper()
	path := filepath.Join(dir, modelsName)
	var err error
	switch rng.IntN(4) {
	case 0:
		err = os.Remove(path)
	case 1:
		err = os.WriteFile(path, models, 0o600)
	case 2:
		torn := readModels(t, path)
		for at := rng.IntN(4 * 4096); at < len(torn); at += rng.IntN(64 * 4096) {
			torn[at] ^= 0xFF
		}
		err = os.WriteFile(path, torn, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{path + ".dirty", filepath.Join(dir, "log.boot")} {
		if err := os.WriteFile(note, []byte("an earlier boot"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := powerloss.Strike{
		Dir:     dir,
		Journal: journal,
		Rand:    rng,
		Spare: func(path string) bool {
			return path == "LOCK" || path == "log.boot" || strings.HasPrefix(path, modelsName)
		},
		Lose: func(path string) bool { return filepath.Base(path) == "index.db" },
	}.Do()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// checkPushed makes sure that all that was pushed is in the log, at its place.
func checkPushed(t *testing.T, dir string, w *witness) {
	t.Helper()
	ids := map[uint64]string{}
	for _, l := range replayed(t, dir, "--event", "post:create") {
		ids[l.Seq] = l.ID
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for seq, id := range w.pushed {
		if ids[seq] != id {
			t.Errorf("post %s was pushed as seq %d; the log has %q there", id, seq, ids[seq])
		}
	}
	if len(w.pushed) == 0 {
		t.Error("nothing was pushed at all")
	}
}
