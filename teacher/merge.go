package teacher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// Merge copies the shards of a recording, in any order, to a directory of its
// own: byte for byte that of a recording in one go, where the teacher answers a
// sample the same in whatever batch it is. What [Open] would refuse of them is
// refused before a byte is written, and so is a row that does not match its
// checksum. A Merge that was interrupted may be called again, and changes nothing
// once it is done; Record goes on with what it leaves, too.
func Merge(ctx context.Context, dst string, dirs ...string) (err error) {
	if dst == "" {
		return errors.New("teacher: Merge's dst is empty; want a directory")
	}
	c, err := Open(dirs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	whole := c.manifest
	whole.Rows, whole.Shard, whole.Shards = 0, 0, 1
	f, err := claim(dst, whole)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if f.manifest.Rows > 0 {
		return nil
	}
	if err := c.copyRows(ctx, f); err != nil {
		return err
	}
	return f.say(whole.Total)
}

// copyRows makes the rows of a folder those of all parts, in order.
func (c *Cache) copyRows(ctx context.Context, f *folder) error {
	if err := f.rows.Truncate(0); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	out := bufio.NewWriterSize(io.NewOffsetWriter(f.rows, 0), 1<<20)
	for _, p := range c.parts {
		var failed error
		n, err := scan(p.rows, c.layout.size, p.manifest.Rows, func(_ int64, row []byte) bool {
			if failed = ctx.Err(); failed != nil || !sound(row) {
				return false
			}
			_, failed = out.Write(row)
			return failed == nil
		})
		switch {
		case failed != nil:
			return fmt.Errorf("teacher: %w", failed)
		case err != nil:
			return err
		case n < p.manifest.Rows:
			return fmt.Errorf("%w: %s: row %d of %d does not match its checksum", ErrCorrupt, p.dir, n, p.manifest.Rows)
		}
	}
	if err := errors.Join(out.Flush(), f.rows.Sync()); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	return nil
}
