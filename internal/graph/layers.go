package graph

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Linear is act(x·wᵀ + b) for x (B, ..., in), w (out, in) as PyTorch keeps it,
// and b (out) or nil. It is (B, ..., out).
func Linear(x, w, b *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	return LinearOf(x, w, b, act, nil)
}

// LinearOf is [Linear] of a w that does not change while its version, if that
// is not nil, does not: it is then packed once for many runs.
func LinearOf(x, w, b *gorgonia.Node, act kernel.Act, version func() uint64) (*gorgonia.Node, error) {
	if x.Dtype() == tensor.Float64 {
		return linear[float64](x, w, b, act, version)
	}
	return linear[float32](x, w, b, act, version)
}

func linear[F kernel.Float](x, w, b *gorgonia.Node, act kernel.Act, version func() uint64) (*gorgonia.Node, error) {
	if _, err := kernel.ParseAct(act.String()); err != nil {
		return nil, fmt.Errorf("graph: linear: %w", err)
	}
	if act.ByInput() {
		return activated[F](act)(linear[F](x, w, b, kernel.Identity, version))
	}
	shape := x.Shape()
	if len(shape) < 2 || w.Dims() != 2 || shape[len(shape)-1] != w.Shape()[1] {
		return nil, fmt.Errorf("graph: linear: x is %v and w %v; want (B, ..., in) and (out, in)", shape, w.Shape())
	}
	width, out := w.Shape()[1], w.Shape()[0]
	rows := shape.TotalSize() / width
	shape[len(shape)-1] = out
	in := []*gorgonia.Node{x, w}
	if b != nil {
		if !b.Shape().Eq(tensor.Shape{out}) {
			return nil, fmt.Errorf("graph: linear: the bias is %v; want (%d)", b.Shape(), out)
		}
		in = append(in, b)
	}
	o := &op{name: "linear", shape: shape, wrt: slices.Repeat([]bool{true}, len(in))}
	o.lower = &plan.Step{Op: "linear", Act: act.String(), Shape: sample(shape)}
	packed := packing[F]{version: version}
	o.run = func(v []gorgonia.Value) {
		var bias []F
		if b != nil {
			bias = floats[F](v[2])
		}
		y, x, w := floats[F](o.value), floats[F](v[0]), floats[F](v[1])
		if p := packed.of(w, width, out); p != nil {
			p.Linear(y, x, bias, rows, act)
		} else {
			kernel.Linear(y, x, w, bias, rows, width, out, act)
		}
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		return linearGrad[F](x, w, b, y, dy, act)
	}
	return apply[F](o, in...)
}

// A packing keeps a weight packed. The weight of a teacher stays what it is,
// that of a student changes at each step: it is worth packing when it was seen
// before.
type packing[F kernel.Float] struct {
	version func() uint64
	seen    uint64 // the version of the last run, plus 1
	packed  *kernel.Packed[F]
}

// of is w, packed, or nil where it is better used as it is.
func (p *packing[F]) of(w []F, in, out int) *kernel.Packed[F] {
	if p.version == nil {
		return nil
	}
	version := p.version() + 1
	switch {
	case version != p.seen:
		p.packed = nil
	case p.packed == nil:
		p.packed = kernel.Pack(w, in, out)
	}
	p.seen = version
	return p.packed
}

// linearGrad goes back through the activation first: with dz the gradient of
// what went into it, dx = dz·w, dw = dzᵀ·x and db is the sum of dz's rows.
func linearGrad[F kernel.Float](x, w, b, y, dy *gorgonia.Node, act kernel.Act) ([]*gorgonia.Node, error) {
	width, out := w.Shape()[1], w.Shape()[0]
	rows := x.Shape().TotalSize() / width
	dz, err := activateGrad[F](y, dy, act)
	if err != nil {
		return nil, err
	}
	dx := &op{name: "linear.dx", shape: x.Shape()}
	dx.run = func(v []gorgonia.Value) {
		kernel.Gemm(false, false, rows, width, out, floats[F](v[0]), floats[F](v[1]), floats[F](dx.value), false)
	}
	dw := &op{name: "linear.dw", shape: w.Shape()}
	dw.run = func(v []gorgonia.Value) {
		kernel.Gemm(true, false, out, width, rows, floats[F](v[0]), floats[F](v[1]), floats[F](dw.value), false)
	}
	grads := make([]*gorgonia.Node, 2, 3)
	if grads[0], err = apply[F](dx, dz, w); err != nil {
		return nil, err
	}
	if grads[1], err = apply[F](dw, dz, x); err != nil || b == nil {
		return grads, err
	}
	db := &op{name: "linear.db", shape: b.Shape()}
	db.run = func(v []gorgonia.Value) {
		kernel.SumColumns(floats[F](db.value), floats[F](v[0]), rows, out)
	}
	n, err := apply[F](db, dz)
	return append(grads, n), err
}

