package main

import (
	"fmt"
	"syscall"

	"roomlog/realtime"
)

// ownFiles is how many files a server has open besides its connections, at most:
// those of the log and the read models, and some to spare for who reads back in it.
const ownFiles = 256

// checkDescriptors has the process open as many files as it may, and finds that
// --max-connections takes more. Without one the log could not open its own: it is
// better not to start.
func (c serverConfig) checkDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if limit.Cur < limit.Max { // the Go runtime leaves one out
		if raised := (syscall.Rlimit{Cur: limit.Max, Max: limit.Max}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	besides := realtime.Defaults().MaxHandshakes + ownFiles
	need := uint64(c.MaxConnections + besides)
	if have := uint64(limit.Cur); have < need {
		fits := ""
		if have > uint64(besides) {
			fits = fmt.Sprintf(", or give --max-connections %d or less", have-uint64(besides))
		}
		return usagef("--max-connections %d needs %d open files and this process may have %d: raise the limit (ulimit -n %d, or LimitNOFILE=%d in a systemd unit)%s",
			c.MaxConnections, need, have, need, need, fits)
	}
	return nil
}
