package teacher

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/godistill/godistill/data"
)

// blockRows is how many rows of a batch a goroutine takes at a time: it takes as
// long to start one as to read a few.
const blockRows = 16

// A reading is the answer to one batch under way: goroutines, one for each
// processor at most, take its rows in blocks and in order, so that of several
// errors the first one is known.
type reading struct {
	*Cache
	buffers [][]byte // of a row, for each goroutine

	ctx context.Context
	b   data.Batch
	s   data.Signals
	all sync.WaitGroup

	mu   sync.Mutex
	next int   // row that nobody has taken
	bad  int   // row of err
	err  error // nil until a row cannot be read
}

// read reads the answers to all samples of a batch into s.
func (c *Cache) read(ctx context.Context, b data.Batch, s data.Signals) error {
	workers := max(1, min(runtime.GOMAXPROCS(0), b.N/blockRows))
	r := c.begin(workers)
	defer c.readings.Put(r)
	r.ctx, r.b, r.s, r.next, r.err = ctx, b, s, 0, nil
	for _, row := range r.buffers[1:workers] {
		r.all.Go(func() { r.work(row) })
	}
	r.work(r.buffers[0])
	r.all.Wait()
	r.ctx, r.b, r.s = nil, data.Batch{}, nil // may be large
	return r.err
}

// begin is a reading with memory for so many goroutines.
func (c *Cache) begin(workers int) *reading {
	r, _ := c.readings.Get().(*reading)
	if r == nil {
		r = &reading{Cache: c}
	}
	for len(r.buffers) < workers {
		r.buffers = append(r.buffers, make([]byte, c.layout.size))
	}
	return r
}

// work reads blocks of rows, through the memory of a row, until there are no
// more.
func (r *reading) work(row []byte) {
	for from, to := r.take(); from < to; from, to = r.take() {
		for i := from; i < to; i++ {
			if err := r.row(row, i); err != nil {
				r.fail(i, err)
				break
			}
		}
	}
}

// take is the next block of rows, which is empty after the last.
func (r *reading) take() (from, to int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from = r.next
	r.next = min(from+blockRows, r.b.N)
	return from, r.next
}

// fail ends the reading, but for blocks that were taken.
func (r *reading) fail(i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || i < r.bad {
		r.bad, r.err = i, err
	}
	r.next = r.b.N
}

// row reads the answer to sample i of the batch.
func (r *reading) row(row []byte, i int) error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	id := r.b.ID[i]
	n, ok := r.find(id)
	if !ok {
		return fmt.Errorf("%w: %s: %s", ErrMissing, r.dir, describe(id))
	}
	p, at := r.place(n)
	if _, err := p.rows.ReadAt(row, at); err != nil && err != io.EOF {
		return fmt.Errorf("teacher: %s: %w", describe(id), err)
	} else if err == io.EOF || !intact(row, id) {
		return fmt.Errorf("%w: %s: %s does not match its checksum", ErrCorrupt, p.dir, describe(id))
	}
	if r.layout.hash(r.b, i) != binary.LittleEndian.Uint32(row[16:]) {
		return fmt.Errorf("%w: %s: %s has another input than when it was recorded; if it is another sample, it wants an id of its own (see data.Memory.WithIDs)",
			ErrStale, p.dir, describe(id))
	}
	if err := r.layout.read(row, r.s, i); err != nil {
		return fmt.Errorf("%w: %s: %s: %w", ErrCorrupt, p.dir, describe(id), err)
	}
	return nil
}

// find is the row of an id. Most ids are evenly spread: to look for one from the
// middle on would wait for memory about as long as a row takes.
func (c *Cache) find(id data.ID) (row int64, ok bool) {
	if len(c.index) == 0 {
		return 0, false
	}
	i := c.guess(id)
	if ok = c.index[i].id == id; !ok {
		i, ok = slices.BinarySearchFunc(c.index, id, func(e entry, id data.ID) int { return compareIDs(e.id, id) })
	}
	if !ok {
		return 0, false
	}
	return c.index[i].row, true
}

// guess is where an id is in the index if samples are evenly spread, and all
// views of each are there.
func (c *Cache) guess(id data.ID) int {
	n, views := float64(len(c.index)), float64(c.manifest.Views)
	first, last := c.index[0].id.Sample, c.index[len(c.index)-1].id.Sample
	sample := float64(id.Sample-first) / float64(max(last-first, 1)) * (n/views - 1)
	return int(min(max(math.Round(sample)*views+float64(id.View), 0), n-1))
}
