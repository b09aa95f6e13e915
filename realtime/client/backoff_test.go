package client

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Waits are drawn from the whole of a range that doubles up to its bound.
func TestBackoffIsFullJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "min"))
		most := least + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		attempt := rapid.IntRange(0, 200).Draw(t, "attempt")
		s := Session{o: SessionOptions{MinBackoff: least, MaxBackoff: most}}
		want := least
		for range attempt {
			want = min(2*want, most)
		}
		if got := s.ceiling(attempt); got != want {
			t.Fatalf("the bound of try %d between %v and %v is %v, want %v", attempt, least, most, got, want)
		}
		if wait := s.backoff(attempt); wait < 0 || wait > s.ceiling(attempt) {
			t.Fatalf("try %d waits %v", attempt, wait)
		}
	})
}

func TestBackoffSpreadsClients(t *testing.T) {
	var s Session
	quarters := [4]int{}
	for range 1000 {
		quarters[min(3, s.backoff(2)*4/s.ceiling(2))]++
	}
	for _, n := range quarters {
		if n < 150 { // 250 is expected; this is more than seven deviations below
			t.Errorf("1000 waits by quarters of their range: %d", quarters)
		}
	}
	if s.ceiling(0) != 250*time.Millisecond || s.ceiling(99) != 30*time.Second {
		t.Errorf("the bounds are %v and %v", s.ceiling(0), s.ceiling(99))
	}
}
