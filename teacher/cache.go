package teacher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/godistill/godistill/data"
)

// Why a cache refuses to answer, or a directory to be opened or recorded into.
var (
	// ErrStale says that the teacher, the data or the recording is another
	// than the one that was recorded.
	ErrStale = errors.New("teacher: stale cache")
	// ErrMissing says that something was never recorded.
	ErrMissing = errors.New("teacher: not in the cache")
	// ErrCorrupt says that the files are not as they were written.
	ErrCorrupt = errors.New("teacher: corrupt cache")
)

// A Cache is a Teacher that answers from a directory what another said before
// (see [Record]). Without Half and TopK the answers are the recorded bits and
// the card is the teacher's, so a run with the cache is the run without it.
//
// A row is found by its id and checked by the hash of its inputs, so another
// set, order or augmentation is an error at the first batch, not a student
// that learns nonsense. Answers are read from the disk as they are needed: in
// memory a row takes 24 bytes. Its methods may be called from many goroutines.
type Cache struct {
	dir      string
	manifest manifest
	layout   layout
	index    []entry // sorted by id
	rows     *os.File
	readings sync.Pool
}

type entry struct {
	id  data.ID
	row int64
}

// Open opens a directory that [Record] has filled. Its error wraps
// [ErrMissing] if the recording is not finished and [ErrCorrupt] if the files
// do not fit together.
func Open(dir string) (*Cache, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	l, err := m.layout()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(dir, manifestName), err)
	}
	if m.Rows == 0 {
		return nil, fmt.Errorf("%w: %s: its recording is not finished; Record goes on with it", ErrMissing, dir)
	}
	rows, err := os.Open(filepath.Join(dir, rowsName))
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	c := &Cache{dir: dir, manifest: m, layout: l, rows: rows}
	if err := c.readIndex(); err != nil {
		rows.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cache) readIndex() error {
	info, err := c.rows.Stat()
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	// By division: the product may overflow in a manifest that lies.
	size := int64(c.layout.size)
	if info.Size()/size != c.manifest.Rows || info.Size()%size != 0 {
		return fmt.Errorf("%w: %s has %d bytes; want %d rows of %d", ErrCorrupt, c.rows.Name(), info.Size(), c.manifest.Rows, size)
	}
	var id [16]byte
	c.index = make([]entry, c.manifest.Rows)
	for row := range c.manifest.Rows {
		if _, err := c.rows.ReadAt(id[:], row*size); err != nil {
			return fmt.Errorf("teacher: %w", err)
		}
		c.index[row] = entry{rowID(id[:]), row}
	}
	slices.SortFunc(c.index, func(a, b entry) int { return compareIDs(a.id, b.id) })
	for i := range len(c.index) - 1 {
		if c.index[i].id == c.index[i+1].id {
			return fmt.Errorf("%w: %s: %s is there twice", ErrCorrupt, c.dir, describe(c.index[i].id))
		}
	}
	return nil
}

func compareIDs(a, b data.ID) int {
	return cmp.Or(cmp.Compare(a.Sample, b.Sample), cmp.Compare(a.View, b.View))
}

var errNotOpen = errors.New("teacher: the Cache is not open; want one from Open or Record")

// opened is errNotOpen for a Cache that is nil or zero.
func (c *Cache) opened() error {
	if c == nil || c.rows == nil {
		return errNotOpen
	}
	return nil
}

// Close releases the files. To close a cache again changes nothing.
func (c *Cache) Close() error {
	if err := c.opened(); err != nil {
		return err
	}
	if err := c.rows.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("teacher: %w", err)
	}
	return nil
}

// Card implements [Teacher]. Fingerprint is that of the recorded teacher,
// unless Half or TopK changed what it says; Temps is nil without TopK.
func (c *Cache) Card() (Card, error) {
	if err := c.opened(); err != nil {
		return Card{}, err
	}
	return c.manifest.card(c.layout), nil
}

// Covers says, before the first batch, why the cache cannot answer samples of
// a spec: other inputs, preprocessing or classes than those recorded
// ([ErrStale]), or more views ([ErrMissing]). A subset of the recorded samples,
// or the same without labels, is covered.
func (c *Cache) Covers(spec data.Spec) error {
	if err := c.opened(); err != nil {
		return err
	}
	if err := same(c.dir, c.manifest.traits(describeData(spec))); err != nil {
		return err
	}
	if spec.Views < 1 {
		return fmt.Errorf("%w: %s: data with views without bound; %d were recorded", ErrMissing, c.dir, c.manifest.Views)
	}
	if uint64(spec.Views) > c.manifest.Views {
		return fmt.Errorf("%w: %s: data with %d views; %d were recorded", ErrMissing, c.dir, spec.Views, c.manifest.Views)
	}
	return nil
}

// Teach implements [Teacher]. Its error names the sample, and wraps
// [ErrMissing] if that was not recorded, [ErrStale] if it was with another
// input, or [ErrCorrupt] if its row is damaged.
func (c *Cache) Teach(ctx context.Context, b data.Batch) (data.Signals, error) {
	return c.answer(ctx, b, nil)
}

// answer is Teach in the memory of s, where that fits.
func (c *Cache) answer(ctx context.Context, b data.Batch, s data.Signals) (data.Signals, error) {
	if err := c.checkBatch(b); err != nil {
		return nil, err
	}
	if s == nil {
		s = data.Signals{}
	}
	for _, column := range c.layout.signals {
		s[column.name] = room(s[column.name], column.field, b.N)
	}
	return s, c.read(ctx, b, s)
}

func (c *Cache) checkBatch(b data.Batch) error {
	if err := c.opened(); err != nil {
		return err
	}
	if err := checkIDs(b); err != nil {
		return err
	}
	for _, column := range c.layout.inputs {
		t, rows := b.In[column.name], b.N
		if t != nil && t.Dims() > 0 {
			rows = max(rows, t.Shape()[0]) // padding
		}
		if err := checkTensor("input", column.name, column.field, rows, t); err != nil {
			return err
		}
	}
	return nil
}
