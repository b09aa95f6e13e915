package main

import (
	"runtime"
	"testing"
)

// A small heap may gather garbageRoom, a large one as much as it has.
func TestRoomForGarbage(t *testing.T) {
	for inUse, want := range map[uint64]int{0: mostPercent, 1 << 20: mostPercent, 96 << 20: 200, 192 << 20: 100, 8 << 30: 100} {
		if got := percentFor(inUse); got != want {
			t.Errorf("with %d MiB in use %d %%, want %d", inUse>>20, got, want)
		}
	}
	runtime.GC()
	if heapInUse() == 0 {
		t.Error("nothing is in use")
	}
}
