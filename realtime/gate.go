package realtime

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"roomlog/schema"
)

// Beyond what it can do in time a server refuses, before anything was done: a queue
// that grows makes everybody late and nobody served sooner. There are two gates, for
// facts from the check up to the ack and for queries while they are carried out. Each
// lets in
//
//   - no more than Config.MaxWaiting,
//   - and no more than is done within Config.MaxWait at the pace that it keeps;
//   - of one user no more than there is room left for everybody. One who floods gets
//     half of the room, two a third each, and so on: what is left is for those who
//     have little under way;
//   - of who was told to wait nothing before that time: nobody gains by not waiting.
//
// What is let in has so much and no more before it: that bounds how long it waits.

const (
	// leastWaiting is let in at any pace: a group commit and a batch of the read models
	// take as many at once as one.
	leastWaiting = 1024
	// busyWaiting keeps a server as busy as it can be: what it then does in a second is
	// what it can do.
	busyWaiting = 512
	// maxWaitingBytes of facts wait at most, of what their data has on the wire: with
	// what else a record has it is what the log's queue takes.
	maxWaitingBytes = 8 << 20

	paceWindow   = 100 * time.Millisecond // two batches of the read models
	shortestWait = 10 * time.Millisecond  // that a client is asked for: a few commits
	longestWait  = 10                     // times Config.MaxWait: who asks for longer loses people
)

// burden is what is let in and not done.
type burden struct{ count, bytes int }

func (b *burden) add(count, bytes int) {
	b.count += count
	b.bytes += bytes
}

// sender is what a user has under way on all sockets; each share is its gate's.
type sender struct{ facts, queries share }

// share is what one user has of a gate.
type share struct {
	burden
	until time.Duration // since the gate's opening: before, nothing is let in
}

// gate lets in what is done in time. Everything is guarded by mu, which callers of its
// methods hold, but for stands.
type gate struct {
	mu     sync.Mutex
	most   burden
	within time.Duration
	opened time.Time

	load burden
	pace pace

	turned   float64   // refused and expected to come back
	turnedAt time.Time // when that was
}

// pace is how much a gate gets done.
type pace struct {
	rate float64 // a second; 0: it was never busy, and nobody knows what it can do
	seen float64 // a second, in the window before this one

	began time.Time // of the window that is measured
	done  int       // since
	least int       // that was under way at any moment since
}

func (g *gate) open(c *Config, bytes int) {
	g.most, g.within, g.opened = burden{c.MaxWaiting, bytes}, c.MaxWait, time.Now()
}

// stands returns what is under way, in number and in bytes, and how many are let in.
func (g *gate) stands() (count, bytes, limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.load.count, g.load.bytes, g.limit()
}

// limit is how many are let in.
func (g *gate) limit() int {
	timely := g.pace.rate * g.within.Seconds()
	if g.pace.rate == 0 || timely >= float64(g.most.count) {
		return g.most.count
	}
	return min(g.most.count, max(leastWaiting, int(timely)))
}

// enter lets one in for a sender, of so many bytes. It returns for how long the sender
// is to wait if it does not, 0 if it does.
func (g *gate) enter(of *share, bytes int, now time.Time) (wait time.Duration) {
	if early := of.until - now.Sub(g.opened); early > 0 {
		return max((early + time.Millisecond - 1).Truncate(time.Millisecond), shortestWait) // as the wire says it, or who waits that long comes too early again
	}
	if of.count >= g.limit()-g.load.count || of.bytes+bytes > g.most.bytes-g.load.bytes {
		wait = g.turnAway(now)
		of.until = now.Sub(g.opened) + wait
		return wait
	}
	of.add(1, bytes)
	g.load.add(1, bytes)
	return 0
}

// leave takes out one that was let in.
func (g *gate) leave(of *share, bytes int) {
	of.add(-1, -bytes)
	g.load.add(-1, -bytes)
}

// turnAway says when to come back: when what is under way is done, and those who were
// told to come back before. They spread over half of that time before and after, or
// all of them would come at once.
func (g *gate) turnAway(now time.Time) time.Duration {
	rate := g.pace.rate
	if rate == 0 {
		rate = max(g.pace.seen, float64(g.most.count)/g.within.Seconds())
	}
	g.turned = max(0, g.turned-rate*max(0, now.Sub(g.turnedAt).Seconds())) + 1
	g.turnedAt = now
	wait := time.Duration((float64(g.load.count) + g.turned) / rate * float64(time.Second))
	wait = max(2*shortestWait, min(wait, longestWait*g.within*2/3))
	return (wait/2 + rand.N(wait)).Truncate(time.Millisecond) // as the wire says it: who waits that long must not be refused for it
}

// did measures: so many were done since it was called last.
func (g *gate) did(n int, now time.Time) {
	p := &g.pace
	p.done += n
	p.least = min(p.least, g.load.count)
	took := now.Sub(p.began)
	if took < paceWindow {
		return
	}
	rate := math.Max(1, float64(p.done)/took.Seconds())
	switch {
	case p.least < min(busyWaiting, g.most.count/2):
		if p.rate != 0 { // it can do that, and more for all we know
			p.rate = max(p.rate, rate)
		}
	case p.rate == 0:
		p.rate = rate
	default:
		p.rate += (rate - p.rate) / 4 // one slow commit is no slow disk
	}
	*p = pace{rate: p.rate, seen: rate, began: now, least: g.load.count}
}

// overloaded is what a client is told that is to wait.
func overloaded(wait time.Duration) *schema.Error {
	refusal := schema.NewError(schema.Overloaded, "")
	refusal.RetryAfter = wait
	return refusal
}
