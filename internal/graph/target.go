package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A pairFunc is a loss of rows z by targets t, both (R, C).
type pairFunc[F kernel.Float] func(value, grad, z, t []F)

// pairLoss is a loss of z by a constant target of the same shape (R, C).
func pairLoss(name string, single pairFunc[float32], double pairFunc[float64], z, target *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checkRows(name, z, target); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return pairOf(name, double, z, target)
	}
	return pairOf(name, single, z, target)
}

func pairOf[F kernel.Float](name string, f pairFunc[F], z, target *gorgonia.Node) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) { f(value, grad, z, floats[F](in[1])) }
	return rowLoss(name, loss, 0, z, target)
}

// L1 is the mean over C of |z-t| for each row of z and the constant t, both
// (R, C). Its gradient is 0 where they are equal.
func L1(z, t *gorgonia.Node) (*gorgonia.Node, error) {
	return pairLoss("l1", kernel.L1[float32], kernel.L1[float64], z, t)
}

// Huber is the mean over C of ½d² up to |d| = delta, and delta·(|d| - ½delta)
// beyond, with d = z-t, for each row of z and the constant t, both (R, C).
func Huber(z, t *gorgonia.Node, delta float64) (*gorgonia.Node, error) {
	return pairLoss("huber", huber[float32](delta), huber[float64](delta), z, t)
}

func huber[F kernel.Float](delta float64) pairFunc[F] {
	return func(value, grad, z, t []F) { kernel.Huber(value, grad, z, t, delta) }
}

// Bounded is the mean over C of (z-y)² for each row of z and the label y, both
// (R, C), and 0 where that and margin do not exceed what it is of the teacher's
// t (Chen et al. 2017, section 3.3).
func Bounded(z, t, y *gorgonia.Node, margin float64) (*gorgonia.Node, error) {
	if err := checkRows("bounded", z, t, y); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return bounded[float64](z, t, y, margin)
	}
	return bounded[float32](z, t, y, margin)
}

func bounded[F kernel.Float](z, t, y *gorgonia.Node, margin float64) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		kernel.Bounded(value, grad, z, floats[F](in[1]), floats[F](in[2]), margin)
	}
	return rowLoss("bounded", loss, 0, z, t, y)
}

// BCE is -Σ_c (w_c·t_c log σ(z_c) + (1-t_c) log (1-σ(z_c))) for each row of z
// and the target t, both (R, C), with the weights w (C) of a yes, or nil for 1
// each. Targets may be labels (R) of tensor.Int where C is 1; one below 0 is as
// good as 0.
func BCE(z, t *gorgonia.Node, w []float64) (*gorgonia.Node, error) {
	labels := t.Dtype() == tensor.Int
	want := z.Shape()
	if labels {
		want = tensor.Shape{z.Shape()[0]}
	}
	switch {
	case z.Dims() != 2 || labels && z.Shape()[1] != 1 || !slices.Equal(t.Shape(), want):
		return nil, fmt.Errorf("graph: bce: the target is %v of %v, the student's side %v; want (R, C) both, or (R) of int and (R, 1)", t.Shape(), t.Dtype(), z.Shape())
	case w != nil && len(w) != z.Shape()[1]:
		return nil, fmt.Errorf("graph: bce: %d weights of a yes; want one for each of %d", len(w), z.Shape()[1])
	case z.Dtype() == tensor.Float64:
		return bce[float64](z, t, w)
	}
	return bce[float32](z, t, w)
}

func bce[F kernel.Float](z, t *gorgonia.Node, w []float64) (*gorgonia.Node, error) {
	if t.Dtype() != tensor.Int {
		return pairOf("bce", func(value, grad, z, t []F) { kernel.BCE(value, grad, z, t, w) }, z, t)
	}
	target := make([]F, z.Shape()[0])
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		for r, y := range ints(in[1]) {
			if y > 1 {
				panic(fmt.Sprintf("label %d of a single logit; want 0 or 1", y))
			}
			target[r] = F(max(y, 0))
		}
		kernel.BCE(value, grad, z, target, w)
	}
	return rowLoss("bce", loss, 1, z, t)
}

// BinaryKL is T²·Σ_c KL(σ(t_c/T) ‖ σ(z_c/T)), of two outcomes each, for each row
// of the student's z and the teacher's t, both (R, C); temp is the scalar T. Its
// gradient by z is T(q-p); the teacher is constant.
func BinaryKL(z, t, temp *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checkRows("binary kl", z, t); err != nil {
		return nil, err
	}
	if err := checkNumber("binary kl", "the temperature", temp); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return binaryKL[float64](z, t, temp)
	}
	return binaryKL[float32](z, t, temp)
}

func binaryKL[F kernel.Float](z, t, temp *gorgonia.Node) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		kernel.BinaryKL(value, grad, z, floats[F](in[1]), scalar(in[2]))
	}
	return rowLoss("binary kl", loss, 0, z, t, temp)
}

// ChannelsLast is x (B, C, ...) with C behind the axes that follow it: (B, ..., C).
func ChannelsLast(x *gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dims() < 3 {
		return nil, fmt.Errorf("graph: channels last: x is %v; want (B, C, ...)", x.Shape())
	}
	s := x.Shape()
	shape := append(append(tensor.Shape{s[0]}, s[2:]...), s[1])
	if x.Dtype() == tensor.Float64 {
		return moveChannels[float64](x, shape, s[1], tensor.Shape(s[2:]).TotalSize(), true)
	}
	return moveChannels[float32](x, shape, s[1], tensor.Shape(s[2:]).TotalSize(), true)
}

// moveChannels makes (B, P, C) of (B, C, P), or the other way round, where
// shape is that of the result: the gradient of one is the other.
func moveChannels[F kernel.Float](x *gorgonia.Node, shape tensor.Shape, c, p int, last bool) (*gorgonia.Node, error) {
	name, rows, columns := "channels last", c, p
	if !last {
		name, rows, columns = "channels first", p, c
	}
	o := &op{name: name, shape: shape, wrt: []bool{true}}
	o.run = func(v []gorgonia.Value) {
		kernel.ChannelsLast(floats[F](o.value), floats[F](v[0]), shape[0], rows, columns)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := moveChannels[F](dy, x.Shape(), c, p, !last)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}
