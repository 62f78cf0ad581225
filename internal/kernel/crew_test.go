package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// counting counts how often each item is done.
type counting struct {
	items []atomic.Int32
	slow  time.Duration
}

func (c *counting) do(from, to int) {
	for i := from; i < to; i++ {
		c.items[i].Add(1)
		if c.slow > 0 {
			time.Sleep(c.slow)
		}
	}
}

func (c *counting) check(t *testing.T) {
	for i := range c.items {
		if n := c.items[i].Load(); n != 1 {
			t.Errorf("item %d of %d was done %d times", i, len(c.items), n)
		}
	}
}

func TestParallel(t *testing.T) {
	defer goleak.VerifyNone(t)
	threaded(func(threads int) {
		for _, n := range []int{0, 1, 2, 3, 5, 100, 1001} {
			c := counting{items: make([]atomic.Int32, n)}
			parallel(n, &c)
			c.check(t)
		}
	})
}

// A helper may be late, and the leader may have to sleep until it is done.
func TestParallelSlow(t *testing.T) {
	defer goleak.VerifyNone(t)
	threaded(func(threads int) {
		c := counting{make([]atomic.Int32, 5), 2 * time.Millisecond}
		parallel(5, &c)
		c.check(t)
		time.Sleep(time.Millisecond) // helpers end
	})
}

// Many goroutines at once get what one alone gets.
func TestConcurrentCalls(t *testing.T) {
	defer goleak.VerifyNone(t)
	paths(t, func(t *testing.T) {
		const m, n, k = 23, 50, 70
		x, w := random[float32](m*k, 1), random[float32](n*k, 2)
		want := make([]float32, m*n)
		Linear(want, x, w, nil, m, k, n, Tanh)
		threaded(func(threads int) {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					y := make([]float32, m*n)
					for range 30 {
						if Linear(y, x, w, nil, m, k, n, Tanh); !same(y, want) {
							t.Errorf("another result on %d threads", threads)
						}
					}
				})
			}
			all.Wait()
		})
	})
	if threads.work != nil {
		t.Error("the crew keeps its last work")
	}
}

// A panic of a helper reaches the caller, and the crew works on.
func TestParallelPanics(t *testing.T) {
	defer goleak.VerifyNone(t)
	threaded(func(threads int) {
		for bad := range 6 {
			func() {
				defer func() {
					if got := recover(); got != bad {
						t.Errorf("panic of %v, want %v", got, bad)
					}
				}()
				Rows(6, 1, func(from, to int) {
					time.Sleep(100 * time.Microsecond)
					if from <= bad && bad < to {
						panic(bad)
					}
				})
			}()
		}
		c := counting{items: make([]atomic.Int32, 100)}
		parallel(100, &c)
		c.check(t)
	})
}

func BenchmarkParallel(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	c := counting{items: make([]atomic.Int32, 2)}
	b.ReportAllocs()
	for b.Loop() {
		parallel(2, &c)
	}
}

// BenchmarkBeside is a product on two threads: alone, beside one goroutine that
// computes another, as a teacher beside its student does, and beside three that
// only keep the processors busy. What shares them takes its share, and no more.
func BenchmarkBeside(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const m, n, k = 128, 800, 784
	product := func() func() {
		x, w, y := random[float32](m*k, 1), random[float32](n*k, 2), make([]float32, m*n)
		return func() { Linear(y, x, w, nil, m, k, n, Tanh) }
	}
	spin := func() { pause(1000) }
	for _, bench := range []struct {
		name   string
		others []func()
	}{{"nothing", nil}, {"a product", []func(){product()}}, {"busy goroutines", []func(){spin, spin, spin}}} {
		b.Run(bench.name, func(b *testing.B) {
			var left atomic.Bool
			var all sync.WaitGroup
			for _, other := range bench.others {
				all.Go(func() {
					for !left.Load() {
						other()
					}
				})
			}
			defer all.Wait()
			defer left.Store(true)
			for do := product(); b.Loop(); {
				do()
			}
		})
	}
}
