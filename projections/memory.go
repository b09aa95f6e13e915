package projections

import (
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// memory returns how many bytes the machine has, or the process may take (GOMEMLIMIT).
func memory() int64 {
	return min(machineMemory(), debug.SetMemoryLimit(-1))
}

// mapped is the size from which memory is taken beside the heap.
const mapped = 4 << 20

// beside is how many bytes are taken beside the heap, where no collector sees that they
// are not needed any more. Tests look at it.
var beside atomic.Int64

// newMemory returns zeroed memory of at least a size, with which freeMemory is called.
func newMemory(size int) []byte {
	if size >= mapped {
		if memory := mapMemory(size); memory != nil {
			beside.Add(int64(len(memory)))
			return memory
		}
	}
	return make([]byte, size)
}

func freeMemory(memory []byte) {
	if len(memory) >= mapped && unmapMemory(memory) {
		beside.Add(-int64(len(memory)))
	}
}

// newSlots returns so many slots, and the memory that they lie in.
func newSlots(n int) ([]slot, []byte) {
	memory := newMemory(n * int(unsafe.Sizeof(slot(0))))
	return unsafe.Slice((*slot)(unsafe.Pointer(unsafe.SliceData(memory))), n), memory
}
