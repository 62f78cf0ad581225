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

// What a block has at most, but for a row that is larger.
const (
	blockRows  = 16
	blockBytes = 1 << 16 // stay near the processor
)

// A reading is the answer to one batch under way: goroutines, one for each
// processor at most, take its rows in blocks and in order, so that of several
// errors the first one is known.
type reading struct {
	*Cache
	workers []worker

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
	n := max(1, min(runtime.GOMAXPROCS(0), b.N/blockRows))
	r := c.begin(n)
	defer c.readings.Put(r)
	r.ctx, r.b, r.s, r.next, r.err = ctx, b, s, 0, nil
	for i := range n - 1 {
		r.all.Go(func() { r.workers[i+1].work() })
	}
	if n > 1 {
		// The goroutine that was started last waits for its own processor, some
		// 50 µs and more, before another takes it. So it is one without work.
		r.all.Go(func() {})
	}
	r.workers[0].work()
	r.all.Wait()
	r.ctx, r.b, r.s = nil, data.Batch{}, nil // may be large
	return r.err
}

// begin is a reading with so many workers.
func (c *Cache) begin(workers int) *reading {
	r, _ := c.readings.Get().(*reading)
	if r == nil {
		r = &reading{Cache: c}
	}
	if len(r.workers) < workers {
		r.workers = make([]worker, workers)
		for i := range r.workers {
			r.workers[i] = worker{reading: r, number: i, rows: make([]byte, c.layout.size*c.perBlock())}
		}
	}
	return r
}

// perBlock is how many rows a block has at most.
func (c *Cache) perBlock() int { return max(1, min(blockRows, blockBytes/c.layout.size)) }

// take is the next block of rows, which is empty after the last. Blocks become
// smaller towards the end, so that all workers are done at about the same time.
func (r *reading) take() (from, to int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from = r.next
	left := r.b.N - from
	r.next += min(max(1, left/(2*len(r.workers))), r.perBlock(), left)
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

// A worker reads blocks of a batch.
type worker struct {
	*reading
	number int
	from   int              // first row of the block
	rows   []byte           // the block, as it is on the disk
	places [blockRows]place // of its rows
}

type place struct {
	*part
	at int64
}

func (w *worker) work() {
	for from, to := w.take(); from < to; from, to = w.take() {
		if i, err := w.block(from, to); err != nil {
			w.fail(i, err)
		}
	}
}

// block reads some rows, or those before the first that it cannot read. It does
// one thing with all of them before it does the next: what lies side by side in
// memory comes faster then.
func (w *worker) block(from, to int) (bad int, err error) {
	if err := w.ctx.Err(); err != nil {
		return from, fmt.Errorf("teacher: %w", err)
	}
	w.from = from
	for _, do := range []func(i int) error{w.find, w.fetch, w.compare, w.decode} {
		for i := from; i < to; i++ {
			if e := do(i); e != nil {
				to, err = i, e
			}
		}
	}
	return to, err
}

// row is the memory of row i of the batch.
func (w *worker) row(i int) []byte {
	size := w.layout.size
	return w.rows[(i-w.from)*size:][:size]
}

// find finds where a row is.
func (w *worker) find(i int) error {
	id := w.b.ID[i]
	n, ok := w.Cache.find(id)
	if !ok {
		return fmt.Errorf("%w: %s: %s", ErrMissing, w.dir, describe(id))
	}
	p, at := w.place(n)
	w.places[i-w.from] = place{p, at}
	return nil
}

// fetch reads a row from the disk.
func (w *worker) fetch(i int) error {
	p, id, row := w.places[i-w.from], w.b.ID[i], w.row(i)
	if _, err := p.file(w.number).ReadAt(row, p.at); err != nil && err != io.EOF {
		return fmt.Errorf("teacher: %s: %w", describe(id), err)
	} else if err == io.EOF || !intact(row, id) {
		return fmt.Errorf("%w: %s: %s does not match its checksum", ErrCorrupt, p.dir, describe(id))
	}
	return nil
}

// compare compares the input with the one that was recorded.
func (w *worker) compare(i int) error {
	if w.layout.hash(w.b, i) != binary.LittleEndian.Uint32(w.row(i)[16:]) {
		return fmt.Errorf("%w: %s: %s has another input than when it was recorded; if it is another sample, it wants an id of its own (see data.Memory.WithIDs)",
			ErrStale, w.places[i-w.from].dir, describe(w.b.ID[i]))
	}
	return nil
}

// decode writes the answer.
func (w *worker) decode(i int) error {
	if err := w.layout.read(w.row(i), w.s, i); err != nil {
		return fmt.Errorf("%w: %s: %s: %w", ErrCorrupt, w.places[i-w.from].dir, describe(w.b.ID[i]), err)
	}
	return nil
}

// find is the row of an id. Where ids are no grid, most are evenly spread all the
// same: to look for one from the middle on would wait for memory about as long as
// a row takes.
func (c *Cache) find(id data.ID) (row int64, ok bool) {
	if c.grid.samples > 0 || len(c.index) == 0 {
		return c.grid.row(id)
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

// A grid is ids at equal distances, each in some views, recorded view after view
// in their order, as those of most sets are. Their rows need no look at memory.
type grid struct{ first, step, samples, views uint64 }

// row is the row of an id, if it is on the grid.
func (g grid) row(id data.ID) (row int64, ok bool) {
	if id.Sample < g.first || id.View >= g.views {
		return 0, false
	}
	i := (id.Sample - g.first) / g.step
	return int64(id.View*g.samples + i), i < g.samples && g.first+i*g.step == id.Sample
}

// gridOf is the grid of an index that is one, or else empty.
func gridOf(index []entry, views uint64) grid {
	n := uint64(len(index))
	if n == 0 || n%views != 0 {
		return grid{}
	}
	g := grid{first: index[0].id.Sample, step: 1, samples: n / views, views: views}
	if g.samples > 1 {
		g.step = max(1, index[views].id.Sample-g.first)
	}
	for _, e := range index {
		if row, ok := g.row(e.id); !ok || row != e.row {
			return grid{}
		}
	}
	return g
}
