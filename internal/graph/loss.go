package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A rowsFunc is a loss of rows z (R, C), the first of in: it writes their values
// (R) and the gradient by z, every element of both.
type rowsFunc[F kernel.Float] func(value, grad, z []F, in []gorgonia.Value)

// rowLoss applies a loss to in[0] of shape (R, C): its values are (R). The other
// inputs are constants to the gradient, which is taken in the forward pass,
// while a row is at hand. Input number ints is of int, unless that is 0.
func rowLoss[F kernel.Float](name string, loss rowsFunc[F], ints int, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	z := in[0]
	grad := make([]F, z.Shape().TotalSize())
	o := lossOp(name, ints, in)
	o.run = func(v []gorgonia.Value) { loss(floats[F](o.value), grad, floats[F](v[0]), v) }
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: name + ".dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) { kernel.ScaleRows(floats[F](d.value), grad, floats[F](v[0])) }
		all := make([]*gorgonia.Node, len(in))
		var err error
		all[0], err = apply[F](d, dy, y) // y orders it behind the forward pass
		return all, err
	}
	return apply[F](o, in...)
}

func lossOp(name string, ints int, in []*gorgonia.Node) *op {
	o := &op{name: name, shape: in[0].Shape()[:1].Clone(), wrt: make([]bool, len(in)), ints: ints}
	o.wrt[0] = true
	return o
}

// manyLogits are so many that to keep their gradient from the forward pass costs
// more than to compute it later: a vocabulary for each token. Tests change it.
var manyLogits = 1 << 22

// classLoss is rowLoss for a loss that may be asked for no gradient: that of many
// logits is computed when it is wanted, so that there is no other copy of them.
func classLoss[F kernel.Float](name string, loss rowsFunc[F], ints int, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	z := in[0]
	if z.Shape().TotalSize() < manyLogits {
		return rowLoss(name, loss, ints, in...)
	}
	o := lossOp(name, ints, in)
	o.run = func(v []gorgonia.Value) { loss(floats[F](o.value), nil, floats[F](v[0]), v) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d, value := &op{name: name + ".dz", shape: z.Shape(), ints: ints}, make([]F, z.Shape()[0])
		d.run = func(v []gorgonia.Value) {
			grad := floats[F](d.value)
			loss(value, grad, floats[F](v[0]), v)
			kernel.ScaleRows(grad, grad, floats[F](v[len(in)]))
		}
		all := make([]*gorgonia.Node, len(in))
		var err error
		all[0], err = apply[F](d, append(slices.Clone(in), dy)...)
		return all, err
	}
	return apply[F](o, in...)
}

// checkRows refuses what is not (R, C) on the student's side, or a target of
// another shape.
func checkRows(name string, z *gorgonia.Node, target ...*gorgonia.Node) error {
	if z.Dims() != 2 {
		return fmt.Errorf("graph: %s: the student's side is %v; want (R, C)", name, z.Shape())
	}
	for _, t := range target {
		if !t.Shape().Eq(z.Shape()) {
			return fmt.Errorf("graph: %s: the target is %v, the student's side %v; want equal shapes", name, t.Shape(), z.Shape())
		}
	}
	return nil
}

// CrossEntropy is -Σ_c t_c log softmax(z)_c for each row of z (R, C), where t
// is the label's one-hot vector mixed with the uniform one, (1-ε)·onehot + ε/C
// (Szegedy et al. 2016, 1512.00567, section 7). Labels are (R) of tensor.Int; a
// row with a label below 0 is 0, with gradient 0.
func CrossEntropy(z, labels *gorgonia.Node, smoothing float64) (*gorgonia.Node, error) {
	if err := checkRows("cross-entropy", z); err != nil {
		return nil, err
	}
	if !labels.Shape().Eq(z.Shape()[:1]) {
		return nil, fmt.Errorf("graph: cross-entropy: the labels are %v; want (%d)", labels.Shape(), z.Shape()[0])
	}
	if z.Dtype() == tensor.Float64 {
		return crossEntropy[float64](z, labels, smoothing)
	}
	return crossEntropy[float32](z, labels, smoothing)
}

func crossEntropy[F kernel.Float](z, labels *gorgonia.Node, smoothing float64) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		kernel.CrossEntropy(value, grad, z, ints(in[1]), smoothing)
	}
	return classLoss("cross-entropy", loss, 1, z, labels)
}

