package teacher

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/godistill/godistill/data"
)

// A part of a cache is the rows of a directory.
type part struct {
	dir      string
	manifest manifest
	rows     *os.File
	again    []*os.File // rows too: those who read one file at once wait for each other
	first    int64      // row of the recording that is the first of the file
}

// maxFiles is how many files a cache opens at most, if it has fewer parts.
const maxFiles = 64

// openPart opens a part for so many readers.
func openPart(dir string, m manifest, readers int) (p part, err error) {
	p.dir, p.manifest = dir, m
	p.first, _ = m.span()
	path := filepath.Join(dir, rowsName)
	if p.rows, err = os.Open(path); err != nil {
		return p, fmt.Errorf("teacher: %w", err)
	}
	for range readers - 1 {
		file, err := os.Open(path)
		if err != nil {
			break // one is enough
		}
		p.again = append(p.again, file)
	}
	return p, nil
}

// file is the one of a reader.
func (p *part) file(reader int) *os.File {
	if reader == 0 || len(p.again) == 0 {
		return p.rows
	}
	return p.again[(reader-1)%len(p.again)]
}

func (p *part) close() (err error) {
	for _, file := range slices.Concat(p.again, []*os.File{p.rows}) {
		if e := file.Close(); e != nil && !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("teacher: %w", e))
		}
	}
	return err
}

type entry struct {
	id  data.ID
	row int64 // of the recording
}

// Open opens what [Record] or [Merge] has written to a directory, or the shards
// of one recording in several, in any order, as one cache. Its error wraps
// [ErrMissing] if a recording is not finished or a shard is not among them,
// [ErrStale] if they are not of one recording, and [ErrCorrupt] if the files do
// not fit together.
func Open(dirs ...string) (*Cache, error) { return open(dirs, false) }

// OpenPart is Open of what there is: shards some of which are missing, and
// recordings that were interrupted or that somebody is going on with, up to
// where they were. What else the teacher would be asked is [ErrMissing], so
// that [Or] asks it; [Cache.Rows] and [Cache.Missing] say what that is.
func OpenPart(dirs ...string) (*Cache, error) { return open(dirs, true) }

func open(dirs []string, partly bool) (c *Cache, err error) {
	if len(dirs) == 0 {
		return nil, errors.New("teacher: Open has no directories; want 1 or more")
	}
	c = &Cache{}
	defer func() {
		if err != nil {
			c.closeParts()
			c = nil
		}
	}()
	for _, dir := range dirs {
		if err := c.addPart(dir, partly, min(runtime.GOMAXPROCS(0), maxFiles/len(dirs))); err != nil {
			return c, err
		}
	}
	if err := c.joinParts(partly); err != nil {
		return c, err
	}
	return c, c.readIndex()
}

func (c *Cache) addPart(dir string, partly bool, readers int) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	l, err := m.layout()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(dir, manifestName), err)
	}
	if len(c.parts) == 0 {
		c.dir, c.manifest, c.layout = dir, m, l
	} else if t := differing(c.manifest.recordingTraits(m)); t != nil {
		return fmt.Errorf("%w: %s and %s are not of one recording: %s is %.80s and %.80s", ErrStale, c.dir, dir, t.what, text(t.recorded), text(t.is))
	}
	if m.Rows == 0 && !partly {
		return fmt.Errorf("%w: %s: its recording is not finished; Record goes on with it, and OpenPart opens what there is", ErrMissing, dir)
	}
	p, err := openPart(dir, m, readers)
	if err != nil {
		return err
	}
	c.parts = append(c.parts, p)
	return nil
}

// joinParts puts the parts in order, and says which are missing or there twice.
func (c *Cache) joinParts(partly bool) error {
	slices.SortStableFunc(c.parts, func(a, b part) int { return cmp.Compare(a.manifest.Shard, b.manifest.Shard) })
	shards := c.manifest.Shards
	for i := range len(c.parts) - 1 {
		if a, b := c.parts[i], c.parts[i+1]; a.manifest.Shard == b.manifest.Shard {
			return fmt.Errorf("teacher: %s and %s are both shard %d of %d; want each once", a.dir, b.dir, a.manifest.Shard, shards)
		}
	}
	if n := len(c.parts) - 1; n > 0 {
		c.dir = fmt.Sprintf("%s and %d more", c.parts[0].dir, n)
	}
	for shard := range shards {
		if !partly && (shard == len(c.parts) || c.parts[shard].manifest.Shard != shard) {
			return fmt.Errorf("%w: %s: without shard %d of %d; want all, and OpenPart opens what there is", ErrMissing, c.dir, shard, shards)
		}
	}
	return nil
}

// readIndex finds the rows.
func (c *Cache) readIndex() error {
	for _, p := range c.parts {
		read := c.readIDs
		if p.manifest.Rows == 0 {
			read = c.readUnfinished
		}
		if err := read(p); err != nil {
			return err
		}
	}
	slices.SortFunc(c.index, func(a, b entry) int { return compareIDs(a.id, b.id) })
	for i := range len(c.index) - 1 {
		if c.index[i].id == c.index[i+1].id {
			return fmt.Errorf("%w: %s: %s is there twice", ErrCorrupt, c.dir, describe(c.index[i].id))
		}
	}
	c.grid = gridOf(c.index, c.manifest.Views)
	return nil
}

func (c *Cache) readIDs(p part) error {
	info, err := p.rows.Stat()
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	// By division: the product may overflow in a manifest that lies.
	size := int64(c.layout.size)
	if info.Size()/size != p.manifest.Rows || info.Size()%size != 0 {
		return fmt.Errorf("%w: %s has %d bytes; want %d rows of %d", ErrCorrupt, p.rows.Name(), info.Size(), p.manifest.Rows, size)
	}
	c.index = slices.Grow(c.index, int(p.manifest.Rows))
	var id [16]byte
	for row := range p.manifest.Rows {
		if _, err := p.rows.ReadAt(id[:], row*size); err != nil {
			return fmt.Errorf("teacher: %w", err)
		}
		c.index = append(c.index, entry{rowID(id[:]), p.first + row})
	}
	return nil
}

// readUnfinished finds the rows up to the first that is not as it was written:
// only of those that a finished recording has is it known that they are on disk.
func (c *Cache) readUnfinished(p part) error {
	_, all := p.manifest.span()
	_, err := scan(p.rows, c.layout.size, all, func(i int64, row []byte) bool {
		if !sound(row) {
			return false
		}
		c.index = append(c.index, entry{rowID(row), p.first + i})
		return true
	})
	return err
}

// place is the part that has a row, and where.
func (c *Cache) place(row int64) (p *part, at int64) {
	i := len(c.parts) - 1
	if i > 0 {
		i, _ = slices.BinarySearchFunc(c.parts, row+1, func(p part, row int64) int { return cmp.Compare(p.first, row) })
		i-- // the last that begins at the row or before it
	}
	p = &c.parts[i]
	return p, (row - p.first) * int64(c.layout.size)
}

func compareIDs(a, b data.ID) int {
	return cmp.Or(cmp.Compare(a.Sample, b.Sample), cmp.Compare(a.View, b.View))
}