// batched refuses a number: the leading axis of what a layer takes is the batch.
func batched(name string, x *gorgonia.Node) error {
	if x.Dims() == 0 {
		return fmt.Errorf("graph: %s: x is a number; want (B, ...)", name)
	}
	return nil
}

// Activate is act(x) for x (B, ...), element by element.
func Activate(x *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	if _, err := kernel.ParseAct(act.String()); err != nil {
		return nil, fmt.Errorf("graph: activate: %w", err)
	}
	if err := batched(act.String(), x); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return activate[float64](x, act)
	}
	return activate[float32](x, act)
}

func activate[F kernel.Float](x *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	o := &op{name: act.String(), shape: x.Shape(), wrt: []bool{true}}
	o.lower = &plan.Step{Op: "activation", Act: act.String(), Shape: sample(x.Shape())}
	o.run = func(v []gorgonia.Value) { kernel.Activate(floats[F](o.value), floats[F](v[0]), act) }
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		by := y
		if act.ByInput() {
			by = x
		}
		dx, err := activateGrad[F](by, dy, act)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// activated puts an activation behind an operation that cannot have it in
// itself: its gradient wants what goes into it.
func activated[F kernel.Float](act kernel.Act) func(*gorgonia.Node, error) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node, err error) (*gorgonia.Node, error) {
		if err != nil {
			return nil, err
		}
		return activate[F](x, act)
	}
}

// activateGrad is the gradient of what goes into an activation, by what its
// derivative is told from: see [kernel.Act.ByInput].
func activateGrad[F kernel.Float](by, dy *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	if act == kernel.Identity {
		return dy, nil
	}
	o := &op{name: act.String() + ".dx", shape: by.Shape()}
	o.run = func(v []gorgonia.Value) {
		kernel.ActivateGrad(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), act)
	}
	return apply[F](o, by, dy)
}

// Reshape copies x (B, ...) into another shape of the same size. Gorgonia's own
// aliases its input, and an op that then writes in place corrupts it (gorgonia
// #511).
func Reshape(x *gorgonia.Node, shape ...int) (*gorgonia.Node, error) {
	if err := batched("reshape", x); err != nil {
		return nil, err
	}
	if len(shape) == 0 || slices.Min(shape) < 1 {
		return nil, fmt.Errorf("graph: reshape: the shape is %v; want one axis or more, each of 1 or more", shape)
	}
	if tensor.Shape(shape).TotalSize() != x.Shape().TotalSize() {
		return nil, fmt.Errorf("graph: reshape: %v has %d elements; %v wants %d",
			x.Shape(), x.Shape().TotalSize(), shape, tensor.Shape(shape).TotalSize())
	}
	if x.Dtype() == tensor.Float64 {
		return reshape[float64](x, shape)
	}
	return reshape[float32](x, shape)
}

func reshape[F kernel.Float](x *gorgonia.Node, shape tensor.Shape) (*gorgonia.Node, error) {
	o := &op{name: "reshape", shape: shape.Clone(), wrt: []bool{true}}
	if shape[0] == x.Shape()[0] {
		o.lower = &plan.Step{Op: "reshape", Shape: sample(shape)}
	}
	o.run = func(v []gorgonia.Value) { copy(floats[F](o.value), floats[F](v[0])) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := reshape[F](dy, x.Shape())
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// sample is the shape of one sample of a batch of the given shape.
func sample(s tensor.Shape) []int { return slices.Clone([]int(s[1:])) }

// Detach is x (B, ...) without a gradient.
func Detach(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := batched("detach", x); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return detach[float64](x)
	}
	return detach[float32](x)
}

func detach[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "detach", shape: x.Shape()}
	o.lower = &plan.Step{Op: "reshape", Shape: sample(x.Shape())}
	o.run = func(v []gorgonia.Value) { copy(floats[F](o.value), floats[F](v[0])) }
	return apply[F](o, x)
}

// A Draw is what random ops draw from: the step, and a key for each sample of
// the batch. What a sample draws is the same in whatever batch it is.
type Draw struct {
	Seed uint64 // of the run
	Step int
	Rows int      // samples in a batch, padding included; 0 means the leading axis
	Keys []uint64 // of the valid ones
}

