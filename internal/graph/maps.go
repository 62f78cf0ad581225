package graph

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// AdaptiveAvgPool is the mean of images x (B, C, H, W) over h·w parts, which are
// of one size where that divides theirs, and else overlap: along an axis part i is
// ⌊i·H/h⌋ to ⌈(i+1)·H/h⌉ (torch.nn.functional.adaptive_avg_pool2d). It is (B, C,
// h, w), no larger than x.
func AdaptiveAvgPool(x *gorgonia.Node, h, w int) (*gorgonia.Node, error) {
	if err := imaged("adaptive-avg-pool", x); err != nil {
		return nil, err
	}
	if s := x.Shape(); h < 1 || w < 1 || h > s[2] || w > s[3] {
		return nil, fmt.Errorf("graph: adaptive-avg-pool: %v is to be %d by %d; want 1 or more, and no more than it has", s, h, w)
	}
	return resized("adaptive-avg-pool", x, h, w, func(i, from, to int) (int, int) {
		return i * from / to, ((i+1)*from + to - 1) / to
	})
}

// Nearest is images x (B, C, H, W) in another size, (B, C, h, w): a pixel is that
// of x at ⌊i·H/h⌋ and ⌊j·W/w⌋ (torch.nn.functional.interpolate).
func Nearest(x *gorgonia.Node, h, w int) (*gorgonia.Node, error) {
	if err := imaged("nearest", x); err != nil {
		return nil, err
	}
	if h < 1 || w < 1 {
		return nil, fmt.Errorf("graph: nearest: the size is %d by %d; want 1 or more", h, w)
	}
	return resized("nearest", x, h, w, func(i, from, to int) (int, int) { return i * from / to, i*from/to + 1 })
}

// A span is what pixel i of to sees along an axis of from pixels: those from
// first on, before last.
type span func(i, from, to int) (first, last int)

func resized(name string, x *gorgonia.Node, h, w int, sees span) (*gorgonia.Node, error) {
	s := x.Shape()
	var parts [][4]int // of the pixels of the result: rows and columns of x
	for i := range h {
		for j := range w {
			top, bottom := sees(i, s[2], h)
			left, right := sees(j, s[3], w)
			parts = append(parts, [4]int{top, bottom, left, right})
		}
	}
	shape := tensor.Shape{s[0], s[1], h, w}
	if x.Dtype() == tensor.Float64 {
		return partMeans[float64](name, x, shape, parts)
	}
	return partMeans[float32](name, x, shape, parts)
}

