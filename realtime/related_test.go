package realtime

import (
	"slices"
	"testing"
)

// Someone who begins to follow, or is blocked, in the batch of a post does so after it:
// who stood so before its place is told, or is not.
func TestRelatedBeforeAPlace(t *testing.T) {
	var r related
	r.add("alice", 3)
	r.add("carol", 11)
	r.add("bob", 9)
	for seq, want := range map[uint64][]string{3: nil, 4: {"alice"}, 9: {"alice"}, 10: {"alice", "bob"}, 11: {"alice", "bob"}, 12: {"alice", "carol", "bob"}} {
		if got := r.before(seq); !slices.Equal(got, want) {
			t.Errorf("before %d: %v, want %v", seq, got, want)
		}
	}
}
