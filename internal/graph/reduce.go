package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// Labelled is weight (R) with 0 where the label (R) is below 0.
func Labelled(weight, labels *gorgonia.Node) (*gorgonia.Node, error) {
	if weight.Dims() != 1 || !labels.Shape().Eq(weight.Shape()) {
		return nil, fmt.Errorf("graph: labelled: weights are %v, labels %v; want (R) both", weight.Shape(), labels.Shape())
	}
	if weight.Dtype() == tensor.Float64 {
		return labelled[float64](weight, labels)
	}
	return labelled[float32](weight, labels)
}

func labelled[F kernel.Float](weight, labels *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "labelled", shape: weight.Shape(), ints: 1}
	o.run = func(v []gorgonia.Value) {
		w, value := floats[F](v[0]), floats[F](o.value)
		for r, l := range ints(v[1]) {
			value[r] = 0
			if l >= 0 {
				value[r] = w[r]
			}
		}
	}
	return apply[F](o, weight, labels)
}

// WeightedMean is Σ w·v / total for values and weights (R) and a scalar total:
// the weight of all rows of an optimizer step, of which these may be a part. It
// is 0 when total is. A row of weight 0 counts for nothing, even if it is NaN.
// Weights are constant.
func WeightedMean(value, weight, total *gorgonia.Node) (*gorgonia.Node, error) {
	if value.Dims() != 1 || !value.Shape().Eq(weight.Shape()) {
		return nil, fmt.Errorf("graph: mean: values are %v, weights %v; want (R) both", value.Shape(), weight.Shape())
	}
	if err := checkNumber("mean", "the total", total); err != nil {
		return nil, err
	}
	if value.Dtype() == tensor.Float64 {
		return weightedMean[float64](value, weight, total)
	}
	return weightedMean[float32](value, weight, total)
}

func weightedMean[F kernel.Float](value, weight, total *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "mean", wrt: []bool{true, false, false}}
	o.run = func(v []gorgonia.Value) {
		values, sum := floats[F](v[0]), 0.0
		for r, w := range floats[F](v[1]) {
			if w != 0 {
				sum += float64(w) * float64(values[r])
			}
		}
		setScalar(o.value, share(sum, scalar(v[2])))
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "mean.dv", shape: value.Shape()}
		d.run = func(v []gorgonia.Value) {
			k, dst := share(scalar(v[2]), scalar(v[1])), floats[F](d.value)
			for r, w := range floats[F](v[0]) {
				dst[r] = F(float64(w) * k)
			}
		}
		n, err := apply[F](d, weight, total, dy)
		return []*gorgonia.Node{n, nil, nil}, err
	}
	return apply[F](o, value, weight, total)
}

// checkNumber refuses what has axes.
func checkNumber(name, what string, n *gorgonia.Node) error {
	if n.Dims() != 0 {
		return fmt.Errorf("graph: %s: %s is %v; want a number", name, what, n.Shape())
	}
	return nil
}

// share is x/total, and 0 of no total.
func share(x, total float64) float64 {
	if total == 0 {
		return 0
	}
	return x / total
}

// Combine is Σ weights[i]·terms[i], all of them scalars: the cost of a graph.
// A term of weight 0 counts for nothing, even if it is NaN. Weights are
// constant.
func Combine(terms, weights []*gorgonia.Node) (*gorgonia.Node, error) {
	if len(terms) == 0 || len(terms) != len(weights) {
		return nil, fmt.Errorf("graph: combine: %d terms and %d weights; want one weight each", len(terms), len(weights))
	}
	for i, t := range slices.Concat(terms, weights) {
		if err := checkNumber("combine", fmt.Sprint("input ", i), t); err != nil {
			return nil, err
		}
	}
	if terms[0].Dtype() == tensor.Float64 {
		return combine[float64](terms, weights)
	}
	return combine[float32](terms, weights)
}

func combine[F kernel.Float](terms, weights []*gorgonia.Node) (*gorgonia.Node, error) {
	n := len(terms)
	o := &op{name: "combine", wrt: make([]bool, 2*n)}
	for i := range n {
		o.wrt[i] = true
	}
	o.run = func(v []gorgonia.Value) {
		sum := 0.0
		for i, t := range v[:n] {
			if w := scalar(v[n+i]); w != 0 {
				sum += w * scalar(t)
			}
		}
		setScalar(o.value, sum)
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		all := make([]*gorgonia.Node, 2*n)
		for i := range n {
			d := &op{name: "combine.dt"}
			d.run = func(v []gorgonia.Value) { setScalar(d.value, scalar(v[0])*scalar(v[1])) }
			var err error
			if all[i], err = apply[F](d, weights[i], dy); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	return apply[F](o, slices.Concat(terms, weights)...)
}
