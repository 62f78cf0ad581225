package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Add is act(a + b) for a and b (B, ...) of one shape: where a residual block
// ends.
func Add(a, b *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	if _, err := kernel.ParseAct(act.String()); err != nil {
		return nil, fmt.Errorf("graph: add: %w", err)
	}
	if err := batched("add", a); err != nil {
		return nil, err
	}
	if !a.Shape().Eq(b.Shape()) {
		return nil, fmt.Errorf("graph: add: the inputs are %v and %v; want one shape", a.Shape(), b.Shape())
	}
	if a.Dtype() == tensor.Float64 {
		return add[float64](a, b, act)
	}
	return add[float32](a, b, act)
}

func add[F kernel.Float](a, b *gorgonia.Node, act kernel.Act) (*gorgonia.Node, error) {
	if act.ByInput() {
		return activated[F](act)(add[F](a, b, kernel.Identity))
	}
	o := &op{name: "add", shape: a.Shape(), wrt: []bool{true, true}}
	o.lower = &plan.Step{Op: "add", Act: act.String(), Shape: sample(a.Shape())}
	o.run = func(v []gorgonia.Value) {
		kernel.Add(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), act)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		// Both sides have one gradient, and one node of it. Nothing writes to
		// what a machine computed, and a program tells parameters apart.
		dz, err := activateGrad[F](y, dy, act)
		return []*gorgonia.Node{dz, dz}, err
	}
	return apply[F](o, a, b)
}
