package realtime

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newGate(most int) *gate {
	c := Defaults()
	c.MaxWaiting = most
	g := new(gate)
	g.open(&c, maxWaitingBytes)
	return g
}

// What one floods with is refused before what others send: there is always as much
// room for one more sender as anybody has taken.
func TestOneWhoFloodsLeavesRoomForOthers(t *testing.T) {
	for _, c := range []struct{ floods, each, room int }{{1, 50, 50}, {3, 25, 25}, {4, 20, 20}, {9, 10, 10}} {
		g, now := newGate(100), time.Now()
		flood := make([]share, c.floods)
		for range 100 {
			for i := range flood {
				g.enter(&flood[i], 1, now)
			}
		}
		for i := range flood {
			if flood[i].count != c.each {
				t.Errorf("%d floods: one has %d, want %d", c.floods, flood[i].count, c.each)
			}
		}
		polite := make([]share, c.room)
		for i := range polite {
			if wait := g.enter(&polite[i], 1, now); wait != 0 {
				t.Errorf("%d floods: who comes %d. with one is told to wait %v", c.floods, i+1, wait)
			}
		}
		if wait := g.enter(new(share), 1, now); wait == 0 {
			t.Errorf("%d floods: there is room for more than 100", c.floods)
		}
	}
}

func TestLargeFactsCountByTheirBytes(t *testing.T) {
	g, now := newGate(100), time.Now()
	var large share
	for g.enter(&large, maxWaitingBytes/8, now) == 0 {
	}
	if large.count != 4 {
		t.Errorf("one sender has %d eighths of the room", large.count)
	}
	if g.enter(new(share), 1000, now) != 0 {
		t.Error("nothing else has room")
	}
}

// The count is never passed, a refusal says when to come back, and when all is done
// there is room for all.
func TestGateAgainstCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 2000).Draw(t, "most")
		g, now := newGate(most), time.Now()
		senders := make([]share, 5)
		var under []int // way, by sender
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				for range rapid.IntRange(1, 3000).Draw(t, "times") {
					of := rapid.IntRange(0, 4).Draw(t, "sender")
					room, has, until := g.limit()-len(under), senders[of].count, g.opened.Add(senders[of].until)
					switch wait := g.enter(&senders[of], 10, now); {
					case wait == 0 && (has >= room || now.Before(until)):
						t.Fatalf("let in with %d under way and room for %d, %v before the time", has, room, until.Sub(now))
					case wait == 0:
						under = append(under, of)
					case wait < shortestWait || wait > longestWait*time.Second || has < room && !now.Before(until):
						t.Fatalf("told to wait %v with %d under way and room for %d, %v before the time", wait, has, room, until.Sub(now))
					}
				}
			},
			"done": func(t *rapid.T) {
				n := rapid.IntRange(0, len(under)).Draw(t, "n")
				for _, of := range under[:n] {
					g.leave(&senders[of], 10)
				}
				under = under[n:]
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "after")))
				g.did(n, now)
				if limit := g.limit(); limit < min(most, leastWaiting) || limit > most {
					t.Fatalf("%d may be under way of %d", limit, most)
				}
			},
			"": func(t *rapid.T) {
				if g.load.count != len(under) || g.load.bytes != 10*len(under) {
					t.Fatalf("%+v under way, want %d", g.load, len(under))
				}
			},
		})
	})
}

// crowd sends one each, as many as are let in, and is served so many at a time.
type crowd struct {
	*gate
	under []*share // way
	now   time.Time
}

func (c *crowd) fill() {
	for {
		one := new(share)
		if c.enter(one, 0, c.now) != 0 {
			return
		}
		c.under = append(c.under, one)
	}
}

func (c *crowd) served(perTick, ticks int) {
	for range ticks {
		c.fill()
		done := min(perTick, len(c.under))
		for _, one := range c.under[:done] {
			c.leave(one, 0)
		}
		c.under = c.under[done:]
		c.now = c.now.Add(paceWindow)
		c.did(done, c.now)
	}
}

// As much is let in as is done in Config.MaxWait, once it is known how much that is,
// and more again when the server has become faster.
func TestTheGateFollowsThePace(t *testing.T) {
	c := crowd{gate: newGate(8192), now: time.Now()}
	if got := c.limit(); got != 8192 {
		t.Errorf("a server of which nothing is known lets %d in", got)
	}
	c.served(200, 20) // in two seconds
	if got := c.limit(); got < 1900 || got > 2100 {
		t.Errorf("at 2000 a second it lets %d in", got)
	}
	c.served(50, 150)
	if got := c.limit(); got != leastWaiting {
		t.Errorf("at 500 a second it lets %d in, want %d: what fits in one commit is let in at any pace", got, leastWaiting)
	}
	c.served(1000, 50)
	if got := c.limit(); got != 8192 {
		t.Errorf("at 10000 a second it lets %d in", got)
	}
}

// A quiet server is not taken for a slow one.
func TestAQuietServerIsNoSlowOne(t *testing.T) {
	g, now := newGate(8192), time.Now()
	var one share
	for range 100 {
		g.enter(&one, 0, now)
		now = now.Add(paceWindow)
		g.leave(&one, 0)
		g.did(1, now)
	}
	if got := g.limit(); got != 8192 {
		t.Errorf("after ten a second for a while it lets %d in", got)
	}
}

// Who is refused is told to come back when those before them are done, refused ones
// too; and a flood of long ago does not matter.
func TestRefusalsSpreadTheReturn(t *testing.T) {
	c := crowd{gate: newGate(8192), now: time.Now()}
	c.served(200, 60)
	c.fill()
	c.turned = 0
	told := func() time.Duration { return c.enter(new(share), 0, c.now) }
	for range 100 {
		if wait := told(); wait < 400*time.Millisecond || wait > 1700*time.Millisecond {
			t.Fatalf("with a second's worth before it, one is told to wait %v", wait)
		}
	}
	for range 8000 {
		told()
	}
	if wait := told(); wait < 2400*time.Millisecond || wait > 7700*time.Millisecond {
		t.Errorf("with four seconds' worth of refused ones besides, one is told to wait %v", wait)
	}
	c.now = c.now.Add(time.Minute)
	if wait := told(); wait > 1700*time.Millisecond {
		t.Errorf("a minute later one is told to wait %v", wait)
	}
}

// Who was told to wait and does not is told so again, although there is room, and makes
// nobody else wait for longer; who waits as long as told is let in.
func TestNobodyGainsByNotWaiting(t *testing.T) {
	g, now := newGate(2), time.Now()
	var first, second, third share
	for _, s := range []*share{&first, &second} {
		if wait := g.enter(s, 0, now); wait != 0 {
			t.Fatalf("told to wait %v", wait)
		}
	}
	wait := g.enter(&third, 0, now)
	g.leave(&first, 0)
	turned := g.turned
	for _, early := range []time.Duration{0, time.Microsecond, wait / 2, wait - 1} {
		again := g.enter(&third, 0, now.Add(early))
		if told := time.Duration(again.Milliseconds()) * time.Millisecond; told < wait-early {
			t.Errorf("told to wait %v, and after %v told to wait %v on the wire", wait, early, told)
		}
	}
	if g.turned != turned {
		t.Error("who does not wait is counted twice")
	}
	if again := g.enter(&third, 0, now.Add(wait)); again != 0 {
		t.Errorf("told to wait %v, and then %v again", wait, again)
	}
}
