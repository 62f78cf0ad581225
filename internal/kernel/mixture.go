package kernel

import (
	"fmt"
	"math"
)

// Routing says which experts a token goes to, of those that suit it best, as
// DeepSeek-V3 has it (2412.19437, equations 12 to 16).
type Routing struct {
	Experts int `json:"experts"` // how many there are
	Each    int `json:"each"`    // how many a token goes to
	Groups  int `json:"groups"`  // parts of the experts, of one size
	// Kept is how many of the groups a token chooses from: those whose two best
	// experts suit it best.
	Kept      int     `json:"kept"`
	Normalize bool    `json:"normalize,omitempty"` // the weights of a token have the sum 1, before Factor
	Factor    float64 `json:"factor"`              // times the weights
}

// Check wants groups of one size, and as many experts to choose from as a token goes
// to.
func (r Routing) Check() error {
	const most = 1 << 16
	switch {
	case r.Experts < 1 || r.Experts > most || r.Groups < 1 || r.Experts%r.Groups != 0 || r.Kept < 1 || r.Kept > r.Groups:
		return fmt.Errorf("%d groups of %d experts, of which %d are kept; want 1 to %d experts, a divisor, and 1 or more of them", r.Groups, r.Experts, r.Kept, most)
	case r.Each < 1 || r.Each > r.Kept*(r.Experts/r.Groups):
		return fmt.Errorf("a token goes to %d experts; want 1 to %d", r.Each, r.Kept*(r.Experts/r.Groups))
	}
	return nil
}

// Route writes the weight of each expert for each token to y (rows, Experts), 0 of
// those that a token does not go to. How well experts suit it is the logistic
// function of z (rows, Experts); bias (Experts) is added for the choice alone. Of
// equals the first is taken.
func Route[F Float](y, z, bias []F, r Routing) {
	n := r.Experts
	rows := len(z) / n
	if rows*16*n < worth {
		routeRows(y, z, bias, r, 0, rows) // without the allocation of a closure
		return
	}
	Rows(rows, 16*n, func(from, to int) { routeRows(y, z, bias, r, from, to) })
}

func routeRows[F Float](y, z, bias []F, r Routing, from, to int) {
	n := r.Experts
	scratch := borrow[float64](2*n + 2*r.Groups)
	defer giveBack(scratch)
	suits, choice, groups := (*scratch)[:n], (*scratch)[n:2*n], (*scratch)[2*n:]
	for t := from; t < to; t++ {
		for e, v := range z[t*n : (t+1)*n] {
			suits[e] = logistic(float64(v))
			choice[e] = suits[e] + float64(bias[e])
		}
		if r.Kept < r.Groups {
			r.keep(choice, groups[:r.Groups], groups[r.Groups:])
		}
		row := y[t*n : (t+1)*n]
		sum := takeBest(row, choice, r.Each, suits)
		if !r.Normalize {
			sum = 1
		}
		for e, taken := range row {
			if taken != 0 {
				row[e] = F(r.Factor * suits[e] / sum)
			}
		}
	}
}

// keep leaves the experts of the groups that a token chooses from; groups and kept
// are scratch.
func (r Routing) keep(choice, groups, kept []float64) {
	size := r.Experts / r.Groups
	for g := range groups {
		first, second := math.Inf(-1), math.Inf(-1)
		for _, v := range choice[g*size : (g+1)*size] {
			if v > first {
				first, second = v, first
			} else {
				second = max(second, v)
			}
		}
		if groups[g] = first; size > 1 {
			groups[g] += second
		}
	}
	takeBest(kept, groups, r.Kept, groups)
	for e := range choice {
		if kept[e/size] == 0 {
			choice[e] = math.Inf(-1)
		}
	}
}

// takeBest makes taken 1 where the n largest elements of x are, the first of equals,
// and else 0. It returns the sum of what they suit, from the largest on.
func takeBest[F Float](taken []F, x []float64, n int, suits []float64) float64 {
	clear(taken)
	sum := 1e-20
	for range n {
		top := -1
		for i, v := range x {
			if taken[i] == 0 && (top < 0 || v > x[top]) {
				top = i
			}
		}
		taken[top] = 1
		sum += suits[top]
	}
	return sum
}

// RouteGrad writes the gradient of z, given what Route wrote to y and its
// gradient. The choice has none.
func RouteGrad[F Float](dz, z, y, dy []F, r Routing) {
	n := r.Experts
	Rows(len(z)/n, 16*n, func(from, to int) {
		suits := make([]float64, n)
		for t := from; t < to; t++ {
			at, end := t*n, (t+1)*n
			sum, along := 1e-20, 0.0
			for e, v := range z[at:end] {
				suits[e] = logistic(float64(v))
				if y[at+e] != 0 {
					sum += suits[e]
					along += suits[e] * float64(dy[at+e])
				}
			}
			for e, s := range suits {
				d := r.Factor * float64(dy[at+e])
				if r.Normalize {
					d = r.Factor * (float64(dy[at+e]) - along/sum) / sum
				}
				if y[at+e] == 0 {
					d = 0
				}
				dz[at+e] = F(d * s * (1 - s))
			}
		}
	})
}

