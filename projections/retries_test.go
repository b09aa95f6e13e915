package projections

import (
	"fmt"
	"testing"

	"roomlog/schema"
)

// A key may come again for as long as it is remembered, that of another user may not, and
// when there are more keys than are counted every one may.
func TestRetriesForgetNoKeyThatIsRemembered(t *testing.T) {
	all := &retries{newer: newKeySet(1000), older: newKeySet(1000)}
	asked := func(at schema.Time, user, key string) bool {
		r := record{}
		r.Time, r.hashes.answer = at, hashOf(pair(user, key))
		return all.may(&r)
	}
	for n := range schema.Time(200) {
		at := start + n*keyTTL/50
		if asked(at, "alice", fmt.Sprint(n)) || asked(at, "bob", fmt.Sprint(n)) {
			t.Fatalf("key %d is new", n)
		}
		if old := n - 49; old >= 0 && !asked(at, "alice", fmt.Sprint(old)) {
			t.Fatalf("at key %d, key %d is remembered", n, old)
		}
	}
	if n := len(all.newer.hashes) + len(all.older.hashes); n > 3*100 {
		t.Errorf("it still has %d of 400 keys", n)
	}
	for n := range uint64(1000) {
		all.newer.add(n)
	}
	if all.newer.add(1000); len(all.newer.hashes) != 1000 || !asked(start, "carol", "new") {
		t.Error("what is full has no room, and cannot say no")
	}
}
