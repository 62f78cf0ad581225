// Package atomicfile writes files that are there as a whole or not at all, and
// stay so when the machine fails. A path has one writer at a time: if it is killed,
// the next one writes over what it left beside the path.
package atomicfile

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Suffix is the end of the name of a file that is not in its place yet.
const Suffix = ".tmp"

// Write puts what write writes at path. Until all of it is on the disk the file that
// was there stays as it is, and after an error too.
func Write(path string, write func(io.Writer) error) error {
	if err := Prepare(path, write); err != nil {
		return err
	}
	if err := Commit(path); err != nil {
		return errors.Join(err, Discard(path))
	}
	return nil
}

// Prepare writes a new file beside path. It is whole and on the disk, or not there.
func Prepare(path string, write func(io.Writer) error) error {
	f, err := os.Create(path + Suffix)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, Discard(path))
	}
	return nil
}

// Commit puts what was prepared in its place.
func Commit(path string) error {
	if err := os.Rename(path+Suffix, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Discard removes what was prepared, if it is there.
func Discard(path string) error {
	if err := os.Remove(path + Suffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes a renaming last. Windows cannot, and need not; some file systems
// cannot either, and say that the request is invalid.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
