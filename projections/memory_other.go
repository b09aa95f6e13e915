//go:build !linux

package projections

func mapMemory(int) []byte { return nil }

func unmapMemory([]byte) {}
