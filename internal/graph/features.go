package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// Gaussian is the mean over a sample's elements of ½((t - μ)²/σ² + log σ²) for μ
// and the constant t, both (B, C, ...), with the variance log(1 + exp(s)) + eps of
// each channel for s (C): (B). It has gradients by μ and s (Ahn et al. 2019,
// 1904.05835, section 2).
func Gaussian(mu, t, s *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	switch {
	case mu.Dims() < 2 || !mu.Shape().Eq(t.Shape()) || !s.Shape().Eq(mu.Shape()[1:2]):
		return nil, fmt.Errorf("graph: gaussian: the mean is %v, the target %v, the scale %v; want (B, C, ...) twice and (C)", mu.Shape(), t.Shape(), s.Shape())
	case mu.Dtype() == tensor.Float64:
		return gaussian[float64](mu, t, s, eps)
	}
	return gaussian[float32](mu, t, s, eps)
}

func gaussian[F kernel.Float](mu, t, s *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	shape := mu.Shape()
	rows, channels, size := shape[0], shape[1], shape[2:].TotalSize()
	grad, scales := make([]F, shape.TotalSize()), make([]F, rows*channels)
	o := &op{name: "gaussian", shape: shape[:1].Clone(), wrt: []bool{true, false, true}}
	o.run = func(v []gorgonia.Value) {
		value, mu, t, k := floats[F](o.value), floats[F](v[0]), floats[F](v[1]), 1/float64(channels*size)
		sums := make([]float64, rows)
		for i, s := range floats[F](v[2]) {
			variance, slope := softplus(float64(s))
			variance += eps
			for r := range rows {
				at, off := (r*channels+i)*size, 0.0
				for j := at; j < at+size; j++ {
					d := float64(mu[j]) - float64(t[j])
					off += d * d
					grad[j] = F(k * d / variance)
				}
				sums[r] += 0.5 * k * (off/variance + float64(size)*math.Log(variance))
				scales[r*channels+i] = F(0.5 * k * slope * (float64(size) - off/variance) / variance)
			}
		}
		for r, sum := range sums {
			value[r] = F(sum)
		}
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dmu := &op{name: "gaussian.dmu", shape: shape}
		dmu.run = func(v []gorgonia.Value) { kernel.ScaleRows(floats[F](dmu.value), grad, floats[F](v[0])) }
		ds := &op{name: "gaussian.ds", shape: s.Shape()}
		ds.run = func(v []gorgonia.Value) {
			kernel.Gemm(false, false, 1, channels, rows, floats[F](v[0]), scales, floats[F](ds.value), false)
		}
		byMu, err := apply[F](dmu, dy, y)
		if err != nil {
			return nil, err
		}
		byS, err := apply[F](ds, dy, y)
		return []*gorgonia.Node{byMu, nil, byS}, err
	}
	return apply[F](o, mu, t, s)
}

// softplus is log(1 + exp(x)), with its derivative.
func softplus(x float64) (value, slope float64) {
	return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))), 1 / (1 + math.Exp(-x))
}

// Partial is the sum over a sample's elements of (z - max(t, m))², but where z is
// below a t that is no more than 0, which costs nothing, for z and the constant t,
// both (B, C, ...), and the margin m of each channel: (B) (Heo et al. 2019,
// 1904.01866, section 3).
func Partial(z, t *gorgonia.Node, margin []float64) (*gorgonia.Node, error) {
	if z.Dims() < 2 || !z.Shape().Eq(t.Shape()) || len(margin) != z.Shape()[1] {
		return nil, fmt.Errorf("graph: partial: the sides are %v and %v, with %d margins; want (B, C, ...) twice and C", z.Shape(), t.Shape(), len(margin))
	}
	shape := z.Shape()
	z, err := Reshape(z, shape[0], shape[1:].TotalSize())
	if err != nil {
		return nil, err
	}
	if t, err = Reshape(t, z.Shape()...); err != nil {
		return nil, err
	}
	return pairLoss("partial", partial[float32](margin), partial[float64](margin), z, t)
}

func partial[F kernel.Float](margin []float64) pairFunc[F] {
	return func(value, grad, z, t []F) {
		row := len(z) / len(value)
		size := row / len(margin)
		kernel.Rows(len(value), 4*row, func(from, to int) {
			for r := from; r < to; r++ {
				sum := 0.0
				for c, m := range margin {
					at := r*row + c*size
					sum = partialOf(grad[at:at+size], z[at:at+size], t[at:at+size], m, sum)
				}
				value[r] = F(sum)
			}
		})
	}
}

// partialOf is sum and what the elements of a channel add to it.
func partialOf[F kernel.Float](grad, z, t []F, margin, sum float64) float64 {
	for i, z := range z {
		t := float64(t[i])
		d := float64(z) - max(t, margin)
		if t <= 0 {
			d = max(d, 0)
		}
		sum += float64(d * d)
		grad[i] = F(2 * d)
	}
	return sum
}

