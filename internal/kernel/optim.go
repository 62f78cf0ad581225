package kernel

import "math"

// costOfUpdate is how many products the update of a weight costs.
const costOfUpdate = 16

// Adam is one step of that optimizer, and of AdamW. With w a weight, g its
// gradient, and moments m and v:
//
//	w = Keep*w
//	d = g + Decay*w
//	m = m + B1*(d-m)
//	v = B2*v + C2*d²
//	w = w - Rate*m/(sqrt(v)*Scale + Epsilon)
//
// The order of operations is PyTorch's, so that float32 rounds alike, but for
// Scale: PyTorch divides by its inverse, which takes half as long again.
type Adam[F Float] struct {
	Keep, Decay, B1, B2, C2, Rate, Scale, Epsilon F
}

// Update takes the step for weights w, whose gradient is g. All have one length.
func (o *Adam[F]) Update(w, g, m, v []F) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	if len(w)*costOfUpdate < worth {
		o.update(w, g, m, v) // without the allocations of a closure
		return
	}
	kept := *o
	each(len(w), costOfUpdate, func(from, to int) { kept.update(w[from:to], g[from:to], m[from:to], v[from:to]) })
}

func (o *Adam[F]) update(w, g, m, v []F) {
	for i := o.fast(w, g, m, v); i < len(w); i++ {
		x := w[i] * o.Keep
		d := g[i] + o.Decay*x
		m[i] += o.B1 * (d - m[i])
		v[i] = o.B2*v[i] + o.C2*d*d
		w[i] = x - o.Rate*m[i]/(F(math.Sqrt(float64(v[i])))*o.Scale+o.Epsilon)
	}
}

// SGD is one step of stochastic gradient descent. With w a weight, g its
// gradient, and v its velocity:
//
//	d = g + Decay*w
//	v = Momentum*v + d
//	w = w - Rate*v                  or, with Nesterov:
//	w = w - Rate*(d + Momentum*v)
//
// The order of operations is PyTorch's, so that float32 rounds alike.
type SGD[F Float] struct {
	Rate, Decay, Momentum F
	Nesterov              bool
}

// Update takes the step for weights w, whose gradient is g. All have one
// length; without Momentum, v is not used.
func (o *SGD[F]) Update(w, g, v []F) {
	if o.Momentum == 0 {
		v = w // which is not used, and has the length
	}
	g, v = g[:len(w)], v[:len(w)]
	if len(w)*costOfUpdate < worth {
		o.update(w, g, v) // without the allocations of a closure
		return
	}
	kept := *o
	each(len(w), costOfUpdate, func(from, to int) { kept.update(w[from:to], g[from:to], v[from:to]) })
}

func (o *SGD[F]) update(w, g, v []F) {
	if o.Momentum == 0 {
		o.descend(w, g)
	} else {
		o.roll(w, g, v)
	}
}

func (o *SGD[F]) descend(w, g []F) {
	for i := o.fast(w, g, nil); i < len(w); i++ {
		w[i] -= o.Rate * (g[i] + o.Decay*w[i])
	}
}

// roll is a step with momentum.
func (o *SGD[F]) roll(w, g, v []F) {
	for i := o.fast(w, g, v); i < len(w); i++ {
		d := g[i] + o.Decay*w[i]
		v[i] = o.Momentum*v[i] + d
		if o.Nesterov {
			d += o.Momentum * v[i]
		} else {
			d = v[i]
		}
		w[i] -= o.Rate * d
	}
}
