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
func (r *Rotary[F]) Turn(y, x []F, position int) { r.turn(y, x, position, r.sin) }

// turnBack is the inverse of Turn, and its gradient.
func (r *Rotary[F]) turnBack(y, x []F, position int) { r.turn(y, x, position, r.back) }

func (r *Rotary[F]) turn(y, x []F, position int, sin []F) {
	still := len(x) - 2*r.half
	copy(y[:still], x)
	y, x = y[still:len(x)], x[still:]
	at, end := position*r.half, (position+1)*r.half
	if r.beside {
		turnBeside(y, x, r.cos[at:end], sin[at:end])
	} else {
		turnApart(y[:r.half], y[r.half:], x[:r.half], x[r.half:], r.cos[at:end], sin[at:end])
	}
}

func turnBeside[F Float](y, x, cos, sin []F) {
	for i, c := range cos {
		a, b := x[2*i], x[2*i+1]
		y[2*i] = F(a*c) - F(b*sin[i])
		y[2*i+1] = F(b*c) + F(a*sin[i])
	}
}

func turnApart[F Float](y, z, x, w, cos, sin []F) {
	done := turnFast(y, z, x, w, cos, sin)
	for i := done; i < len(cos); i++ {
		a, b := x[i], w[i]
		y[i] = F(a*cos[i]) - F(b*sin[i])
		z[i] = F(b*cos[i]) + F(a*sin[i])
	}
}