// SoftCrossEntropy is -Σ_c t_c log softmax(z)_c for each row of z (R, C), where
// t is the target's row, smoothed as in [CrossEntropy].
func SoftCrossEntropy(z, target *gorgonia.Node, smoothing float64) (*gorgonia.Node, error) {
	if err := checkRows("soft cross-entropy", z, target); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return softCrossEntropy[float64](z, target, smoothing)
	}
	return softCrossEntropy[float32](z, target, smoothing)
}

func softCrossEntropy[F kernel.Float](z, target *gorgonia.Node, smoothing float64) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		kernel.SoftCrossEntropy(value, grad, z, floats[F](in[1]), smoothing)
	}
	return classLoss("soft cross-entropy", loss, 0, z, target)
}

// KL is T²·KL(softmax(t/T) ‖ softmax(z/T)) for each row of the student's z and
// the teacher's t, both (R, C); temp is the scalar T. Its gradient by z is
// T(q-p); the teacher is constant (Hinton et al. 2015, 1503.02531, section 2).
func KL(z, t, temp *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checkRows("kl", z, t); err != nil {
		return nil, err
	}
	if err := checkNumber("kl", "the temperature", temp); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return kl[float64](z, t, temp)
	}
	return kl[float32](z, t, temp)
}

func kl[F kernel.Float](z, t, temp *gorgonia.Node) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		kernel.KL(value, grad, z, floats[F](in[1]), scalar(in[2]))
	}
	return classLoss("kl", loss, 0, z, t, temp)
}

// TopKL is T² times the KL divergence of the distributions over the teacher's
// top k classes and one bucket for all others, a lower bound of [KL]: top and
// id are (R, k), the teacher's largest logits and their classes, and lse is
// (R, len(temps)), the log-sum-exp of its whole row at each temperature.
func TopKL(z, top, id, lse, temp *gorgonia.Node, temps []float64) (*gorgonia.Node, error) {
	if err := checkRows("top-k kl", z); err != nil {
		return nil, err
	}
	rows, c := z.Shape()[0], z.Shape()[1]
	if top.Dims() != 2 || top.Shape()[0] != rows || top.Shape()[1] > c || !id.Shape().Eq(top.Shape()) || !lse.Shape().Eq(tensor.Shape{rows, len(temps)}) {
		return nil, fmt.Errorf("graph: top-k kl: top is %v, id %v, lse %v, the student's side %v; want (R, k), (R, k), (R, %d), (R, C)",
			top.Shape(), id.Shape(), lse.Shape(), z.Shape(), len(temps))
	}
	if err := checkNumber("top-k kl", "the temperature", temp); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return topKL[float64](z, top, id, lse, temp, temps)
	}
	return topKL[float32](z, top, id, lse, temp, temps)
}

func topKL[F kernel.Float](z, top, id, lse, temp *gorgonia.Node, temps []float64) (*gorgonia.Node, error) {
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		T := scalar(in[4])
		kept := kernel.TopK[F]{Logits: floats[F](in[1]), Classes: ints(in[2]), LSE: floats[F](in[3]), At: column[F](temps, T)}
		kernel.TopKL(value, grad, z, kept, T)
	}
	return classLoss("top-k kl", loss, 2, z, top, id, lse, temp)
}

// column finds the recorded temperature that T is, at F's precision.
func column[F kernel.Float](temps []float64, T float64) int {
	for i, t := range temps {
		if F(t) == F(T) {
			return i
		}
	}
	panic(fmt.Sprintf("temperature %v was not recorded; there are %v", T, temps))
}

// MSE is the mean over C of (a-b)² for each row of a and b, both (R, C). It has
// a gradient by both.
func MSE(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	if err := checkRows("mse", a, b); err != nil {
		return nil, err
	}
	if a.Dtype() == tensor.Float64 {
		return mse[float64](a, b)
	}
	return mse[float32](a, b)
}

func mse[F kernel.Float](a, b *gorgonia.Node) (*gorgonia.Node, error) {
	loss := func(value, grad, a []F, in []gorgonia.Value) {
		kernel.MSE(value, grad, a, floats[F](in[1]))
	}
	n, err := rowLoss("mse", loss, 0, a, b)
	if err != nil {
		return nil, err
	}
	o := n.Op().(*op)
	byA := o.diff
	o.wrt = []bool{true, true}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		grads, err := byA(y, dy)
		if err == nil {
			grads[1], err = negate[F](grads[0])
		}
		return grads, err
	}
	return n, nil
}

func negate[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "negate", shape: x.Shape()}
	minus := []F{-1}
	o.run = func(v []gorgonia.Value) { kernel.ScaleRows(floats[F](o.value), floats[F](v[0]), minus) }
	return apply[F](o, x)
}
