//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package teacher

import (
	"os"
	"slices"
	"syscall"
)

// lock takes a file for one writer, or is ErrBusy. The system lets go of it when
// the file is closed or the process ends, however it does. A file system that
// knows no locks has none.
func lock(f *os.File) error {
	err := syscall.EINTR
	for err == syscall.EINTR {
		err, _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB).(syscall.Errno)
	}
	switch {
	case err == syscall.EWOULDBLOCK:
		return ErrBusy
	case err == 0 || slices.Contains([]syscall.Errno{syscall.ENOLCK, syscall.ENOSYS, syscall.ENOTSUP, syscall.EOPNOTSUPP}, err):
		return nil
	}
	return err
}
