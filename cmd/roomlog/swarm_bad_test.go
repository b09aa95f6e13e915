package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomlog/realtime"
	"roomlog/schema"
)

// The bad actors are a process of their own, this test binary run again, with the
// least priority: what they take of the processors is what the server and the
// honest users leave, as if they came from other machines.
const swarmChild = "ROOMLOG_TEST_SWARM" // set in the child

// swarmTarget is what the bad actors know: a post anybody can find, and ids of a
// conversation's that somebody leaked.
type swarmTarget struct{ Post, Conversation, Message, Comment, Notification, User string }

// storm is what the bad actors are told, and what they have in common.
type storm struct {
	Address    string
	SecretFile string // of a token issuer where all of them are registered
	Epoch      string
	Marker     string // in what only participants of conversations may read
	Targets    []swarmTarget

	ctx       context.Context
	secret    []byte
	now, peak atomic.Int64 // connections
}

func (s *storm) opened(n int64) {
	now := s.now.Add(n)
	for peak := s.peak.Load(); now > peak && !s.peak.CompareAndSwap(peak, now); peak = s.peak.Load() {
	}
}

// stormReport is what the bad actors met with.
type stormReport struct {
	Seen   map[string]map[string]int // kind → what → how often
	Sent   map[string]int            // kind → frames
	Leaks  []string
	Actors int
	Peak   int // connections at once
	CPU    time.Duration
}

// total is how often all kinds have seen something.
func (r *stormReport) total(what string) (n int) {
	for _, seen := range r.Seen {
		n += seen[what]
	}
	return n
}

// badActor is one of the swarm, always busy with a connection.
type badActor struct {
	storm   *storm
	kind    *badKind
	number  int // among its kind
	user    string
	address string
	token   string

	mu     sync.Mutex
	seen   map[string]int
	frames int
	leaks  []string
}

// badKind is a way to be bad. act is one connection; it returns when that has ended.
type badKind struct {
	name      string
	actors    int
	addresses int // that they come from; 0: one for every 16
	users     int // whose tokens they have; 0: each has another's
	act       func(*badActor)
}

// attack is the child. The storm begins at once and ends with the input.
func attack() {
	var s storm
	in := json.NewDecoder(os.Stdin)
	err := in.Decode(&s)
	if err == nil {
		s.secret, err = realtime.ReadSecretFile(s.SecretFile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the swarm:", err)
		os.Exit(exitFailed)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.ctx = ctx
	var running sync.WaitGroup
	var all []*badActor
	for k := range badKinds {
		for i := range badKinds[k].actors {
			a := newBadActor(&s, k, i)
			all = append(all, a)
			running.Go(a.run)
		}
	}
	io.Copy(io.Discard, os.Stdin)
	stop()
	running.Wait()
	report := stormReport{Seen: map[string]map[string]int{}, Sent: map[string]int{}, Actors: len(all), Peak: int(s.peak.Load()), CPU: processorTime(os.Getpid())}
	for _, a := range all {
		if report.Seen[a.kind.name] == nil {
			report.Seen[a.kind.name] = map[string]int{}
		}
		for what, n := range a.seen {
			report.Seen[a.kind.name][what] += n
		}
		report.Sent[a.kind.name] += a.frames
		report.Leaks = append(report.Leaks, a.leaks...)
	}
	json.NewEncoder(os.Stdout).Encode(report)
	os.Exit(exitGood)
}

func newBadActor(s *storm, kind, number int) *badActor {
	k := &badKinds[kind]
	user, address := number, number/16
	if k.users > 0 {
		user %= k.users
	}
	if k.addresses > 0 {
		address = number % k.addresses
	}
	a := &badActor{
		storm: s, kind: k, number: number, seen: map[string]int{},
		user: fmt.Sprintf("%s-%d", k.name, user), address: fmt.Sprintf("198.51.%d.%d", kind, address+1),
	}
	a.token = a.tokenOf(s.secret, a.user, time.Now())
	return a
}

// tokenOf mints a token as of a time, good for an hour from then.
func (a *badActor) tokenOf(secret []byte, user string, at time.Time) string {
	token, err := realtime.MintToken(secret, realtime.Identity{Actor: schema.Actor{ID: user}, Expires: at.Add(time.Hour)}, "", "", at)
	if err != nil {
		panic(err)
	}
	return token
}

func (a *badActor) run() {
	for a.storm.ctx.Err() == nil {
		a.kind.act(a)
		a.rest(badRest)
	}
}

// badRest is how long an actor rests between two connections, on average: without,
// the swarm would measure how fast a kernel connects to itself.
const badRest = 200 * time.Millisecond

// rest waits for half to one and a half of d. It returns false when the storm is over.
func (a *badActor) rest(d time.Duration) bool {
	select {
	case <-time.After(d/2 + rand.N(d)):
		return true
	case <-a.storm.ctx.Done():
		return false
	}
}

func (a *badActor) target() *swarmTarget { return &a.storm.Targets[a.number%len(a.storm.Targets)] }

func (a *badActor) note(what string) {
	if a.storm.ctx.Err() != nil && what == "cut" {
		return // by the end of the storm
	}
	a.mu.Lock()
	a.seen[what]++
	a.mu.Unlock()
}

func (a *badActor) sent(n int) {
	a.mu.Lock()
	a.frames += n
	a.mu.Unlock()
}

// heard tallies a frame. What only participants may read must not be in it.
func (a *badActor) heard(frame []byte) {
	switch refused := code(frame); {
	case refused != "":
		a.note("error " + refused)
	case bytes.HasPrefix(frame, []byte(`{"id":`)):
		a.note("ack")
	default:
		a.note("push")
	}
	if bytes.Contains(frame, []byte(a.storm.Marker)) {
		a.leaked(frame)
	}
}

// leaked notes what an actor should not have been told.
func (a *badActor) leaked(frame []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.leaks) < 3 {
		a.leaks = append(a.leaks, fmt.Sprintf("%s was told %.300s", a.user, frame))
	}
}

// swarmProcess is the bad actors, as the test sees them.
type swarmProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out bytes.Buffer
	err bytes.Buffer
}

// unleash begins a storm.
func unleash(t *testing.T, s *storm) *swarmProcess {
	t.Helper()
	p := &swarmProcess{t: t, cmd: exec.Command("nice", "-n", "19", os.Args[0])}
	p.cmd.Env = append(os.Environ(), swarmChild+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err == nil {
		t.Cleanup(func() { p.cmd.Process.Kill() })
		err = json.NewEncoder(p.in).Encode(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// end ends the storm.
func (p *swarmProcess) end() *stormReport {
	p.t.Helper()
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("the swarm: %v\n%s", err, p.err.String())
	}
	var r stormReport
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatalf("the swarm's report: %v\n%s", err, p.out.String())
	}
	return &r
}

// kinds are lines of what each kind met with, for people.
func (r *stormReport) kinds() []string {
	var lines []string
	for _, k := range badKinds {
		seen := maps.Clone(r.Seen[k.name])
		lines = append(lines, fmt.Sprintf("%-8s %3d actors, %6d frames sent, met with %v", k.name, k.actors, r.Sent[k.name], seen))
	}
	return lines
}
