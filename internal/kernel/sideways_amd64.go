package kernel

import (
	"math"
	"sync"
)

// A sideways job computes y = act(x·wᵀ + bias) as the transpose of w·xᵀ. To
// bring a w that changes from step to step into panels costs as much as tens of
// rows of x do: here its rows are read as they lie, and what is turned on its
// side is x, and at the end y, both of which are small. The bits are the same:
// the sums are over the same products, in the same order.
type sideways struct {
	product[float32]              // as it was asked for
	x                rightPacking // the panels of x
	turned           []float32    // what w·xᵀ comes to, (n, m)
}

var sidewaysJobs = sync.Pool{New: func() any { return new(sideways) }}

// sideways says whether that is quicker.
func (p product[F]) sideways() bool {
	least := 4 // elements of w to one of x and y
	if simd512 {
		least = 2 // products take half as long
	}
	return p.tb && !p.ta && !p.acc && p.packed == nil && p.half == nil && p.m > 1 && least*p.m*(p.n+p.k) < p.n*p.k
}

func multiplySideways(p product[float32]) {
	s := sidewaysJobs.Get().(*sideways)
	defer sidewaysJobs.Put(s)
	x := newJob(product[float32]{tb: true, n: p.m, k: p.k, b: p.a})
	panels, turned := borrow[float32](x.columns*tileColumns*p.k), borrow[float32](p.n*p.m)
	defer giveBack(panels)
	defer giveBack(turned)
	*s = sideways{p, rightPacking{x, *panels}, *turned}
	split(&s.x, x.columns, tileColumns*len(*panels))
	multiply32(product[float32]{tb: true, m: p.n, n: p.m, k: p.k, a: p.b, packed: *panels, c: *turned})
	split(s, (p.n+7)/8, 8*len(*turned))
	s.activate()
	*s = sideways{}
}

// rightPacking packs panels of B.
type rightPacking struct {
	job
	packed []float32
}

func (r *rightPacking) do(from, to int) {
	for panel := from; panel < to; panel++ {
		r.packRight(r.packed[r.place(panel, 0):], panel, 0, r.k)
	}
}

// do delivers some groups of 8 columns of y.
func (s *sideways) do(from, to int) {
	for j := 8 * from; j < min(8*to, s.n); j += 8 {
		done := 0
		if j+8 <= s.n {
			done = s.m &^ 7
			s.deliver(j, done)
		}
		s.deliverRest(j, min(j+8, s.n), done)
	}
}

// deliver does the first rows of 8 columns from j.
func (s *sideways) deliver(j, rows int) {
	if rows == 0 {
		return
	}
	var columns [8]*float32
	bias, mode := nothing, 0
	for c := range columns {
		columns[c] = &s.turned[(j+c)*s.m]
	}
	if s.bias != nil {
		copy(bias[:], s.bias[j:])
	}
	if s.act == ReLU {
		mode = modeReLU
	}
	deliver8(&s.c[j], 4*s.n, &columns, rows/8, &bias, mode)
}

// nothing is what changes no number that it is added to.
var nothing = func() (zeros [8]float32) {
	for i := range zeros {
		zeros[i] = float32(math.Copysign(0, -1))
	}
	return zeros
}()

// deliverRest does the rows behind done of columns [from, to).
func (s *sideways) deliverRest(from, to, done int) {
	for i := done; i < s.m; i++ {
		y := s.c[i*s.n+from : i*s.n+to]
		for c := range y {
			y[c] = s.turned[(from+c)*s.m+i]
			if s.bias != nil {
				y[c] += s.bias[from+c]
			}
		}
		if s.act == ReLU {
			activate(y, y, ReLU)
		}
	}
}

// activate does what delivery does not.
func (s *sideways) activate() {
	if s.act > ReLU {
		Activate(s.c, s.c, s.act)
	}
}
