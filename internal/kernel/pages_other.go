//go:build !linux

package kernel

func askForLargePages(start, size uintptr) {}
