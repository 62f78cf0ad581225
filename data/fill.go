package data

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A filler reads the rows of an epoch into batches.
type filler struct {
	set     Set
	spec    Spec // the set's, with the number of views that are used
	seed    uint64
	epoch   int
	workers int // 1 or more

	rows  []int // of the set, in the order of the epoch
	again []int // how often the epoch has had the row before; nil is never
}

// fill reads rows number start to end, without it, into an empty batch with
// room for them.
func (f *filler) fill(b *Batch, start, end int) error {
	b.N = end - start
	b.ID = slices.Grow(b.ID[:0], b.N)[:b.N]
	if n := min(f.workers, b.N); n > 1 {
		whole := *b // goroutines would take b itself to the heap
		return share(n, b.N, func(r int) error { return f.read(&whole, r, start+r) })
	}
	for r := range b.N {
		if err := f.read(b, r, start+r); err != nil {
			return err
		}
	}
	return nil
}

// read reads row number n of the epoch into row r of a batch.
func (f *filler) read(b *Batch, r, n int) (err error) {
	again := 0
	if f.again != nil {
		again = f.again[n]
	}
	view := func(id uint64) uint64 { return f.view(id, again) }
	b.ID[r], err = b.readRow(r, f.set, f.rows[n], view, f.spec)
	return err
}

// view is drawn from the sample's id rather than its place, so that a subset
// sees the views that the whole set sees.
func (f *filler) view(id uint64, again int) uint64 {
	words := []uint64{f.seed, uint64(f.epoch), id, uint64(again)}
	if again == 0 {
		words = words[:3]
	}
	switch f.spec.Views {
	case 0:
		return mix(words...)
	case 1:
		return 0
	}
	return mix(words...) % uint64(f.spec.Views)
}

// views is how many of the views that a set has are used, if want is the most.
// 0 is without bound.
func views(want, have int) int {
	switch {
	case want == 0:
		return have
	case have == 0:
		return want
	}
	return min(have, want)
}

// share calls do for 0 to n-1, in so many goroutines. They take numbers in
// order, so that of several errors the first one is known.
func share(workers, n int, do func(int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	first, failure := n, error(nil)
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				err := do(i)
				if err == nil {
					continue
				}
				next.Store(int64(n)) // what comes after it is not wanted
				mu.Lock()
				if i < first {
					first, failure = i, err
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failure
}

// A slow set takes so long to read that goroutines are worth starting for it.
type slow interface{ slow() bool }

func isSlow(set Set) bool {
	s, ok := set.(slow)
	return ok && s.slow()
}

// workers is how many goroutines read a set, if want says how many or is 0.
func workers(want int, set Set) int {
	switch {
	case want > 0:
		return want
	case isSlow(set):
		return runtime.GOMAXPROCS(0)
	}
	return 1
}

// checkReading says what is wrong with the numbers that a Loader and a Stream
// have in common, if anything.
func checkReading(who string, batch, views, workers, prefetch int) error {
	switch {
	case batch < 1:
		return fmt.Errorf("data: %s.Batch is %d; want 1 or more", who, batch)
	case views < 0:
		return fmt.Errorf("data: %s.Views is %d; want 0 or more", who, views)
	case workers < 0:
		return fmt.Errorf("data: %s.Workers is %d; want 0 or more", who, workers)
	case prefetch < -1:
		return fmt.Errorf("data: %s.Prefetch is %d; want -1 or more", who, prefetch)
	}
	return nil
}