// Gate is x·g₀ + y·g₁ for maps x and y (B, C, H, W) and two gates of each pixel,
// g (B, 2, H, W), which all channels share.
func Gate(x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	switch {
	case len(s) != 4 || !s.Eq(y.Shape()) || !g.Shape().Eq(tensor.Shape{s[0], 2, s[2], s[3]}):
		return nil, fmt.Errorf("graph: gate: the maps are %v and %v, the gates %v; want (B, C, H, W) twice and (B, 2, H, W)", s, y.Shape(), g.Shape())
	case x.Dtype() == tensor.Float64:
		return gate[float64](x, y, g)
	}
	return gate[float32](x, y, g)
}

func gate[F kernel.Float](x, y, g *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	size := s[2] * s[3]
	// each calls f with each element and where its gates are.
	each := func(f func(i, first, second int)) {
		kernel.Rows(s[0], 4*s[1]*size, func(from, to int) {
			for c := from * s[1]; c < to*s[1]; c++ {
				first := c / s[1] * 2 * size
				for i := range size {
					f(c*size+i, first+i, first+size+i)
				}
			}
		})
	}
	o := &op{name: "gate", shape: s, wrt: []bool{true, true, true}}
	o.run = func(v []gorgonia.Value) {
		dst, x, y, g := floats[F](o.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2])
		each(func(i, first, second int) { dst[i] = x[i]*g[first] + y[i]*g[second] })
	}
	o.diff = func(_, dz *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx := &op{name: "gate.dx", shape: s}
		dx.run = func(v []gorgonia.Value) {
			dst, dz, g := floats[F](dx.value), floats[F](v[0]), floats[F](v[1])
			each(func(i, first, _ int) { dst[i] = dz[i] * g[first] })
		}
		dy := &op{name: "gate.dy", shape: s}
		dy.run = func(v []gorgonia.Value) {
			dst, dz, g := floats[F](dy.value), floats[F](v[0]), floats[F](v[1])
			each(func(i, _, second int) { dst[i] = dz[i] * g[second] })
		}
		dg := &op{name: "gate.dg", shape: g.Shape()}
		dg.run = func(v []gorgonia.Value) {
			dst, dz, x, y := floats[F](dg.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2])
			clear(dst)
			each(func(i, first, second int) {
				dst[first] += dz[i] * x[i]
				dst[second] += dz[i] * y[i]
			})
		}
		grads := make([]*gorgonia.Node, 3)
		var err error
		if grads[0], err = apply[F](dx, dz, g); err != nil {
			return nil, err
		}
		if grads[1], err = apply[F](dy, dz, g); err != nil {
			return nil, err
		}
		grads[2], err = apply[F](dg, dz, x, y)
		return grads, err
	}
	return apply[F](o, x, y, g)
}

// Channels is maps x (B, C, ...) and y (B, D, ...) as one, (B, C+D, ...).
func Channels(x, y *gorgonia.Node) (*gorgonia.Node, error) {
	s, t := x.Shape(), y.Shape()
	if len(s) < 2 || len(t) != len(s) || s[0] != t[0] || !s[2:].Eq(t[2:]) {
		return nil, fmt.Errorf("graph: channels: the maps are %v and %v; want (B, C, ...) and (B, D, ...)", s, t)
	}
	shape := s.Clone()
	shape[1] += t[1]
	if x.Dtype() == tensor.Float64 {
		return joined[float64](x, y, shape)
	}
	return joined[float32](x, y, shape)
}

func joined[F kernel.Float](x, y *gorgonia.Node, shape tensor.Shape) (*gorgonia.Node, error) {
	rows := shape[0]
	a, b := x.Shape().TotalSize()/rows, y.Shape().TotalSize()/rows
	o := &op{name: "channels", shape: shape, wrt: []bool{true, true}}
	o.run = func(v []gorgonia.Value) {
		dst, x, y := floats[F](o.value), floats[F](v[0]), floats[F](v[1])
		for r := range rows {
			copy(dst[r*(a+b):], x[r*a:(r+1)*a])
			copy(dst[r*(a+b)+a:], y[r*b:(r+1)*b])
		}
	}
	part := func(name string, dz *gorgonia.Node, shape tensor.Shape, from, n int) (*gorgonia.Node, error) {
		d := &op{name: name, shape: shape}
		d.run = func(v []gorgonia.Value) {
			dst, dz := floats[F](d.value), floats[F](v[0])
			for r := range rows {
				copy(dst[r*n:(r+1)*n], dz[r*(a+b)+from:])
			}
		}
		return apply[F](d, dz)
	}
	o.diff = func(_, dz *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := part("channels.dx", dz, x.Shape(), 0, a)
		if err != nil {
			return nil, err
		}
		dy, err := part("channels.dy", dz, y.Shape(), a, b)
		return []*gorgonia.Node{dx, dy}, err
	}
	return apply[F](o, x, y)
}