// Experts are networks down(SiLU(gate(x))·up(x)), of which each row goes to some.
type Experts[F Float] struct {
	Width, Inner   int
	Gate, Up, Down [][]F // (Inner, Width), (Inner, Width) and (Width, Inner) of each expert
}

// Forward writes the sum of what experts make of x (rows, Width), each times its
// weight in w (rows, experts), to y. An expert of weight 0 is not asked.
func (e Experts[F]) Forward(y, x, w []F) {
	clear(y)
	for i := range e.Gate {
		a := e.ask(i, x, w)
		out := borrow[F](len(a.rows) * e.Width)
		Gemm(false, true, len(a.rows), e.Width, e.Inner, *a.inner, e.Down[i], *out, false)
		for j, r := range a.rows {
			addScaled(y[r*e.Width:(r+1)*e.Width], (*out)[j*e.Width:(j+1)*e.Width], w[r*len(e.Gate)+i])
		}
		giveBack(out)
		a.end()
	}
}

// addScaled adds k·x to y.
func addScaled[F Float](y, x []F, k F) {
	for i, v := range x {
		y[i] += F(k * v)
	}
}

// An asked expert has the rows that go to it, and what it makes of them.
type asked[F Float] struct {
	rows []int
	// x are the rows, sides what gate and up make of them, inner what SwiGLU does,
	// and joined the weights of gate and up.
	x, sides, inner, joined *[]F
}

func (a asked[F]) end() {
	for _, s := range []*[]F{a.x, a.sides, a.inner, a.joined} {
		giveBack(s)
	}
}

func (e Experts[F]) ask(i int, x, w []F) asked[F] {
	var a asked[F]
	for r := range len(x) / e.Width {
		if w[r*len(e.Gate)+i] != 0 {
			a.rows = append(a.rows, r)
		}
	}
	n := len(a.rows)
	a.x, a.joined = someRows(x, a.rows, e.Width), borrow[F](2*e.Inner*e.Width)
	a.sides, a.inner = borrow[F](n*2*e.Inner), borrow[F](n*e.Inner)
	copy(*a.joined, e.Gate[i])
	copy((*a.joined)[e.Inner*e.Width:], e.Up[i])
	Gemm(false, true, n, 2*e.Inner, e.Width, *a.x, *a.joined, *a.sides, false)
	SwiGLU(*a.inner, *a.sides, e.Inner)
	return a
}

// someRows are some rows of x, in scratch.
func someRows[F Float](x []F, rows []int, width int) *[]F {
	some := borrow[F](len(rows) * width)
	for j, r := range rows {
		copy((*some)[j*width:(j+1)*width], x[r*width:])
	}
	return some
}

// An Expert is one network down(SiLU(gate(x))·up(x)) whose weights have a form of
// their own: Sides are gate and up, one after the other (2·Inner, Width), and Back is
// down (Width, Inner).
type Expert[F Float] struct {
	Sides, Back interface {
		Linear(y, x, bias []F, rows int, act Act)
	}
	Inner int
}

// Mix is [Experts.Forward] of such experts, which have one Inner. It computes some of
// the rows of an expert at a time, so that scratch does not grow with their number.
func Mix[F Float](y, x, w []F, experts []Expert[F], width int) {
	inner := experts[0].Inner
	m := mixing[F]{width: width, most: max(1, min(mixRows, 1<<20/(2*inner)))}
	scratch := borrow[F](m.most * (2*width + 3*inner))
	defer giveBack(scratch)
	m.some, m.made, m.rest = (*scratch)[:m.most*width], (*scratch)[m.most*width:2*m.most*width], (*scratch)[2*m.most*width:]
	clear(y)
	for e := range experts {
		m.ask(y, x, w, experts, e)
	}
}

// mixRows is how many rows go through an expert at once, at most.
const mixRows = 64

// mixing is scratch: rows that go to an expert, what it makes of them, and what comes
// between.
type mixing[F Float] struct {
	width, most      int
	some, made, rest []F
	asked            [mixRows]int // where the rows are
}

// ask adds what expert e makes of the rows that go to it.
func (m *mixing[F]) ask(y, x, w []F, experts []Expert[F], e int) {
	n, rows := 0, len(x)/m.width
	for r := range rows {
		if w[r*len(experts)+e] != 0 {
			copy(m.some[n*m.width:], x[r*m.width:(r+1)*m.width])
			m.asked[n] = r
			n++
		}
		if n == m.most || r == rows-1 && n > 0 {
			m.answer(&experts[e], n)
			for i, r := range m.asked[:n] {
				addScaled(y[r*m.width:(r+1)*m.width], m.made[i*m.width:(i+1)*m.width], w[r*len(experts)+e])
			}
			n = 0
		}
	}
}

