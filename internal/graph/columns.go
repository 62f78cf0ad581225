package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Columns is elements [from, to) of the last axis of x (B, ...).
func Columns(x *gorgonia.Node, from, to int) (*gorgonia.Node, error) {
	if x.Dims() < 2 || from < 0 || to <= from || to > x.Shape()[x.Dims()-1] {
		return nil, fmt.Errorf("graph: columns: x is %v; want (B, ...) with elements %d to %d on its last axis", x.Shape(), from, to)
	}
	if x.Dtype() == tensor.Float64 {
		return columns[float64](x, from, to)
	}
	return columns[float32](x, from, to)
}

func columns[F kernel.Float](x *gorgonia.Node, from, to int) (*gorgonia.Node, error) {
	shape := x.Shape().Clone()
	width, n := shape[len(shape)-1], to-from
	shape[len(shape)-1] = n
	o := &op{name: "columns", shape: shape, wrt: []bool{true}}
	o.lower = &plan.Step{Op: "columns", From: from, Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.Columns(floats[F](o.value), floats[F](v[0]), width, from, n)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "columns.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			dx, dy := floats[F](d.value), floats[F](v[0])
			clear(dx)
			for r := range len(dy) / n {
				copy(dx[r*width+from:], dy[r*n:(r+1)*n])
			}
		}
		dx, err := apply[F](d, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// Concat is a (B, ..., C) and b (B, ..., D) side by side: (B, ..., C+D).
func Concat(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	last := a.Dims() - 1
	if a.Dims() < 2 || b.Dims() != a.Dims() || !a.Shape()[:last].Eq(b.Shape()[:last]) {
		return nil, fmt.Errorf("graph: beside: the inputs are %v and %v; want (B, ..., C) and (B, ..., D)", a.Shape(), b.Shape())
	}
	if a.Dtype() == tensor.Float64 {
		return beside[float64](a, b)
	}
	return beside[float32](a, b)
}

func beside[F kernel.Float](a, b *gorgonia.Node) (*gorgonia.Node, error) {
	shape := a.Shape().Clone()
	last := len(shape) - 1
	first, width := shape[last], shape[last]+b.Shape()[last]
	shape[last] = width
	o := &op{name: "beside", shape: shape, wrt: []bool{true, true}}
	o.lower = &plan.Step{Op: "beside", Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.SideBySide(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), first, width)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		da, err := columns[F](dy, 0, first)
		if err != nil {
			return nil, err
		}
		db, err := columns[F](dy, first, width)
		return []*gorgonia.Node{da, db}, err
	}
	return apply[F](o, a, b)
}

// Shift is what x (B, T, ...) has by positions later, at each position: before for
// a negative one, and 0 where there is none. With segments (B, T) of tensor.Int, or
// nil, none comes from another text; see [kernel.Texts].
func Shift(x, segments *gorgonia.Node, by int) (*gorgonia.Node, error) {
	if x.Dims() < 2 {
		return nil, fmt.Errorf("graph: shift: x is %v; want (B, T, ...)", x.Shape())
	}
	t, err := textsOf("shift", x, segments)
	if err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return shift[float64](x, t, by)
	}
	return shift[float32](x, t, by)
}

func shift[F kernel.Float](x *gorgonia.Node, t *texts, by int) (*gorgonia.Node, error) {
	size := x.Shape().TotalSize() / (t.samples * t.positions)
	o := &op{name: "shift", shape: x.Shape()}
	in := t.after(o, x)
	o.lower = &plan.Step{Op: "shift", By: by, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.Shift(floats[F](o.value), floats[F](v[0]), t.in(v), by, size)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := shift[F](dy, t, -by)
		return onlyFirst(dx, in), err
	}
	return apply[F](o, in...)
}

// LatentHeads is a row of queries, keys and values for [Attention], of queries q
// (B, T, Heads·(Plain+Turned)), keys and values kv (B, T, Heads·(Plain+Values)) and
// what the keys share, shared (B, T, Turned).
func LatentHeads(q, kv, shared *gorgonia.Node, l kernel.Latent) (*gorgonia.Node, error) {
	for i, width := range []int{l.Heads * l.Width(), l.Heads * (l.Plain + l.Values), l.Turned} {
		if n := []*gorgonia.Node{q, kv, shared}[i]; n.Dims() != 3 || !n.Shape()[:2].Eq(q.Shape()[:2]) || n.Shape()[2] != width {
			return nil, fmt.Errorf("graph: latent heads: input %d is %v; want (B, T, %d)", i, n.Shape(), width)
		}
	}
	if q.Dtype() == tensor.Float64 {
		return latentHeads[float64](q, kv, shared, l)
	}
	return latentHeads[float32](q, kv, shared, l)
}

func latentHeads[F kernel.Float](q, kv, shared *gorgonia.Node, l kernel.Latent) (*gorgonia.Node, error) {
	shape := q.Shape().Clone()
	shape[2] = l.Row()
	o := &op{name: "latent-heads", shape: shape, wrt: []bool{true, true, true}}
	o.lower = &plan.Step{Op: "latentheads", Latent: &l, Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.LatentHeads(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2]), l)
	}
	o.diff = func(_, dy *gorgonia.Node) (all []*gorgonia.Node, err error) {
		for i, of := range []*gorgonia.Node{q, kv, shared} {
			d := &op{name: "latent-heads.dx", shape: of.Shape()}
			d.run = func(v []gorgonia.Value) {
				var one [3][]F
				one[i] = floats[F](d.value)
				kernel.LatentHeadsGrad(one[0], one[1], one[2], floats[F](v[0]), l)
			}
			n, err := apply[F](d, dy)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return all, nil
	}
	return apply[F](o, q, kv, shared)
}