// partMeans is the mean of a part of x for each pixel of the result.
func partMeans[F kernel.Float](name string, x *gorgonia.Node, shape tensor.Shape, parts [][4]int) (*gorgonia.Node, error) {
	s := x.Shape()
	size, wide := s[2]*s[3], s[3]
	// each calls f with a pixel of the result and each row of pixels that it sees.
	each := func(y, x []F, f func(y *F, x []F, share F)) {
		kernel.Rows(s[0]*s[1], 2*(size+len(parts)), func(from, to int) {
			for plane := from; plane < to; plane++ {
				y, x := y[plane*len(parts):], x[plane*size:]
				for at, p := range parts {
					for i := p[0]; i < p[1]; i++ {
						f(&y[at], x[i*wide+p[2]:i*wide+p[3]], 1/F((p[1]-p[0])*(p[3]-p[2])))
					}
				}
			}
		})
	}
	o := &op{name: name, shape: shape, wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		y := floats[F](o.value)
		clear(y)
		each(y, floats[F](v[0]), func(y *F, x []F, share F) {
			for _, v := range x {
				*y += share * v
			}
		})
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: name + ".dx", shape: s}
		d.run = func(v []gorgonia.Value) {
			dx := floats[F](d.value)
			clear(dx)
			each(floats[F](v[0]), dx, func(dy *F, dx []F, share F) {
				for i := range dx {
					dx[i] += share * *dy
				}
			})
		}
		dx, err := apply[F](d, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// Energy is the mean over C of |x|^p for maps x (B, C, ...), flat: (B, n).
func Energy(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if x.Dims() < 3 || !(p >= 1) || math.IsInf(p, 0) {
		return nil, fmt.Errorf("graph: energy: x is %v and the power %v; want (B, C, ...) and 1 or more", x.Shape(), p)
	}
	if x.Dtype() == tensor.Float64 {
		return energy[float64](x, p)
	}
	return energy[float32](x, p)
}

func energy[F kernel.Float](x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	s := x.Shape()
	channels, size, share := s[1], s[2:].TotalSize(), 1/float64(s[1])
	// each calls f with the pixels of the result and those of each channel.
	each := func(y []F, f func(y []F, from, to int)) {
		kernel.Rows(s[0], 4*channels*size, func(from, to int) {
			for c := from * channels; c < to*channels; c++ {
				f(y[c/channels*size:(c/channels+1)*size], c*size, (c+1)*size)
			}
		})
	}
	o := &op{name: "energy", shape: tensor.Shape{s[0], size}, wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		y, x := floats[F](o.value), floats[F](v[0])
		clear(y)
		each(y, func(y []F, from, to int) {
			for i, x := range x[from:to] {
				y[i] += F(share * raise(math.Abs(float64(x)), p))
			}
		})
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "energy.dx", shape: s}
		d.run = func(v []gorgonia.Value) {
			dx, x := floats[F](d.value), floats[F](v[0])
			each(floats[F](v[1]), func(dy []F, from, to int) {
				dx := dx[from:to]
				for i, x := range x[from:to] {
					dx[i] = F(share * p * float64(dy[i]) * slope(float64(x), p-1))
				}
			})
		}
		dx, err := apply[F](d, x, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// slope is |x|^p with the sign of x, and 0 at 0.
func slope(x, p float64) float64 {
	if x == 0 {
		return 0
	}
	return math.Copysign(raise(math.Abs(x), p), x)
}

// raise is x^p for x of 0 or more, quick where p is 1 or 2.
func raise(x, p float64) float64 {
	switch p {
	case 1:
		return x
	case 2:
		return x * x
	}
	return math.Pow(x, p)
}

// Normalize is x (B, ..., C) with each row of its last axis divided by its norm,
// or by 1e-12 if that is larger (torch.nn.functional.normalize). Such a row has
// no gradient.
func Normalize(x *gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dims() < 2 {
		return nil, fmt.Errorf("graph: normalize: x is %v; want (B, ..., C)", x.Shape())
	}
	if x.Dtype() == tensor.Float64 {
		return normalized[float64](x)
	}
	return normalized[float32](x)
}

func normalized[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	norm := make([]float64, s.TotalSize()/s[len(s)-1])
	o := &op{name: "normalize", shape: s, wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		y := floats[F](o.value)
		copy(y, floats[F](v[0]))
		normalize(y, norm)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "normalize.dx", shape: s}
		d.run = func(v []gorgonia.Value) {
			dx := floats[F](d.value)
			copy(dx, floats[F](v[1]))
			normalizeGrad(dx, floats[F](v[0]), norm)
		}
		dx, err := apply[F](d, y, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// Products is factor·a·bᵀ for each sample of a (B, C, ...) and b (B, D, ...),
// with all but their channels flat: (B, C, D).
func Products(a, b *gorgonia.Node, factor float64) (*gorgonia.Node, error) {
	s, t := a.Shape(), b.Shape()
	if len(s) < 3 || len(t) < 3 || s[0] != t[0] || s[2:].TotalSize() != t[2:].TotalSize() {
		return nil, fmt.Errorf("graph: products: the sides are %v and %v; want (B, C, n) and (B, D, n)", s, t)
	}
	if a.Dtype() == tensor.Float64 {
		return products[float64](a, b, factor)
	}
	return products[float32](a, b, factor)
}

func products[F kernel.Float](a, b *gorgonia.Node, factor float64) (*gorgonia.Node, error) {
	s, t := a.Shape(), b.Shape()
	samples, c, d, n := s[0], s[1], t[1], s[2:].TotalSize()
	o := &op{name: "products", shape: tensor.Shape{samples, c, d}, wrt: []bool{true, true}}
	o.run = func(v []gorgonia.Value) {
		y, a, b := floats[F](o.value), floats[F](v[0]), floats[F](v[1])
		for i := range samples {
			kernel.Gemm(false, true, c, d, n, a[i*c*n:], b[i*d*n:], y[i*c*d:], false)
		}
		kernel.ScaleRows(y, y, []F{F(factor)})
	}
	// side is the gradient of one of the sides, (B, rows, n), by the other, (B,
	// inner, n).
	side := func(name string, by, dy *gorgonia.Node, turned bool, shape tensor.Shape, rows, inner int) (*gorgonia.Node, error) {
		g := &op{name: name, shape: shape}
		g.run = func(v []gorgonia.Value) {
			dst, by, dy := floats[F](g.value), floats[F](v[0]), floats[F](v[1])
			for i := range samples {
				kernel.Gemm(turned, false, rows, n, inner, dy[i*c*d:], by[i*inner*n:], dst[i*rows*n:], false)
			}
			kernel.ScaleRows(dst, dst, []F{F(factor)})
		}
		return apply[F](g, by, dy)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		da, err := side("products.da", b, dy, false, s, c, d)
		if err != nil {
			return nil, err
		}
		db, err := side("products.db", a, dy, true, t, d, c)
		return []*gorgonia.Node{da, db}, err
	}
	return apply[F](o, a, b)
}

// Blend is Σ factors[i]·parts[i] for parts of one shape (B, ...).
func Blend(parts []*gorgonia.Node, factors []float64) (*gorgonia.Node, error) {
	if len(parts) == 0 || len(parts) != len(factors) {
		return nil, fmt.Errorf("graph: blend: %d parts and %d factors; want one each", len(parts), len(factors))
	}
	for _, p := range parts {
		if p.Dims() == 0 || !slices.Equal(p.Shape(), parts[0].Shape()) {
			return nil, fmt.Errorf("graph: blend: the parts are %v and %v; want one shape (B, ...)", parts[0].Shape(), p.Shape())
		}
	}
	if parts[0].Dtype() == tensor.Float64 {
		return blend[float64](parts, factors)
	}
	return blend[float32](parts, factors)
}

func blend[F kernel.Float](parts []*gorgonia.Node, factors []float64) (*gorgonia.Node, error) {
	o := &op{name: "blend", shape: parts[0].Shape(), wrt: slices.Repeat([]bool{true}, len(parts))}
	o.run = func(v []gorgonia.Value) {
		y := floats[F](o.value)
		clear(y)
		for i, part := range v {
			for j, x := range floats[F](part) {
				y[j] += F(factors[i] * float64(x))
			}
		}
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		all := make([]*gorgonia.Node, len(parts))
		for i, k := range factors {
			d := &op{name: "blend.dx", shape: o.shape}
			d.run = func(v []gorgonia.Value) { kernel.ScaleRows(floats[F](d.value), floats[F](v[0]), []F{F(k)}) }
			var err error
			if all[i], err = apply[F](d, dy); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	return apply[F](o, parts...)
}

// MeanSquare is the mean of the squares of each sample of x (B, ...): (B).
func MeanSquare(x *gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dims() < 2 {
		return nil, fmt.Errorf("graph: mean square: x is %v; want (B, ...)", x.Shape())
	}
	s := x.Shape()
	z, err := Reshape(x, s[0], s[1:].TotalSize())
	switch {
	case err != nil:
		return nil, err
	case x.Dtype() == tensor.Float64:
		return rowLoss("mean square", meanSquare[float64], 0, z)
	}
	return rowLoss("mean square", meanSquare[float32], 0, z)
}

func meanSquare[F kernel.Float](value, grad, z []F, _ []gorgonia.Value) {
	c := len(z) / len(value)
	for r := range value {
		value[r] = F(kernel.SumSquares(z[r*c:(r+1)*c]) / float64(c))
	}
	kernel.ScaleRows(grad, z, []F{F(2 / float64(c))})
}