func (m *mixing[F]) answer(e *Expert[F], rows int) {
	sides, between := m.rest[:rows*2*e.Inner], m.rest[rows*2*e.Inner:][:rows*e.Inner]
	e.Sides.Linear(sides, m.some, nil, rows, Identity)
	SwiGLU(between, sides, e.Inner)
	e.Back.Linear(m.made, between, nil, rows, Identity)
}

// Backward writes the gradients of x, w and the parameters, which has room for
// them, given that of what Forward writes. What experts made is computed again.
func (e Experts[F]) Backward(dx, dw []F, grads Experts[F], x, w, dy []F) {
	clear(dx)
	clear(dw)
	for i := range e.Gate {
		a := e.ask(i, x, w)
		n, size := len(a.rows), e.Inner*e.Width
		dout := someRows(dy, a.rows, e.Width)
		dinner, dsides, drows, djoined := borrow[F](n*e.Inner), borrow[F](n*2*e.Inner), borrow[F](n*e.Width), borrow[F](2*size)
		Gemm(false, false, n, e.Inner, e.Width, *dout, e.Down[i], *dinner, false)
		for j, r := range a.rows {
			k := w[r*len(e.Gate)+i]
			inner, d := (*a.inner)[j*e.Inner:(j+1)*e.Inner], (*dinner)[j*e.Inner:(j+1)*e.Inner]
			dw[r*len(e.Gate)+i] = dot(inner, d)
			scale(d, d, k)
			scale((*dout)[j*e.Width:(j+1)*e.Width], (*dout)[j*e.Width:(j+1)*e.Width], k)
		}
		Gemm(true, false, e.Width, e.Inner, n, *dout, *a.inner, grads.Down[i], false)
		SwiGLUGrad(*dsides, *a.sides, *dinner, e.Inner)
		Gemm(true, false, 2*e.Inner, e.Width, n, *dsides, *a.x, *djoined, false)
		copy(grads.Gate[i], (*djoined)[:size])
		copy(grads.Up[i], (*djoined)[size:])
		Gemm(false, false, n, e.Width, 2*e.Inner, *dsides, *a.joined, *drows, false)
		for j, r := range a.rows {
			row := dx[r*e.Width : (r+1)*e.Width]
			addBlock(row, row, (*drows)[j*e.Width:(j+1)*e.Width], Identity)
		}
		for _, s := range []*[]F{dout, dinner, dsides, drows, djoined} {
			giveBack(s)
		}
		a.end()
	}
}

// dot is the sum of the products of x and y.
func dot[F Float](x, y []F) (sum F) {
	for i, v := range x {
		sum += F(v * y[i])
	}
	return sum
}

// Balance writes Σ f_e·s_e to y, for each token of texts, as [Texts] has them, with z
// and what Route made of it: f_e is how often the tokens of its text go to expert e,
// 1 if to all as often, and s_e that expert's share of how well all suit the token.
func Balance[F Float](y, z, weights []F, texts []int, r Routing) {
	suits := make([]float64, r.Experts)
	for i, from := range texts[:len(texts)-1] {
		often := often(weights, from, texts[i+1], r)
		for t := from; t < texts[i+1]; t++ {
			_, along := share(suits, z[t*r.Experts:], often)
			y[t] = F(along)
		}
	}
}

// BalanceGrad writes the gradient of z, given that of what Balance writes. How
// often tokens go to an expert has none.
func BalanceGrad[F Float](dz, z, weights, dy []F, texts []int, r Routing) {
	suits := make([]float64, r.Experts)
	for i, from := range texts[:len(texts)-1] {
		often := often(weights, from, texts[i+1], r)
		for t := from; t < texts[i+1]; t++ {
			total, along := share(suits, z[t*r.Experts:], often)
			for e, s := range suits {
				dz[t*r.Experts+e] = F(float64(dy[t]) * (often[e] - along) / total * s * (1 - s))
			}
		}
	}
}

// often is how often the tokens from one to another go to each expert, 1 if to all
// as often.
func often[F Float](weights []F, from, to int, r Routing) []float64 {
	counts := make([]float64, r.Experts)
	for i, w := range weights[from*r.Experts : to*r.Experts] {
		if w != 0 {
			counts[i%r.Experts]++
		}
	}
	for e := range counts {
		counts[e] *= float64(r.Experts) / float64(r.Each*(to-from))
	}
	return counts
}

// share writes how well experts suit a token to suits, and returns the sum, and
// the mean of often by it.
func share[F Float](suits []float64, z []F, often []float64) (total, along float64) {
	for e := range suits {
		suits[e] = logistic(float64(z[e]))
		total += suits[e]
		along += often[e] * suits[e]
	}
	return total, along / total
}
