package realtime

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whoever comes back finds what they left: as if every caller had a bucket for ever.
func TestLimiterRemembersEveryone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const events, window, room = 4, time.Second, 64
		l := newLimiter[string]("test", events, window, room)
		forever := make(map[string]*bucket)
		now := time.UnixMilli(1_700_000_000_000)
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "pause")) * time.Millisecond)
			caller := fmt.Sprint(rapid.IntRange(1, room/2).Draw(t, "caller"))
			if forever[caller] == nil {
				forever[caller] = &bucket{}
			}
			l.tidyAt = 1
			if got, want := l.take(caller, now), forever[caller].take(now, events, window); got != want {
				t.Fatalf("%s waits %v, want %v", caller, got, want)
			}
		}
	})
}

// A crowd of callers neither grows the table nor has a spent bucket forgotten: it
// would have to spend as much itself, in every place of it.
func TestLimiterKeepsTheSpent(t *testing.T) {
	const events, room = 10, 1000
	l := newLimiter[int]("test", events, time.Hour, room)
	now := time.UnixMilli(1_700_000_000_000)
	for range events {
		if l.take(-1, now) != 0 {
			t.Fatal("refused too early")
		}
	}
	for i := range 20 * room {
		if l.take(i, now) != 0 {
			t.Fatalf("a newcomer is refused")
		}
		if i%3 == 0 { // some come a second time
			l.take(i, now)
		}
		if len(l.buckets) > room {
			t.Fatalf("%d callers are remembered, of %d", len(l.buckets), room)
		}
	}
	if l.take(-1, now) == 0 {
		t.Error("a spent bucket was forgotten for strangers who spent less")
	}
}

// Callers whose buckets are full again cost nothing for long.
func TestLimiterForgetsTheQuiet(t *testing.T) {
	l := newLimiter[int]("test", 10, time.Second, 1<<20)
	now := time.UnixMilli(1_700_000_000_000)
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		l.take(i, now)
	}
	if len(l.buckets) > 200 { // twice those of the last tenth of a second
		t.Errorf("%d callers are remembered", len(l.buckets))
	}
}

// A limit that is turned off costs nothing.
func TestLimiterThatIsOffRemembersNobody(t *testing.T) {
	l := newLimiter[int]("test", 0, time.Second, 1000)
	now := time.UnixMilli(1_700_000_000_000)
	for i := range 10 {
		if l.take(i, now) != 0 || l.usedShare(i, now) {
			t.Error("without a limit somebody is refused, or has used a share of it")
		}
	}
	if len(l.buckets) != 0 {
		t.Errorf("%d callers are remembered", len(l.buckets))
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newLimiter[string]("test", 1<<30, time.Minute, leastRemembered)
	users := make([]string, 1000)
	for i := range users {
		users[i] = fmt.Sprint("user-", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.take(users[i%len(users)], time.Now())
	}
}

// An address without connections takes no memory, and none that is not counted.
func TestAddressesAreForgotten(t *testing.T) {
	a := addresses{open: make(map[netip.Addr]int)}
	a.enter(netip.Addr{})
	a.leave(netip.Addr{})
	for i := range 1000 {
		from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		a.enter(from)
		a.enter(from)
		a.leave(from)
		if len(a.open) != 1 {
			t.Fatalf("%d addresses have connections", len(a.open))
		}
		a.leave(from)
	}
	if len(a.open) != 0 {
		t.Errorf("%d addresses are remembered", len(a.open))
	}
}
