package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Embed is the rows of table (V, D) that ids, (B) or (B, T) of tensor.Int, name:
// (B, D) or (B, T, D). A run fails on an id that is not 0 to V-1, padding's too.
func Embed(table, ids *gorgonia.Node) (*gorgonia.Node, error) {
	if table.Dims() != 2 || ids.Dims() == 0 || ids.Dtype() != tensor.Int {
		return nil, fmt.Errorf("graph: embed: the table is %v and the ids %v of %v; want (V, D), and (B) or (B, T) of int", table.Shape(), ids.Shape(), ids.Dtype())
	}
	if table.Dtype() == tensor.Float64 {
		return embed[float64](table, ids)
	}
	return embed[float32](table, ids)
}

func embed[F kernel.Float](table, ids *gorgonia.Node) (*gorgonia.Node, error) {
	size, width := table.Shape()[0], table.Shape()[1]
	o := &op{name: "embed", ints: 1, shape: append(ids.Shape(), width), wrt: []bool{true, false}}
	if size <= kernel.MaxIDs {
		o.lower = &plan.Step{Op: "embed", Shape: sample(o.shape)}
	}
	o.run = func(v []gorgonia.Value) {
		ids := ints(v[1])
		if err := CheckIDs(ids, o.shape, size); err != nil {
			panic(err)
		}
		kernel.Embed(floats[F](o.value), floats[F](v[0]), ids, width)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "embed.dtable", ints: 1, shape: table.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.EmbedGrad(floats[F](d.value), floats[F](v[0]), ints(v[1]), width)
		}
		n, err := apply[F](d, dy, ids, y) // y has checked the ids
		return []*gorgonia.Node{n, nil}, err
	}
	return apply[F](o, table, ids)
}

// CheckIDs refuses the first of the ids, (B, ...), that a table of that size does
// not have.
func CheckIDs(ids []int, shape tensor.Shape, size int) error {
	for i, id := range ids {
		if id < 0 || id >= size {
			each := len(ids) / shape[0]
			return fmt.Errorf("the id is %d at position %d of sample %d; want 0 to %d", id, i%each, i/each, size-1)
		}
	}
	return nil
}

// RMSNorm is x/√(mean(x²)+eps)·weight over the last axis of x (B, ..., D), with a
// weight (D) (Zhang and Sennrich 2019, 1910.07467; torch.nn.RMSNorm).
func RMSNorm(x, weight *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	if x.Dims() < 2 || !weight.Shape().Eq(x.Shape()[x.Dims()-1:]) {
		return nil, fmt.Errorf("graph: rms norm: x is %v and the weight %v; want (B, ..., D) and (D)", x.Shape(), weight.Shape())
	}
	if err := checkEps("rms norm", eps); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return rmsNorm[float64](x, weight, eps)
	}
	return rmsNorm[float32](x, weight, eps)
}

func rmsNorm[F kernel.Float](x, weight *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	width := weight.Shape()[0]
	inverse := make([]F, x.Shape().TotalSize()/width)
	o := &op{name: "rms-norm", shape: x.Shape(), wrt: []bool{true, true}}
	o.lower = &plan.Step{Op: "rmsnorm", Eps: eps, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.RMSNorm(floats[F](o.value), inverse, floats[F](v[0]), floats[F](v[1]), eps)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		sum := make([]F, width) // which is taken together with the other
		d := &op{name: "rms-norm.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.RMSNormGrad(floats[F](d.value), sum, inverse, floats[F](v[0]), floats[F](v[1]), floats[F](v[2]))
		}
		dx, err := apply[F](d, x, weight, dy, y) // y orders it behind the forward pass
		if err != nil {
			return nil, err
		}
		dw, err := kept(sum, "rms-norm.dw", weight.Shape(), dx)
		return []*gorgonia.Node{dx, dw}, err
	}
	return apply[F](o, x, weight)
}

// kept is what the op of another node, which it comes behind, has left in v.
func kept[F kernel.Float](v []F, name string, shape tensor.Shape, behind *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: name, shape: shape}
	o.run = func([]gorgonia.Value) { copy(floats[F](o.value), v) }
	return apply[F](o, behind)
}

// SwiGLU is SiLU(gate)·up for x (B, ..., 2·D), whose last axis is that of gate and
// then that of up (Shazeer 2020, 2002.05202).
func SwiGLU(x *gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dims() < 2 || x.Shape()[x.Dims()-1]%2 != 0 {
		return nil, fmt.Errorf("graph: swiglu: x is %v; want (B, ..., 2·D)", x.Shape())
	}
	if x.Dtype() == tensor.Float64 {
		return swiGLU[float64](x)
	}
	return swiGLU[float32](x)
}

