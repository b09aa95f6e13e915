package projections

import (
	"context"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page on the machines that have them.
const hugePage = 2 << 20

// mapMemory returns zeroed memory beside the heap, nil if there is none to be had. What a
// load gathers would otherwise let the heap, and with it the garbage, grow to twice as
// much. It is in huge pages where the kernel gives them: rows that are looked up at random
// then miss fewer translations of addresses, which were a tenth of a rebuild's time.
func mapMemory(size int) []byte {
	memory, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(memory))) % hugePage)
	unix.Madvise(memory[skip:skip+size], unix.MADV_HUGEPAGE) // refused, it costs time
	return memory
}

// machineMemory returns how many bytes the machine has or, in a container, may be taken
// there. 0: it does not say.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	bytes := int64(info.Totalram) * int64(info.Unit)
	for _, file := range [...]string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} { // see cgroups(7), version 2 and 1
		text, err := os.ReadFile(file)
		if limit, no := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && no == nil && limit > 0 {
			bytes = min(bytes, limit)
		}
	}
	return bytes
}

// aheadBytes are asked for at a time: what comes of it can be given up in between.
const aheadBytes = 16 << 20

// readAhead has the kernel read files from the disk into its memory, front to back. Their
// maps are for look-ups here and there, of which it reads none ahead: who reads all of a
// file that has not been read for a while would wait for every page of it (measured: 55
// MB/s, where the disk gives 750). Files that are not there are passed over.
func readAhead(ctx context.Context, paths ...string) {
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		info, err := file.Stat()
		for at := int64(0); err == nil && at < info.Size() && ctx.Err() == nil; at += aheadBytes {
			err = unix.Fadvise(int(file.Fd()), at, aheadBytes, unix.FADV_WILLNEED)
		}
		file.Close()
	}
}

// unmapMemory gives memory back, which nobody may look at any more. It returns false for
// memory that mapMemory did not return.
func unmapMemory(memory []byte) bool { return unix.Munmap(memory) == nil }
