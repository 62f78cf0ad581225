package lm

import (
	"errors"
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// A drawer draws ids from logits, (Vocab).
type drawer[F kernel.Float] struct {
	Sampling
	p         []F   // the probabilities of ids
	all       []int // ids in their order
	heap, top []int // scratch: ids, the most probable first
}

func newDrawer[F kernel.Float](s Sampling, vocab int) *drawer[F] {
	ids := make([]int, 3*vocab)
	d := &drawer[F]{Sampling: s, p: make([]F, vocab), all: ids[:vocab], heap: ids[vocab : 2*vocab], top: ids[2*vocab:]}
	for i := range d.all {
		d.all[i] = i
	}
	return d
}

var errLogits = errors.New("its logits are not finite")

// next adds to a sequence what is drawn from the logits after it.
func (d *drawer[F]) next(q *sequence, z []F) {
	lse := kernel.LogSumExp(z, 1)
	id, drawn := d.draw(z, uniform(d.Seed, q.id, uint64(len(q.ids))))
	logProb := float64(z[id]) - lse
	if logProb-logProb != 0 || drawn-drawn != 0 {
		q.err = errLogits
		return
	}
	q.add(id, logProb, drawn, d.stops(id))
}

func (d *drawer[F]) stops(id int) bool {
	for _, s := range d.Stop {
		if s == id {
			return true
		}
	}
	return false
}

// uniform is a number from 0 to 1, without 1, of what it is for.
func uniform(seed, id, position uint64) float64 {
	return float64(graph.Hash(seed, id, position)>>11) / (1 << 53)
}

// draw is an id, and the logarithm of the probability with which it is drawn, given
// a number from 0 to 1.
func (d *drawer[F]) draw(z []F, u float64) (id int, logProb float64) {
	if d.Temperature == 0 {
		return first(z), 0
	}
	kernel.Softmax(d.p, z, 1/d.Temperature)
	kept := d.keep()
	sum := d.sum(kept)
	rest := u * sum
	for _, id = range kept {
		if rest -= float64(d.p[id]); rest < 0 {
			break
		}
	}
	if d.p[id] == 0 { // by rounding, behind all that have any probability
		id = first(d.p)
	}
	return id, math.Log(float64(d.p[id]) / sum)
}

// first is the largest element, the first of equals.
func first[F kernel.Float](x []F) int {
	top := 0
	for i, v := range x {
		if v > x[top] {
			top = i
		}
	}
	return top
}

func (d *drawer[F]) sum(ids []int) (sum float64) {
	for _, id := range ids {
		sum += float64(d.p[id])
	}
	return sum
}

// keep are the ids that may be drawn.
func (d *drawer[F]) keep() []int {
	some := d.TopK > 0 && d.TopK < len(d.all)
	if !some && d.TopP == 1 {
		return d.all
	}
	top := d.top[:0]
	d.order()
	if some {
		for range d.TopK {
			top = append(top, d.pop())
		}
		return top[:d.nucleus(top)]
	}
	// One after the other: a nucleus has few of many.
	share, sum := d.TopP*d.sum(d.all), 0.0
	for sum < share && len(d.heap) > 0 {
		id := d.pop()
		top, sum = append(top, id), sum+float64(d.p[id])
	}
	return top
}

// nucleus is how many of ids, the most probable first, come to the share TopP.
func (d *drawer[F]) nucleus(ids []int) int {
	share, sum := d.TopP*d.sum(ids), 0.0
	for n, id := range ids {
		if sum >= share {
			return n
		}
		sum += float64(d.p[id])
	}
	return len(ids)
}

// order makes a heap of all ids, whose first is the most probable.
func (d *drawer[F]) order() {
	d.heap = d.heap[:copy(d.heap[:len(d.all)], d.all)]
	for i := len(d.heap)/2 - 1; i >= 0; i-- {
		d.sink(i)
	}
}

// pop takes the most probable id from the heap.
func (d *drawer[F]) pop() int {
	id, last := d.heap[0], len(d.heap)-1
	d.heap[0] = d.heap[last]
	d.heap = d.heap[:last]
	d.sink(0)
	return id
}

func (d *drawer[F]) sink(i int) {
	h := d.heap
	for {
		next := 2*i + 1
		if next+1 < len(h) && d.before(h[next+1], h[next]) {
			next++
		}
		if next >= len(h) || !d.before(h[next], h[i]) {
			return
		}
		h[i], h[next] = h[next], h[i]
		i = next
	}
}

// before says that a is more probable than b, or as probable and lower.
func (d *drawer[F]) before(a, b int) bool {
	return d.p[a] > d.p[b] || d.p[a] == d.p[b] && a < b
}
