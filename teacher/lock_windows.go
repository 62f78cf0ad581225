package teacher

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes a file for one writer, or is ErrBusy. The system lets go of it when
// the file is closed or the process ends, however it does.
func lock(f *os.File) error {
	// A byte that no file has: what is locked cannot be read either.
	beyond := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &beyond)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrBusy
	}
	return err
}
