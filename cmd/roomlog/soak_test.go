package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"roomlog/replay"
	"roomlog/schema"
)

// soakLong sets how long the soak is, such as 60m.
const soakLong = "ROOMLOG_SOAK"

// soak is a server, the users that load it and those who disturb it.
type soak struct {
	t       *testing.T
	server  *soakServer
	load    *mixedLoad
	backups string // the folder of all of them
	full    int    // backups that were begun
	last    string // the folder of the last of these
	hold    time.Duration

	mu    sync.Mutex
	acked []ackedFact // guarded by mu, like what follows
	done  map[string]int
}

// soakPatience is how long a command may take in a long soak, whose log has grown.
const soakPatience = 10 * time.Minute

// ackedFact is what a user was told of a fact of theirs.
type ackedFact struct {
	seq         uint64
	event, user string
	duplicate   bool
}

// The size of the soak: as much as leaves two cores, on which the users are too, idle
// now and then, so that what is seen is what is left behind, not what is queued.
const (
	soakUsers   = 2000
	soakPlaces  = 60
	soakRate    = 300    // operations a second
	soakHistory = 10_000 // facts before
)

// A server under the load of a social network, whose clients are cut and held up, and
// which is rebuilt, rolled back and saved all the while, is afterwards what it was
// before: as much memory, as many goroutines, the same files. All that it acked is in
// the log, and the read models that served are those that a rebuild makes, a restart
// finds, and a restored backup begins with.
func TestSoak(t *testing.T) {
	lasting := 6 * time.Second
	if text, set := os.LookupEnv(soakLong); set {
		var err error
		if lasting, err = time.ParseDuration(text); err != nil || lasting < time.Second {
			t.Fatalf("%s is %q, not a time of a second or more", soakLong, text)
		}
	}
	s := &soak{t: t, backups: t.TempDir(), done: map[string]int{}, hold: min(lasting/6, 40*time.Second)}
	people := newSociety(1, soakUsers, soakHistory, time.Now())
	dir := filepath.Join(t.TempDir(), "data")
	if err := people.fill(&app{ctx: t.Context(), out: t.Output(), err: t.Output()}, dir, soakHistory); err != nil {
		t.Fatal(err)
	}
	s.server = serveSoaked(t, dir)

	s.run(people, max(lasting/6, 3*time.Second))
	before := s.server.quiet()
	s.run(people, lasting)
	s.server.checkLeft(before)
	t.Logf("in %v: %v", lasting, s.done)
	s.checkDigests()
	s.checkAcked()
}

// run loads the server for so long, and at least until the operator has done
// everything once.
func (s *soak) run(people *society, lasting time.Duration) {
	s.t.Helper()
	s.load = newMixedLoad(s.server.target(), people, soakPlaces, max(lasting/60, time.Second), soakRate, s.record)
	ended := make(chan error, 1)
	go func() { ended <- s.load.run(s.t.Context()) }()
	over, stop := context.WithTimeout(s.t.Context(), lasting)
	defer stop()
	var disturbing sync.WaitGroup
	disturbing.Go(func() { s.disturb(over) })
	s.operate(over)
	<-over.Done()
	disturbing.Wait()
	close(s.load.over)
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
	v := s.load.visits()
	s.t.Logf("%d arrived, %d left, %d cut by themselves, %d resumed, %d resynced, %d pushes, %v behind at last",
		v.arrived, v.left, v.cut, v.resumed, v.resynced, v.pushes, v.behind.Round(time.Millisecond))
}

// record takes what became of an operation.
func (s *soak) record(o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.code != "":
		s.done["refused"]++
	case o.kind == schema.Fact:
		s.done["facts"]++
		s.acked = append(s.acked, ackedFact{o.seq, o.event, o.user, o.duplicate})
	default:
		s.done["others"]++
	}
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[what]++
}

// checkDigests holds the read models that served against all others that there can be.
func (s *soak) checkDigests() {
	t, dir := s.t, s.server.dir
	live := s.server.status().Projections
	if live.Parked > 0 || live.Digest == "" {
		t.Errorf("the read models: %+v", live)
	}
	var report rebuildReport
	if err := json.Unmarshal([]byte(s.command("rebuild", "--data", dir, "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Seq != live.Applied || report.Before != live.Digest || report.After != live.Digest {
		t.Errorf("%+v was rebuilt as %+v", live, report)
	}
	same := func(what string, now serverStatus) {
		t.Helper()
		if now.Projections.Digest != live.Digest || now.Projections.Applied != live.Applied {
			t.Errorf("%s has digest %s at seq %d, the server had %s at %d", what, now.Projections.Digest, now.Projections.Applied, live.Digest, live.Applied)
		}
	}
	s.command("backup", s.last, "--data", dir)
	if code, out := s.server.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("the server ended with %d: %s%s", code, out, s.server.stderr)
	}
	same("the stopped server", s.server.status())
	s.command("verify", "--data", dir)

	restored := filepath.Join(t.TempDir(), "restored")
	s.command("restore", s.last, "--data", restored)
	same("the restored backup", serveSoaked(t, restored).status())
	same("the server that was started again", serveSoaked(t, dir).status())
}

// checkAcked holds what users were told against the log.
func (s *soak) checkAcked() {
	t := s.t
	slices.SortFunc(s.acked, func(a, b ackedFact) int { return int(a.seq) - int(b.seq) })
	acked := s.acked
	for _, text := range lines(s.command("replay", "--json", "--data", s.server.dir)) {
		var l replay.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for len(acked) > 0 && acked[0].seq <= l.Seq {
			a := acked[0]
			acked = acked[1:]
			// A direct conversation between two may have been begun by the other.
			if a.seq != l.Seq || a.event != l.Event || a.user != l.Actor.ID && !a.duplicate || l.Outcome != "applied" {
				t.Errorf("%+v was acked, the log has %d %s of %s, %s", a, l.Seq, l.Event, l.Actor.ID, l.Outcome)
			}
		}
	}
	if len(acked) > 0 {
		t.Errorf("%d acked facts are not in the log, the first is %+v", len(acked), acked[0])
	}
	if len(s.acked) == 0 {
		t.Error("nothing was acked at all")
	}
}

// command runs a command that must succeed, as long as it takes in a long soak.
func (s *soak) command(args ...string) string {
	s.t.Helper()
	r := roomlogWithin(s.t, soakPatience, nil, "", args...)
	if r.code != 0 {
		s.t.Fatalf("roomlog %s: exit code %d\n%s%s", fmt.Sprint(args), r.code, r.out, r.stderr)
	}
	return r.out
}
