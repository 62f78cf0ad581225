package kernel

import "math"

// A Rotary turns each pair of elements of a head by an angle that is the position
// times the frequency of the pair: so the product of a query with a key depends on
// how far they are apart (Su et al. 2021, 2104.09864, equation 34). It turns the
// last elements of a head, all of them or fewer.
type Rotary[F Float] struct {
	half           int // pairs
	beside         bool
	cos, sin, back []F // (positions, half); back is -sin
}

// NewRotary has angles for positions from 0, and for so many elements of a head,
// an even number: pair i has frequency theta^(-2i/width). The elements of a pair
// are half of the width apart, as Llama has them, or beside each other, as
// DeepSeek has.
func NewRotary[F Float](positions, width int, theta float64, beside bool) *Rotary[F] {
	half := width / 2
	n := positions * half
	all := make([]F, 3*n)
	r := &Rotary[F]{half: half, beside: beside, cos: all[:n], sin: all[n : 2*n], back: all[2*n:]}
	for i := range half {
		frequency := math.Pow(theta, -float64(2*i)/float64(width))
		for p := range positions {
			sin, cos := math.Sincos(float64(p) * frequency)
			r.cos[p*half+i], r.sin[p*half+i], r.back[p*half+i] = F(cos), F(sin), F(-sin)
		}
	}
	return r
}

// Turn writes a head x at a position to y, which may be x.
func (r *Rotary[F]) Turn(y, x []F, position int) {
	r.turn(matrix[F]{y, 0}, matrix[F]{x, 0}, 1, len(x), position, r.sin)
}

// turn turns rows of heads, from a position on, by sin, or back by back.
func (r *Rotary[F]) turn(y, x matrix[F], rows, width, position int, sin []F) {
	still := width - 2*r.half
	if still > 0 {
		for i := range rows {
			copy(y.row(i, still), x.row(i, still))
		}
	}
	y.data, x.data = y.data[still:], x.data[still:]
	at, end := position*r.half, (position+rows)*r.half
	cos, sin := r.cos[at:end], sin[at:end]
	if !r.beside && turnFast(y, x, rows, r.half, cos, sin) {
		return
	}
	for i := range rows {
		at, end := i*r.half, (i+1)*r.half
		r.pairs(y.row(i, 2*r.half), x.row(i, 2*r.half), cos[at:end], sin[at:end])
	}
}

// pairs turns those of one head.
func (r *Rotary[F]) pairs(y, x, cos, sin []F) {
	for i, c := range cos {
		j, k := i, r.half+i
		if r.beside {
			j, k = 2*i, 2*i+1
		}
		a, b := x[j], x[k]
		y[j] = F(a*c) - F(b*sin[i])
		y[k] = F(b*c) + F(a*sin[i])
	}
}
