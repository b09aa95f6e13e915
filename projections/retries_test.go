package projections

import (
	"fmt"
	"testing"

	"roomlog/schema"
)

// A key may come again for as long as it is remembered, that of another user may not, and
// when there are more keys than are counted every one may.
func TestRetriesForgetNoKeyThatIsRemembered(t *testing.T) {
	all := &retries{most: 1000}
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
	if all.taken > 3*100 {
		t.Errorf("it still has %d of 400 keys", all.taken)
	}
	for n := uint64(0); all.taken < 1000; n++ {
		all.add(n << 2 * filterMix)
	}
	if asked(start, "carol", "new"); all.taken != 1000 || !asked(start, "carol", "newer") {
		t.Error("what is full has no room, and cannot say no")
	}
	at := start + 200*keyTTL/50
	if at += keyTTL; !asked(at, "carol", "newest") {
		t.Error("a day later it may repeat one of which nothing is known")
	}
	if at += keyTTL; asked(at, "carol", "newest of all") {
		t.Error("two days later all are forgotten that there was no room for")
	}
}