func swiGLU[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	shape := x.Shape().Clone()
	width := shape[len(shape)-1] / 2
	shape[len(shape)-1] = width
	o := &op{name: "swiglu", shape: shape, wrt: []bool{true}}
	o.lower = &plan.Step{Op: "swiglu", Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) { kernel.SwiGLU(floats[F](o.value), floats[F](v[0]), width) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "swiglu.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.SwiGLUGrad(floats[F](d.value), floats[F](v[0]), floats[F](v[1]), width)
		}
		dx, err := apply[F](d, x, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// A Rotary is a [kernel.Rotary] of either dtype.
type Rotary struct {
	kernel.Angles
	single    *kernel.Rotary[float32]
	double    *kernel.Rotary[float64]
	positions int
}

// NewRotary has angles for so many positions; see [kernel.NewRotary].
func NewRotary(d tensor.Dtype, positions int, a kernel.Angles) (*Rotary, error) {
	if positions < 1 || a.Width < 2 || a.Width%2 != 0 || !(a.Theta > 0) {
		return nil, fmt.Errorf("graph: rotary: %d positions, %d elements and theta %v; want 1 or more, an even number, and above 0", positions, a.Width, a.Theta)
	}
	if err := a.Stretch.Check(); err != nil {
		return nil, fmt.Errorf("graph: rotary: %w", err)
	}
	r := &Rotary{Angles: a, positions: positions}
	if d == tensor.Float64 {
		r.double = kernel.NewRotary[float64](positions, a)
	} else {
		r.single = kernel.NewRotary[float32](positions, a)
	}
	return r, nil
}

// of is the rotary of F, nil if r is nil.
func of[F kernel.Float](r *Rotary) (k *kernel.Rotary[F]) {
	if r == nil {
		return nil
	}
	switch k := any(&k).(type) {
	case **kernel.Rotary[float32]:
		*k = r.single
	case **kernel.Rotary[float64]:
		*k = r.double
	}
	return k
}

// Attention is causal attention for x (B, T, ...), a row of which has the query
// heads, then those of keys and those of values: (B, T, Heads·Values). Queries and
// Keys of the attention are T, whatever they say. A rotary that is not nil turns
// queries and keys first. With segments (B, T) of tensor.Int, or nil, each text is
// as it is alone; see [kernel.AttendTexts]. Its gradient computes scores again, so
// that memory is linear in T; see [kernel.Attention].
func Attention(x, segments *gorgonia.Node, a kernel.Attention, rotary *Rotary) (*gorgonia.Node, error) {
	switch {
	case min(a.Heads, a.Shared, a.Width, a.Values) < 1 || a.Heads%a.Shared != 0:
		return nil, fmt.Errorf("graph: attention: there are %d heads of width %d, with %d of keys and values of width %d; want 1 or more, and a divisor of the heads", a.Heads, a.Width, a.Shared, a.Values)
	case x.Dims() != 3 || x.Shape()[2] != a.Row():
		return nil, fmt.Errorf("graph: attention: x is %v; want (B, T, %d)", x.Shape(), a.Row())
	case rotary != nil && (rotary.Width > a.Width || rotary.positions < x.Shape()[1]):
		return nil, fmt.Errorf("graph: attention: the rotary is for %d positions and %d elements of a head; there are %d and %d", rotary.positions, rotary.Width, x.Shape()[1], a.Width)
	}
	t, err := textsOf("attention", x, segments)
	if err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return attention(x, t, a, of[float64](rotary), lowered(a, rotary))
	}
	return attention(x, t, a, of[float32](rotary), lowered(a, rotary))
}

// lowered is the attention of a step of a plan.
func lowered(a kernel.Attention, r *Rotary) *plan.Attention {
	p := &plan.Attention{Heads: a.Heads, Shared: a.Shared, Width: a.Width, Values: a.Values, Scale: a.Scale}
	if r != nil {
		p.Turned, p.Theta, p.Beside, p.Stretch = r.Width, r.Theta, r.Beside, r.Stretch
	}
	return p
}

func attention[F kernel.Float](x *gorgonia.Node, t *texts, a kernel.Attention, rotary *kernel.Rotary[F], lower *plan.Attention) (*gorgonia.Node, error) {
	width := a.Heads * a.Values
	lse := make([]F, t.samples*t.positions*a.Heads)
	o := &op{name: "attention", shape: tensor.Shape{t.samples, t.positions, width}}
	in := t.after(o, x)
	o.lower = &plan.Step{Op: "attention", Attention: lower, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		q, k, values := kernel.Split(floats[F](v[0]), a)
		kernel.AttendTexts(kernel.Positions[F]{Data: floats[F](o.value), Apart: width}, lse, q, k, values, t.in(v), a, rotary)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "attention.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			q, k, values := kernel.Split(floats[F](v[0]), a)
			dq, dk, dv := kernel.Split(floats[F](d.value), a)
			kernel.AttendTextsGrad(dq, dk, dv, lse, q, k, values, kernel.Positions[F]{Data: floats[F](v[1]), Apart: width}, t.last, a, rotary)
		}
		dx, err := apply[F](d, x, dy, y) // y orders it behind the forward pass
		return onlyFirst(dx, in), err
	}
	return apply[F](o, in...)
}

