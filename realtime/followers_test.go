package realtime

import (
	"slices"
	"testing"
)

// Someone who begins to follow in the batch of a post is not told of what was
// posted before.
func TestFollowersOfAPlace(t *testing.T) {
	var f followers
	f.add("alice", 3)
	f.add("bob", 9)
	for seq, want := range map[uint64][]string{3: nil, 4: {"alice"}, 9: {"alice"}, 10: {"alice", "bob"}} {
		if got := f.before(seq); !slices.Equal(got, want) {
			t.Errorf("of %d %v are told, want %v", seq, got, want)
		}
	}
}