// Dropout zeroes each element of x with probability rate and divides the others
// by 1-rate (Srivastava et al. 2014, the inverted form). The leading axis of x
// is a multiple of the batch, with what belongs to a sample side by side. layer
// tells the draws of one layer from another's.
func Dropout(x *gorgonia.Node, rate float64, draw *Draw, layer string) (*gorgonia.Node, error) {
	if !(rate >= 0 && rate < 1) {
		return nil, fmt.Errorf("graph: dropout: the rate is %v; want 0 or more and below 1", rate)
	}
	if err := batched("dropout", x); err != nil {
		return nil, err
	}
	if n := x.Shape()[0]; draw.Rows > 0 && n%draw.Rows != 0 {
		return nil, fmt.Errorf("graph: dropout: x is %v in a batch of %d; want a multiple of the batch as its leading axis", x.Shape(), draw.Rows)
	}
	if x.Dtype() == tensor.Float64 {
		return dropout[float64](x, rate, draw, layer)
	}
	return dropout[float32](x, rate, draw, layer)
}

func dropout[F kernel.Float](x *gorgonia.Node, rate float64, draw *Draw, layer string) (*gorgonia.Node, error) {
	mask := make([]F, x.Shape().TotalSize())
	times := func(dst, src []F) {
		kernel.Rows(len(mask), 1, func(from, to int) {
			dst, src := dst[from:to], src[from:to]
			for i, m := range mask[from:to] {
				dst[i] = src[i] * m
			}
		})
	}
	o := &op{name: "dropout", shape: x.Shape(), wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		fillMask(mask, cmp.Or(draw.Rows, x.Shape()[0]), rate, draw, layer)
		times(floats[F](o.value), floats[F](v[0]))
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "dropout.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) { times(floats[F](d.value), floats[F](v[0])) }
		dx, err := apply[F](d, dy, y) // y orders it behind the draw of the mask
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// fillMask draws 32 bits for each element, two of one number of SplitMix64.
func fillMask[F kernel.Float](mask []F, rows int, rate float64, draw *Draw, layer string) {
	size := len(mask) / rows
	base := Hash(draw.Seed, uint64(draw.Step), HashString(layer))
	limit := uint64(rate * (1 << 32))
	becomes := [2]F{F(1 / (1 - rate)), 0} // without a branch, which would be guessed wrong
	kernel.Rows(len(draw.Keys), 4*size, func(from, to int) {
		for r := from; r < to; r++ {
			row, state := mask[r*size:(r+1)*size], Hash(base, draw.Keys[r])
			for i := 0; i < size; i += 2 {
				state += golden
				z := mix(state)
				row[i] = becomes[(z&(1<<32-1)-limit)>>63]
				if i+1 < size {
					row[i+1] = becomes[(z>>32-limit)>>63]
				}
			}
		}
	})
	clear(mask[len(draw.Keys)*size:])
}

// golden and mix are those of SplitMix64 (Steele, Lea and Flood 2014).
const golden = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Hash makes one number of several.
func Hash(words ...uint64) uint64 {
	h := uint64(golden)
	for _, w := range words {
		h = mix(h ^ w + golden)
	}
	return h
}

// HashString makes a number of a name.
func HashString(s string) uint64 {
	h := uint64(len(s))
	for _, c := range []byte(s) {
		h = mix(h ^ uint64(c) + golden)
	}
	return h
}

// LogSoftmax is the logarithm of the softmax of the last axis of x (B, ..., C).
func LogSoftmax(x *gorgonia.Node) (*gorgonia.Node, error) {
	if err := batched("log-softmax", x); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return logSoftmax[float64](x)
	}
	return logSoftmax[float32](x)
}

func logSoftmax[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	c := x.Shape()[x.Dims()-1]
	o := &op{name: "log-softmax", shape: x.Shape(), wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		z, y := floats[F](v[0]), floats[F](o.value)
		eachRow(len(z)/c, c, func(i, j int) { kernel.LogSoftmax(y[i:j], z[i:j], 1) })
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "log-softmax.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			y, dy, dx := floats[F](v[0]), floats[F](v[1]), floats[F](d.value)
			eachRow(len(y)/c, c, func(i, j int) { kernel.LogSoftmaxGrad(dx[i:j], y[i:j], dy[i:j]) })
		}
		dx, err := apply[F](d, y, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// eachRow calls f for rows [i, j) of c elements, for many at once where there are
// many.
func eachRow(rows, c int, f func(i, j int)) {
	kernel.Rows(rows, costOfExp*c, func(from, to int) {
		for r := from; r < to; r++ {
			f(r*c, (r+1)*c)
		}
	})
}

// costOfExp is what an exponential costs, see [kernel.Rows].
const costOfExp = 50
