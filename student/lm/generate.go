package lm

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/student"
)

// An engine computes what a model says, without a graph.
type engine[F kernel.Float] struct {
	Config
	sampling  Sampling
	model     *student.Model
	attention kernel.Attention // to a cache
	versions  []uint64         // of the parameters that weights were packed of
	weights   *packed[F]
	workers   []*worker[F]
}

func newEngine[F kernel.Float](c Config, s Sampling, m *student.Model) *engine[F] {
	e := &engine[F]{Config: c, sampling: s, model: m}
	if l := c.Latent; l != nil {
		e.attention = kernel.Attention{Heads: c.Heads, Shared: 1, Width: l.Rank + l.Turned, Values: l.Rank, Scale: scale(l.Plain + l.Turned)}
	} else {
		e.attention = kernel.Attention{Heads: c.Heads, Shared: c.KeyHeads, Width: c.HeadWidth, Values: c.HeadWidth, Scale: scale(c.HeadWidth)}
	}
	return e
}

// generate completes the sequences. Each thread does some of them from their
// beginning to their end, and takes the next where one has ended: nobody waits for
// others, and nothing is computed for what has ended.
func (e *engine[F]) generate(ctx context.Context, all []*sequence) error {
	if err := e.refresh(); err != nil || len(all) == 0 {
		return err
	}
	workers := e.staff(all)
	var next atomic.Int64
	kernel.Rows(len(workers), math.MaxInt32, func(from, to int) {
		for _, w := range workers[from:to] {
			w.work(ctx, all, &next)
		}
	})
	return ctx.Err()
}

// refresh packs the weights if one was written to.
func (e *engine[F]) refresh() (err error) {
	i, same := 0, e.weights != nil
	for p := range e.model.Params() {
		if i == len(e.versions) {
			e.versions = append(e.versions, 0)
		}
		same = same && e.versions[i] == p.Version()
		e.versions[i] = p.Version()
		i++
	}
	if !same {
		e.weights, err = pack[F](e.Config, e.model)
	}
	return err
}

// fewRows is how many sequences are worth a thread of their own.
const fewRows = 8

// staff are workers with room for the sequences.
func (e *engine[F]) staff(all []*sequence) []*worker[F] {
	slots, positions := min(len(all), e.sampling.Batch), 0
	for _, q := range all {
		positions = max(positions, q.prompt+q.most)
	}
	n := min(runtime.GOMAXPROCS(0), (slots+fewRows-1)/fewRows)
	slots = (slots + n - 1) / n
	for len(e.workers) < n {
		e.workers = append(e.workers, newWorker(e))
	}
	for _, w := range e.workers[:n] {
		w.make(slots, positions)
	}
	return e.workers[:n]
}

// A worker is what a thread computes some sequences with.
type worker[F kernel.Float] struct {
	*engine[F]
	*drawer[F]
	slots, positions int
	caches           []*kernel.Cache[F] // of each layer
	free             []int              // slots
	active           []*sequence

	// Of one pass.
	ids   []int
	runs  []kernel.Run
	ends  []*sequence // whose last id is among ids
	rooms rooms[F]
}

// passIDs is how many ids go through the layers at once: what is computed of them
// stays near the processor.
const passIDs = 64

func newWorker[F kernel.Float](e *engine[F]) *worker[F] {
	return &worker[F]{
		engine: e, drawer: newDrawer[F](e.sampling, e.Vocab), rooms: newRooms[F](e.Config, e.attention),
		ids: make([]int, 0, passIDs), runs: make([]kernel.Run, 0, passIDs), ends: make([]*sequence, 0, passIDs),
	}
}

// make has caches for so many sequences of so many positions, all of them free.
func (w *worker[F]) make(slots, positions int) {
	if slots > w.slots || positions > w.positions {
		w.slots, w.positions = max(slots, w.slots), max(positions, w.positions)
		rotary := kernel.NewRotary[F](w.positions, w.angles())
		w.caches = w.caches[:0]
		for range w.Layers {
			w.caches = append(w.caches, kernel.NewCache(w.slots, w.positions, w.attention, rotary))
		}
	}
	w.free, w.active = w.free[:0], w.active[:0]
	for i := range slots {
		w.free = append(w.free, i)
	}
}

// work completes sequences until there are none that nobody has taken.
func (w *worker[F]) work(ctx context.Context, all []*sequence, next *atomic.Int64) {
	for ctx.Err() == nil {
		for len(w.free) > 0 {
			i := int(next.Add(1)) - 1
			if i >= len(all) {
				break
			}
			last := len(w.free) - 1
			all[i].slot, w.free = w.free[last], w.free[:last]
			w.active = append(w.active, all[i])
		}
		if len(w.active) == 0 {
			return
		}
		w.step()
	}
}

// step adds an id to all sequences at work. Of those that are new, it computes the
// prompt first.
func (w *worker[F]) step() {
	for i := 0; i < len(w.active); {
		i = w.gather(i)
		z := w.logits()
		for j, q := range w.ends {
			w.next(q, z[j*w.Vocab:(j+1)*w.Vocab])
		}
	}
	w.active = slices.DeleteFunc(w.active, func(q *sequence) bool {
		if q.done() {
			w.free = append(w.free, q.slot)
		}
		return q.done()
	})
}

// gather has a pass take what sequences from number i on have that is not computed,
// as far as there is room, and returns the first that is not done with.
func (w *worker[F]) gather(i int) int {
	w.ids, w.runs, w.ends = w.ids[:0], w.runs[:0], w.ends[:0]
	for ; i < len(w.active) && len(w.ids) < passIDs; i++ {
		q := w.active[i]
		n := min(len(q.ids)-q.fed, passIDs-len(w.ids))
		w.runs = append(w.runs, kernel.Run{Sample: q.slot, From: q.fed, Row: len(w.ids), Rows: n})
		w.ids = append(w.ids, q.ids[q.fed:q.fed+n]...)
		if q.fed += n; q.fed < len(q.ids) {
			break
		}
		w.ends = append(w.ends, q)
	}
	return i
}
