package kernel

import (
	"cmp"
	"slices"
	"sync"
)

// A Row is what a loss looks at: a row of a student's logits and one of its
// teacher's, as distributions at one temperature, in float64.
type Row struct {
	Q, LogQ []float64 // the student's probabilities, and their logarithms
	P, LogP []float64 // the teacher's, which may be of other classes; nil without one
	Label   int       // the class, below 0 if there is none
	T       float64   // the temperature
	Params  []float64 // what else the loss depends on
	Numbers []float64 // what else it depends on that is of this row

	// Grad is the gradient by LogQ, as if its elements were free of each other. It
	// is 0 until the loss writes it. A multiple of Q in it makes no difference.
	Grad []float64

	byQ, byP []int
}

// Beside is what the rows of a loss (R, C) are compared with.
type Beside[F Float] struct {
	Teacher []F       // logits (R, K), nil without one
	Labels  []int     // (R), nil without any
	T       float64   // the temperature
	Params  []float64 // what else the loss depends on
	Numbers [][]F     // and what is of each row, (R) each
}

// EachRow is a loss f of each row of z (R, C), which f leaves the gradient of
// in the row's Grad. Rows are done side by side: f keeps nothing from one to the
// next.
func EachRow[F Float](value, grad, z []F, beside Beside[F], f func(*Row) float64) {
	c := columns(z, len(value))
	k := columns(beside.Teacher, len(value))
	Rows(len(value), 2*costOfLoss*(c+k), func(from, to int) {
		r := pooledRows.Get().(*Row)
		for i := from; i < to; i++ {
			fill(r, row(z, i, c), beside, i, len(value))
			value[i] = F(f(r))
			giveGrad(row(grad, i, c), r)
		}
		pooledRows.Put(r)
	})
}

// AllRows is a loss f of those rows of z (R, C) that have a weight, all at once:
// f leaves the gradient in the Grad of each. It is 0, with gradient 0, if there
// are none. Rows are kept in store, which the next call takes again.
func AllRows[F Float](grad, z, weight []F, beside Beside[F], store *[]*Row, f func([]*Row) float64) float64 {
	c := columns(z, len(weight))
	for len(*store) < len(weight) {
		*store = append(*store, new(Row))
	}
	n := 0
	for i, w := range weight {
		if w != 0 {
			fill((*store)[n], row(z, i, c), beside, i, len(weight))
			n++
		}
	}
	clear(grad)
	if n == 0 {
		return 0
	}
	value := f((*store)[:n])
	n = 0
	for i, w := range weight {
		if w != 0 {
			giveGrad(row(grad, i, c), (*store)[n])
			n++
		}
	}
	return value
}

var pooledRows = sync.Pool{New: func() any { return new(Row) }}

func (g Beside[F]) label(i int) int {
	if g.Labels == nil {
		return -1
	}
	return g.Labels[i]
}

// fill makes r row i of n.
func fill[F Float](r *Row, z []F, g Beside[F], i, n int) {
	r.Label, r.T, r.Params = g.label(i), g.T, g.Params
	r.Q, r.LogQ = soften(r.Q, r.LogQ, z, 1/g.T)
	r.P, r.LogP = soften(r.P, r.LogP, row(g.Teacher, i, columns(g.Teacher, n)), 1/g.T)
	r.Numbers = r.Numbers[:0]
	for _, v := range g.Numbers {
		r.Numbers = append(r.Numbers, float64(v[i]))
	}
	r.Grad = sized(r.Grad, len(z))
	clear(r.Grad)
}

// soften is softmax(z·invT) and its logarithm, in p and log if they have room.
// The logarithms are taken from the largest logit on, which loses nothing of
// them where logits are large and near each other.
func soften[F Float](p, log []float64, z []F, invT float64) (_, _ []float64) {
	p, log = sized(p, len(z)), sized(log, len(z))
	if len(z) == 0 {
		return p, log
	}
	top, sum := exponentials(p, z, invT)
	less := [1]float64{sum}
	logarithms(less[:], less[:])
	k := 1 / sum
	for c, v := range z {
		p[c] *= k
		log[c] = float64(float64(v)*invT) - top - less[0]
	}
	return p, log
}

func sized[E any](s []E, n int) []E { return slices.Grow(s[:0], n)[:n] }

// giveGrad writes the gradient by the logits, (g - Q·Σg)/T for one of g by LogQ.
func giveGrad[F Float](grad []F, r *Row) {
	sum, invT := sumAbove(r.Grad, 0), 1/r.T
	for c, g := range r.Grad {
		grad[c] = F((g - float64(r.Q[c]*sum)) * invT)
	}
}

// RankQ is the classes from the student's most probable one on; of equal ones,
// the first comes first. It is kept until the next call, as RankP is.
func (r *Row) RankQ() []int {
	r.byQ = rank(r.byQ, r.LogQ)
	return r.byQ
}

// RankP is RankQ of the teacher.
func (r *Row) RankP() []int {
	r.byP = rank(r.byP, r.LogP)
	return r.byP
}

func rank(by []int, of []float64) []int {
	by = sized(by, len(of))
	for i := range by {
		by[i] = i
	}
	slices.SortFunc(by, func(a, b int) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
	return by
}
