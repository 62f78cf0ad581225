package kernel

import "syscall"

// askForLargePages advises the system to back memory by large pages: at once
// what was used before, and the rest when it is first used. Go's heap is made of
// far larger pieces, so what is beside the memory belongs to it as well. It is
// advice: that it is refused does no harm.
func askForLargePages(start, size uintptr) {
	const (
		whenUsed = 14 // MADV_HUGEPAGE
		atOnce   = 25 // MADV_COLLAPSE, of Linux 6.1
	)
	from := start &^ (largePage - 1)
	to := (start + size + largePage - 1) &^ (largePage - 1)
	for _, advice := range [...]uintptr{whenUsed, atOnce} {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, advice)
	}
}
