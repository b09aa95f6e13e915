//go:build !linux

package projections

func inHugePages[T any]([]T) {}
