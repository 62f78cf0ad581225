package graph

import (
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A sum is Gorgonia's addition, by which Grad joins the gradients of a node
// that is used more than once, into a tensor that it owns: Gorgonia's makes a
// new one on each run.
type sum struct {
	gorgonia.Op
	value *tensor.Dense
}

// settled is op in a form that makes no new tensor on each run, where there is
// one.
func settled(op gorgonia.Op) gorgonia.Op {
	if b, ok := op.(gorgonia.BinaryOp); ok && strings.HasPrefix(b.String(), "+ ") {
		return &sum{Op: op}
	}
	return op
}

// Do adds tensors of one shape, and leaves all else to Gorgonia.
func (s *sum) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	a, _ := in[0].(*tensor.Dense)
	b, _ := in[1].(*tensor.Dense)
	if a == nil || b == nil || a.Dims() == 0 || !slices.Equal(a.Shape(), b.Shape()) || a.Dtype() != b.Dtype() {
		return s.Op.Do(in...)
	}
	switch a.Dtype() {
	case tensor.Float32:
		addInto[float32](s.of(a), a, b)
	case tensor.Float64:
		addInto[float64](s.of(a), a, b)
	default:
		return s.Op.Do(in...)
	}
	return s.value, nil
}

// of is the tensor for sums like a.
func (s *sum) of(a *tensor.Dense) *tensor.Dense {
	if s.value == nil || !slices.Equal(s.value.Shape(), a.Shape()) || s.value.Dtype() != a.Dtype() {
		s.value = newValue(a.Dtype(), a.Shape()).(*tensor.Dense)
	}
	return s.value
}

func addInto[F kernel.Float](dst, a, b *tensor.Dense) {
	to, right := floats[F](dst), floats[F](b)
	for i, v := range floats[F](a) {
		to[i] = v + right[i]
	}
}
