package main

import (
	"runtime"
	"testing"
)

// A small heap of one who makes much may gather garbageRoom, all others as much as there is.
func TestRoomForGarbage(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		inUse, made uint64
		want        int
	}{
		{0, 0, mostPercent}, {mib, 4 * mib, mostPercent}, {96 * mib, 600 * mib, 200}, {96 * mib, 300 * mib, goPercent},
		{192 * mib, 900 * mib, goPercent}, {8192 * mib, 9000 * mib, goPercent},
	} {
		if got := percentFor(c.inUse, c.made); got != c.want {
			t.Errorf("with %d MiB in use and %d made %d %%, want %d", c.inUse/mib, c.made/mib, got, c.want)
		}
	}
	runtime.GC()
	if h := readHeap(); h.inUse == 0 || h.made <= h.inUse {
		t.Errorf("the heap is said to be %+v", h)
	}
}
