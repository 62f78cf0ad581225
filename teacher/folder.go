package teacher

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A folder is a directory with a recording, or a shard of one, that nobody else
// writes to until it is closed.
type folder struct {
	dir      string
	manifest manifest
	rows     *os.File
}

// claim makes a directory that of a recording, unless it is another's already,
// or somebody is writing to it.
func claim(dir string, m manifest) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	rows, err := os.OpenFile(filepath.Join(dir, rowsName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	f := &folder{dir, m, rows}
	if err := f.begin(); err != nil {
		rows.Close()
		return nil, err
	}
	return f, nil
}

func (f *folder) begin() error {
	if err := lock(f.rows); err != nil {
		return fmt.Errorf("%w: %s", err, f.dir)
	}
	old, err := readManifest(f.dir)
	if err == nil {
		f.manifest.Rows = old.Rows
		return same(f.dir, old.allTraits(f.manifest))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The manifest is written before the first row: rows without one are another's.
	if info, err := f.rows.Stat(); err != nil {
		return fmt.Errorf("teacher: %w", err)
	} else if info.Size() > 0 {
		return fmt.Errorf("teacher: %s: %w, without a manifest; want another directory", f.rows.Name(), fs.ErrExist)
	}
	return f.manifest.write(f.dir)
}

// say writes to the manifest that so many rows are all of them, or 0 until they
// are.
func (f *folder) say(rows int64) error {
	if f.manifest.Rows == rows {
		return nil
	}
	f.manifest.Rows = rows
	return f.manifest.write(f.dir)
}

func (f *folder) close() error { return f.rows.Close() }

// scan is how many of n rows of some size a file begins with, up to the first
// that is not good.
func scan(file *os.File, size int, n int64, good func(i int64, row []byte) bool) (int64, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, n*int64(size)), 1<<20)
	row := make([]byte, size)
	for i := range n {
		_, err := io.ReadFull(in, row)
		if err == io.EOF || err == io.ErrUnexpectedEOF || err == nil && !good(i, row) {
			return i, nil
		}
		if err != nil {
			return 0, fmt.Errorf("teacher: %w", err)
		}
	}
	return n, nil
}
