package kernel

import (
	"fmt"
	"math"
)

// A Rotary turns each pair of elements of a head by an angle that is the position
// times the frequency of the pair: so the product of a query with a key depends on
// how far they are apart (Su et al. 2021, 2104.09864, equation 34). It turns the
// last elements of a head, all of them or fewer.
type Rotary[F Float] struct {
	half           int // pairs
	beside         bool
	cos, sin, back []F // (positions, half); back is -sin
}

// Angles are those of a rotary: pair i of the elements that are turned has frequency
// Theta^(-2i/Width), or what a Stretch makes of it.
type Angles struct {
	Width int // elements of a head that are turned, an even number
	Theta float64
	// Beside says that the elements of a pair are beside each other, as DeepSeek has
	// them; else they are half of Width apart, as Llama has them.
	Beside  bool
	Stretch *Stretch // nil for none
}

// A Stretch makes frequencies lower, so that a model works for longer sequences than
// it was trained on. Without High it divides all by Factor (Chen et al. 2023,
// 2306.15595). With it, those that turn High times or more in Trained positions stay
// as they are, those that turn Low times or less are divided, and between them it
// goes from one to the other, as Llama 3.1 has it ("llama3" in transformers,
// modeling_rope_utils.py).
type Stretch struct {
	Factor  float64 `json:"factor"`
	Low     float64 `json:"low_freq_factor,omitempty"`
	High    float64 `json:"high_freq_factor,omitempty"`
	Trained int     `json:"original_max_position_embeddings,omitempty"`
}

// Check wants numbers that make frequencies lower, and above 0.
func (s *Stretch) Check() error {
	finite := func(v float64) bool { return v-v == 0 }
	switch {
	case s == nil:
	case !(s.Factor >= 1) || !finite(s.Factor):
		return fmt.Errorf("a factor of %v; want a finite number, 1 or more", s.Factor)
	case s.High == 0 && s.Low == 0 && s.Trained == 0:
	case !(s.Low > 0) || !(s.High > s.Low) || !finite(s.High) || s.Trained < 1:
		return fmt.Errorf("frequencies from %v to %v turns in %d positions; want the first above 0, the second above it and finite, and 1 or more", s.Low, s.High, s.Trained)
	}
	return nil
}

// of is what becomes of a frequency.
func (s *Stretch) of(frequency float64) float64 {
	if s == nil {
		return frequency
	}
	lower := frequency / s.Factor
	if s.High == 0 {
		return lower
	}
	turns := float64(s.Trained) * frequency / (2 * math.Pi)
	kept := min(max((turns-s.Low)/(s.High-s.Low), 0), 1)
	return (1-kept)*lower + kept*frequency
}

// NewRotary has angles for positions from 0.
func NewRotary[F Float](positions int, a Angles) *Rotary[F] {
	half := a.Width / 2
	n := positions * half
	all := make([]F, 3*n)
	r := &Rotary[F]{half: half, beside: a.Beside, cos: all[:n], sin: all[n : 2*n], back: all[2*n:]}
	for i := range half {
		frequency := a.Stretch.of(math.Pow(a.Theta, -float64(2*i)/float64(a.Width)))
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