// Linears is several linear layers of one x (B, ..., in), side by side: x·wᵀ + b
// for each w (out, in) and b (out), where the sum of all out is the last axis.
// Biases are as many, or none. For version see [LinearOf].
func Linears(x *gorgonia.Node, ws, bs []*gorgonia.Node, version func() uint64) (*gorgonia.Node, error) {
	if x.Dims() < 2 || len(ws) == 0 || len(bs) > 0 && len(bs) != len(ws) {
		return nil, fmt.Errorf("graph: linears: x is %v, with %d weights and %d biases; want (B, ..., in), one or more, and as many or none", x.Shape(), len(ws), len(bs))
	}
	width := x.Shape()[x.Dims()-1]
	for i, w := range ws {
		if w.Dims() != 2 || w.Shape()[1] != width {
			return nil, fmt.Errorf("graph: linears: x is %v and weight %d %v; want (B, ..., in) and (out, in)", x.Shape(), i, w.Shape())
		}
		if len(bs) > 0 && !bs[i].Shape().Eq(w.Shape()[:1]) {
			return nil, fmt.Errorf("graph: linears: bias %d is %v; want (%d)", i, bs[i].Shape(), w.Shape()[0])
		}
	}
	if x.Dtype() == tensor.Float64 {
		return linears[float64](x, ws, bs, version)
	}
	return linears[float32](x, ws, bs, version)
}

func linears[F kernel.Float](x *gorgonia.Node, ws, bs []*gorgonia.Node, version func() uint64) (*gorgonia.Node, error) {
	shape := x.Shape().Clone()
	width, out := shape[len(shape)-1], 0
	rows := shape.TotalSize() / width
	for _, w := range ws {
		out += w.Shape()[0]
	}
	shape[len(shape)-1] = out
	in := slices.Concat([]*gorgonia.Node{x}, ws, bs)
	w, packed := make([]F, out*width), packing[F]{version: version}
	var bias []F
	if len(bs) > 0 {
		bias = make([]F, out)
	}
	o := &op{name: "linears", shape: shape, wrt: slices.Repeat([]bool{true}, len(in))}
	o.lower = &plan.Step{Op: "linears", Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) {
		join(bias, v[1+len(ws):])
		y, x := floats[F](o.value), floats[F](v[0])
		if p := packed.of(w, width, out); p != nil {
			p.Linear(y, x, bias, rows, kernel.Identity)
			return
		}
		join(w, v[1:1+len(ws)])
		kernel.Linear(y, x, w, bias, rows, width, out, kernel.Identity)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		return linearsGrad(x, y, dy, ws, bs, w)
	}
	return apply[F](o, in...)
}

// join copies values one after the other.
func join[F kernel.Float](dst []F, values []gorgonia.Value) {
	for _, v := range values {
		dst = dst[copy(dst, floats[F](v)):]
	}
}

// linearsGrad has the gradients of all weights in one product, and then cuts them
// apart. w are the weights as the forward pass joined them.
func linearsGrad[F kernel.Float](x, y, dy *gorgonia.Node, ws, bs []*gorgonia.Node, w []F) ([]*gorgonia.Node, error) {
	width := x.Shape()[x.Dims()-1]
	out, rows := len(w)/width, x.Shape().TotalSize()/width
	dx := &op{name: "linears.dx", shape: x.Shape()}
	dx.run = func(v []gorgonia.Value) {
		kernel.Gemm(false, false, rows, width, out, floats[F](v[0]), w, floats[F](dx.value), false)
	}
	dw := &op{name: "linears.dw", shape: tensor.Shape{out, width}}
	dw.run = func(v []gorgonia.Value) {
		kernel.Gemm(true, false, out, width, rows, floats[F](v[0]), floats[F](v[1]), floats[F](dw.value), false)
	}
	first, err := apply[F](dx, dy, y) // y orders it behind the forward pass
	if err != nil {
		return nil, err
	}
	all, err := apply[F](dw, dy, x)
	if err != nil {
		return nil, err
	}
	byWeights, err := cut[F](all, ws)
	if err != nil || len(bs) == 0 {
		return append([]*gorgonia.Node{first}, byWeights...), err
	}
	db := &op{name: "linears.db", shape: tensor.Shape{out}}
	db.run = func(v []gorgonia.Value) { kernel.SumColumns(floats[F](db.value), floats[F](v[0]), rows, out) }
	if all, err = apply[F](db, dy); err != nil {
		return nil, err
	}
	byBiases, err := cut[F](all, bs)
	return slices.Concat([]*gorgonia.Node{first}, byWeights, byBiases), err
}

// cut takes the gradients of some nodes out of one, where they are one after the
// other.
func cut[F kernel.Float](all *gorgonia.Node, of []*gorgonia.Node) (grads []*gorgonia.Node, err error) {
	from := 0
	for _, n := range of {
		at, o := from, &op{name: "part", shape: n.Shape()}
		o.run = func(v []gorgonia.Value) { copy(floats[F](o.value), floats[F](v[0])[at:]) }
		g, err := apply[F](o, all)
		if err != nil {
			return nil, err
		}
		grads, from = append(grads, g), from+n.Shape().TotalSize()
	}
	return grads, nil
}
