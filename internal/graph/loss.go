package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A rowFunc is a loss of one row: it returns the value for row z of the first
// input and writes the gradient by z to grad, every element of it.
type rowFunc[F kernel.Float] func(r int, z, grad []F) float64

// costOfElement is what an element of a loss costs, see [kernel.Rows].
const costOfElement = 100

// rowLoss applies a loss to in[0] of shape (R, C): its values are (R). bind
// reads the other inputs, once for some rows; they are constants to the gradient,
// which is taken in the forward pass, while the row is at hand. Input number
// ints is of int, unless that is 0.
func rowLoss[F kernel.Float](name string, bind func(in []gorgonia.Value) rowFunc[F], ints int, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	z := in[0]
	rows, c := z.Shape()[0], z.Shape()[1]
	grads := make([]F, rows*c)
	o := &op{name: name, shape: tensor.Shape{rows}, wrt: make([]bool, len(in)), ints: ints}
	o.wrt[0] = true
	o.run = func(v []gorgonia.Value) {
		z, value := floats[F](v[0]), floats[F](o.value)
		kernel.Rows(rows, costOfElement*c, func(from, to int) {
			row := bind(v)
			for r := from; r < to; r++ {
				value[r] = F(row(r, z[r*c:(r+1)*c], grads[r*c:(r+1)*c]))
			}
		})
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: name + ".dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) { scaleRows(floats[F](d.value), grads, floats[F](v[0])) }
		all := make([]*gorgonia.Node, len(in))
		var err error
		all[0], err = apply[F](d, dy, y) // y orders it behind the forward pass
		return all, err
	}
	return apply[F](o, in...)
}

// scaleRows multiplies each row by its factor. A row of factor 0 counts for
// nothing, whatever it holds.
func scaleRows[F kernel.Float](dst, src, factor []F) {
	c := len(src) / len(factor)
	for r, k := range factor {
		row := dst[r*c : (r+1)*c]
		if k == 0 {
			clear(row)
			continue
		}
		for i, v := range src[r*c : (r+1)*c] {
			row[i] = v * k
		}
	}
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
	bind := func(in []gorgonia.Value) rowFunc[F] {
		label := ints(in[1])
		return func(r int, z, grad []F) float64 {
			if label[r] < 0 {
				clear(grad)
				return 0
			}
			return kernel.CrossEntropy(grad, z, label[r], smoothing)
		}
	}
	return rowLoss("cross-entropy", bind, 1, z, labels)
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
	bind := func(in []gorgonia.Value) rowFunc[F] {
		targets := floats[F](in[1])
		return func(r int, z, grad []F) float64 {
			return kernel.SoftCrossEntropy(grad, z, targets[r*len(z):(r+1)*len(z)], smoothing)
		}
	}
	return rowLoss("soft cross-entropy", bind, 0, z, target)
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
	bind := func(in []gorgonia.Value) rowFunc[F] {
		teacher, T := floats[F](in[1]), scalar(in[2])
		return func(r int, z, grad []F) float64 {
			return kernel.KL(grad, z, teacher[r*len(z):(r+1)*len(z)], T)
		}
	}
	return rowLoss("kl", bind, 0, z, t, temp)
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
	k, rest := top.Shape()[1], make([]F, z.Shape()[1])
	bind := func(in []gorgonia.Value) rowFunc[F] {
		tops, ids, lses, T := floats[F](in[1]), ints(in[2]), floats[F](in[3]), scalar(in[4])
		col, inv := column[F](temps, T), 1/T
		return func(r int, z, grad []F) float64 {
			id, lseT := ids[r*k:(r+1)*k], float64(lses[r*len(temps)+col])
			copy(rest, z)
			for _, c := range id {
				rest[c] = F(math.Inf(-1))
			}
			lseZ, lseRest := kernel.LogSumExp(z, inv), kernel.LogSumExp(rest, inv)
			for c, v := range z {
				grad[c] = F(T * math.Exp(float64(v)*inv-lseZ))
			}
			sum, mass := 0.0, 0.0
			for i, c := range id {
				logp := float64(tops[r*k+i])*inv - lseT
				p := math.Exp(logp)
				if p > 0 {
					sum += p * (logp - (float64(z[c])*inv - lseZ))
				}
				mass += p
				grad[c] -= F(T * p)
			}
			tail := 1 - mass
			if k == len(z) || tail <= 0 {
				return T * T * sum
			}
			for c, v := range rest {
				grad[c] -= F(T * tail * math.Exp(float64(v)*inv-lseRest))
			}
			return T * T * (sum + tail*(math.Log(tail)-(lseRest-lseZ)))
		}
	}
	return rowLoss("top-k kl", bind, 2, z, top, id, lse, temp)
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
	bind := func(in []gorgonia.Value) rowFunc[F] {
		others := floats[F](in[1])
		return func(r int, a, grad []F) float64 {
			b := others[r*len(a) : (r+1)*len(a)]
			sum, k := 0.0, 2/float64(len(a))
			for c, v := range a {
				d := float64(v) - float64(b[c])
				sum += d * d
				grad[c] = F(k * d)
			}
			return sum / float64(len(a))
		}
	}
	n, err := rowLoss("mse", bind, 0, a, b)
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
	o.run = func(v []gorgonia.Value) {
		dst := floats[F](o.value)
		for i, x := range floats[F](v[0]) {
			dst[i] = -x
		}
	}
	return apply[F](o, x)
}
