//go:build !linux

package projections

import "context"

func mapMemory(int) []byte { return nil }

func unmapMemory([]byte) bool { return false }

// machineMemory is not known here: what few machines lack will do.
func machineMemory() int64 { return 4 << 30 }

func readAhead(context.Context, ...string) {}
