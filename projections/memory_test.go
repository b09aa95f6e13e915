package projections

import "testing"

// What a load gathers beside the heap is given back when it is done with: by the read
// models that serve, by a rebuild whether it takes over or not, and by those it replaces.
func TestMemoryIsGivenBack(t *testing.T) {
	before := beside.Load()
	w := newWorld(t)
	w.append(traffic(4000, 50)...)
	w.run()
	given := func(when string) {
		t.Helper()
		if held := beside.Load() - before; held != 0 {
			t.Errorf("%s: %d bytes are held beside the heap", when, held)
		}
	}
	given("after the start")
	most := int64(0)
	look := func(Progress) { most = max(most, beside.Load()-before) }
	for _, compareOnly := range []bool{true, false, false} {
		if _, err := w.models.RebuildWith(t.Context(), RebuildOptions{CompareOnly: compareOnly, Progress: look}); err != nil {
			t.Fatal(err)
		}
		given("after a rebuild")
	}
	if err := w.models.Rollback(t.Context(), look); err != nil {
		t.Fatal(err)
	}
	given("after a rollback")
	if most == 0 && mapMemory(mapped) != nil {
		t.Error("the load is too small to take memory beside the heap")
	}
	w.close()
	given("after the end")
}
