package teacher

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	// ErrBusy says that another Record or Merge is writing to the directory.
	ErrBusy = errors.New("teacher: busy cache")
)

// A Cache is a Teacher that answers from a directory, or several, what another
// said before (see [Record]). Without Half and TopK the answers are the recorded
// bits and the card is the teacher's, so a run with the cache is the run without
// it.
//
// A row is found by its id and checked by the hash of its inputs, so another
// set, order or augmentation is an error at the first batch, not a student
// that learns nonsense. Answers are read from the disk as they are needed, by all
// processors, each through a file of its own: in memory a row takes 24 bytes. Its
// methods may be called from many goroutines, and any number of processes may
// read a directory.
type Cache struct {
	dir      string   // or several, for errors
	manifest manifest // of any part
	layout   layout
	parts    []part  // in the order of their rows
	index    []entry // sorted by id
	grid     grid    // of the index, if it is one
	readings sync.Pool
}

var errNotOpen = errors.New("teacher: the Cache is not open; want one from Open or Record")

// opened is errNotOpen for a Cache that is nil or zero.
func (c *Cache) opened() error {
	if c == nil || len(c.parts) == 0 {
		return errNotOpen
	}
	return nil
}

// Close releases the files. To close a cache again changes nothing.
func (c *Cache) Close() error {
	if err := c.opened(); err != nil {
		return err
	}
	return c.closeParts()
}

func (c *Cache) closeParts() (err error) {
	for _, p := range c.parts {
		err = errors.Join(err, p.close())
	}
	return err
}

// Rows says how many rows the cache holds, and how many its whole recording has.
// They differ only where [OpenPart] or the Record of a shard opened it.
func (c *Cache) Rows() (held, total int64) {
	if c.opened() != nil {
		return 0, 0
	}
	return int64(len(c.index)), c.manifest.Total
}

// Missing yields the ids of a set that the cache does not hold: of each sample
// in as many views as were to be recorded, view after view.
func (c *Cache) Missing(set data.Set) iter.Seq[data.ID] {
	return func(yield func(data.ID) bool) {
		if c.opened() != nil || set == nil {
			return
		}
		for view := range c.manifest.Views {
			for i := range set.Len() {
				id := data.ID{Sample: set.ID(i), View: view}
				if _, ok := c.find(id); !ok && !yield(id) {
					return
				}
			}
		}
	}
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
