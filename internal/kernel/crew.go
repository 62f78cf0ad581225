package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A ranger is work on a number of items, any range of which can be done by
// itself.
type ranger interface{ do(from, to int) }

// A grained ranger is faster with multiples of its grain.
type grained interface {
	ranger
	grain() int
}

// parallel does n items of r on as many threads as Go has. Only one call at a
// time has helpers: others, which find them busy, do their work alone.
func parallel(n int, r ranger) {
	helpers := min(runtime.GOMAXPROCS(0), len(threads.helpers)+1, n) - 1
	if helpers < 1 || !threads.TryLock() {
		r.do(0, n)
		return
	}
	defer threads.Unlock()
	threads.lead(helpers, n, r)
}

// split does n items of r, on many threads if it is worth it.
func split(r ranger, n, products int) {
	if products < worth {
		r.do(0, n)
	} else {
		parallel(n, r)
	}
}

// each does n elements by f, which may be called for parts of them at once.
// Each costs as much as so many products.
func each(n, cost int, f func(from, to int)) {
	if n*cost < worth {
		f(0, n)
		return
	}
	const block = 1024 // so few are not worth sharing
	parallel((n+block-1)/block, rangerFunc(func(from, to int) { f(from*block, min(to*block, n)) }))
}

// Rows does n rows by f, which may be called for parts of them at once, where
// each row costs so much that it is worth it: cost is in products.
func Rows(n, cost int, f func(from, to int)) { split(rangerFunc(f), n, n*cost) }

type rangerFunc func(from, to int)

func (f rangerFunc) do(from, to int) { f(from, to) }

var threads crew

// A crew is the helpers of this process and the work that they share. Whoever
// holds the lock leads it. Between calls no work is kept.
type crew struct {
	sync.Mutex
	work       ranger
	n, members int
	grain      int
	next       atomic.Int64 // the first item that nobody has taken
	panicked   atomic.Pointer[any]
	helpers    [63]helper
}

func (c *crew) lead(helpers, n int, r ranger) {
	c.work, c.n, c.members, c.grain = r, n, helpers+1, 1
	if g, ok := r.(grained); ok {
		c.grain = g.grain()
	}
	c.next.Store(0)
	for i := range helpers {
		c.helpers[i].post(c)
	}
	defer c.end(helpers)
	c.share()
}

// end waits for the helpers. What one of them panicked with becomes the panic
// of the leader, which someone may recover from.
func (c *crew) end(helpers int) {
	for i := range helpers {
		c.helpers[i].join()
	}
	c.work = nil
	if why := c.panicked.Swap(nil); why != nil {
		panic(*why)
	}
}

// help is share for a helper.
func (c *crew) help() {
	defer func() {
		if why := recover(); why != nil {
			kept := why // lest every call allocates
			c.panicked.Store(&kept)
		}
	}()
	c.share()
}

// share does items until none is left. What is taken at once becomes less
// towards the end, so that all members are done at about the same time.
func (c *crew) share() {
	for {
		from := int(c.next.Load())
		if from >= c.n {
			return
		}
		to := from + max(1, (c.n-from)/(2*c.members))
		if to-from > c.grain {
			to -= (to - from) % c.grain
		}
		if c.next.CompareAndSwap(int64(from), int64(to)) {
			c.work.do(from, to)
		}
	}
}

// A helper is a goroutine that waits for more work, for a short while, and
// then ends: to start another costs little more than to wake one, and nothing
// is left behind when no kernel runs.
type helper struct {
	state atomic.Int32
	done  chan struct{} // to a leader that sleeps
}

// The states of a helper.
const (
	gone    int32 = iota // there is no goroutine
	idle                 // it is looking for work, or about to
	posted               // there is work, which it has not begun
	running              // it is at work
	awaited              // it is at work, and the leader sleeps
)

// rounds is how often a helper that has no work, or a leader that has none
// left, looks again: some 30 µs.
const rounds = 100

func (h *helper) post(c *crew) {
	if h.state.Swap(posted) == gone {
		if h.done == nil {
			h.done = make(chan struct{}, 1)
		}
		go h.serve(c)
	}
}

func (h *helper) serve(c *crew) {
	for round := 0; round < rounds || !h.state.CompareAndSwap(idle, gone); round++ {
		if !h.state.CompareAndSwap(posted, running) {
			pause(8)
			runtime.Gosched() // others may want the processor
			continue
		}
		c.help()
		if h.state.Swap(idle) == awaited {
			h.done <- struct{}{}
		}
		round = 0
	}
}

// join waits for a helper that is at work. One that has not begun, as on a
// machine with other things to do, is not waited for.
func (h *helper) join() {
	if h.state.CompareAndSwap(posted, idle) {
		return
	}
	for range rounds {
		if h.state.Load() != running {
			return
		}
		pause(8)
	}
	if h.state.CompareAndSwap(running, awaited) {
		<-h.done
	}
}
