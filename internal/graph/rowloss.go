package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A Row is a row of logits as a loss of [Beside.Each] or [Beside.Together] sees it.
type Row = kernel.Row

// Beside is what a loss of the student's logits is made of besides them. All of
// it is constant to the gradient.
type Beside struct {
	Teacher *gorgonia.Node   // logits (R, K), or nil
	Labels  *gorgonia.Node   // (R) of tensor.Int, or nil
	T       *gorgonia.Node   // the temperature, a number
	Params  []*gorgonia.Node // other numbers, the Params of a [Row]
	Numbers []*gorgonia.Node // (R) each, the Numbers of a [Row]
}

// Each is the loss f of each row of the student's logits z (R, C): (R). The
// function returns the value of a row and writes its gradient to Row.Grad. It
// is called for several rows at once and must keep nothing.
func (g Beside) Each(name string, z *gorgonia.Node, f func(*Row) float64) (*gorgonia.Node, error) {
	if err := g.check(name, z); err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return rowByRow[float64](name, g, z, f)
	}
	return rowByRow[float32](name, g, z, f)
}

func rowByRow[F kernel.Float](name string, g Beside, z *gorgonia.Node, f func(*Row) float64) (*gorgonia.Node, error) {
	in, read := inputs[F](g, z)
	loss := func(value, grad, z []F, in []gorgonia.Value) { kernel.EachRow(value, grad, z, read(in), f) }
	ints := 0
	if g.Labels != nil {
		ints = len(in) - 1
	}
	return rowLoss(name, loss, ints, in...)
}

// Together is one loss f of all rows of the student's logits z (R, C) whose
// weight (R) is not 0, as the value of every row: (R), of which the mean is f.
// The function writes its gradient to the Grad of each row.
func (g Beside) Together(name string, z, weight *gorgonia.Node, f func([]*Row) float64) (*gorgonia.Node, error) {
	if err := g.check(name, z); err != nil {
		return nil, err
	}
	switch {
	case !weight.Shape().Eq(z.Shape()[:1]):
		return nil, fmt.Errorf("graph: %s: the weights are %v; want (%d)", name, weight.Shape(), z.Shape()[0])
	case z.Dtype() == tensor.Float64:
		return coupled[float64](name, g, z, weight, f)
	}
	return coupled[float32](name, g, z, weight, f)
}

func coupled[F kernel.Float](name string, g Beside, z, weight *gorgonia.Node, f func([]*Row) float64) (*gorgonia.Node, error) {
	in, read := inputs[F](g, z, weight)
	var rows []*Row
	loss := func(value, grad, z []F, in []gorgonia.Value) {
		v := F(kernel.AllRows(grad, z, floats[F](in[1]), read(in), &rows, f))
		for r := range value {
			value[r] = v
		}
	}
	ints := 0
	if g.Labels != nil {
		ints = len(in) - 1
	}
	return wholeLoss(name, loss, ints, in...)
}

// wholeLoss is [rowLoss] where grad is that of a single number, which is the
// value of every row.
func wholeLoss[F kernel.Float](name string, loss rowsFunc[F], ints int, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	n, err := rowLoss(name, loss, ints, in...)
	if err != nil {
		return nil, err
	}
	o := n.Op().(*op)
	byRow, rows := o.diff, in[0].Shape()[0]
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		sum := &op{name: name + ".dy", shape: tensor.Shape{rows}}
		sum.run = func(v []gorgonia.Value) {
			all, dst := F(0), floats[F](sum.value)
			for _, d := range floats[F](v[0]) {
				all += d
			}
			for r := range dst {
				dst[r] = all
			}
		}
		all, err := apply[F](sum, dy)
		if err != nil {
			return nil, err
		}
		return byRow(y, all)
	}
	return n, nil
}

// check refuses inputs of shapes that do not fit each other.
func (g Beside) check(name string, z *gorgonia.Node) error {
	if err := checkRows(name, z); err != nil {
		return err
	}
	rows := z.Shape()[0]
	if t := g.Teacher; t != nil && (t.Dims() != 2 || t.Shape()[0] != rows) {
		return fmt.Errorf("graph: %s: the teacher's logits are %v; want (%d, K)", name, t.Shape(), rows)
	}
	for _, v := range g.Numbers {
		if !v.Shape().Eq(tensor.Shape{rows}) {
			return fmt.Errorf("graph: %s: numbers of the rows are %v; want (%d)", name, v.Shape(), rows)
		}
	}
	if l := g.Labels; l != nil && !l.Shape().Eq(tensor.Shape{rows}) {
		return fmt.Errorf("graph: %s: the labels are %v; want (%d)", name, l.Shape(), rows)
	}
	for _, n := range append(slices.Clone(g.Params), g.T) {
		if err := checkNumber(name, "a parameter", n); err != nil {
			return err
		}
	}
	return nil
}

// inputs are those of an op: first ones, then what is given, the labels last,
// and how to read that.
func inputs[F kernel.Float](g Beside, first ...*gorgonia.Node) (all []*gorgonia.Node, read func(in []gorgonia.Value) kernel.Beside[F]) {
	all = append(append(first, g.T), g.Params...)
	params := make([]float64, len(g.Params))
	if g.Teacher != nil {
		all = append(all, g.Teacher)
	}
	all = append(all, g.Numbers...)
	numbers := make([][]F, len(g.Numbers))
	if g.Labels != nil {
		all = append(all, g.Labels)
	}
	from := len(first)
	return all, func(in []gorgonia.Value) (v kernel.Beside[F]) {
		in = in[from:]
		v.T, v.Params, in = scalar(in[0]), params, in[1:]
		for i := range params {
			params[i] = scalar(in[i])
		}
		in = in[len(params):]
		if g.Teacher != nil {
			v.Teacher, in = floats[F](in[0]), in[1:]
		}
		for i := range numbers {
			numbers[i] = floats[F](in[i])
		}
		v.Numbers, in = numbers, in[len(numbers):]
		if g.Labels != nil {
			v.Labels = ints(in[0])
		}
		return v
	}
}
