package eventlog

import (
	"os"
	"strings"
)

// BootID names this run of the kernel, "" where there is no telling. What a process wrote
// is still there in the same run, synced or not; after it, only what was synced.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id") // see random(4)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
