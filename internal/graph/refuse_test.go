package graph_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

// refusal is what is said of f(x), for x (3, 5, 4, 6).
func refusal(f unary) error {
	x := bind(gorgonia.NewGraph(), "x", gradcheck.Normal(1, 3, 5, 4, 6))
	return refused(must(f(x)))
}

// refused is what is said of n where all inputs of its graph are known.
func refused(n *gorgonia.Node) error {
	known := map[*gorgonia.Node]bool{}
	for _, in := range n.Graph().AllNodes() {
		known[in] = in.Op() == nil
	}
	return graph.Refused(n, known)
}

func batchNorm(x *gorgonia.Node) (*gorgonia.Node, error) {
	scale, bias := bind(x.Graph(), "scale", gradcheck.Normal(2, 1, 5, 1, 1)), bind(x.Graph(), "bias", gradcheck.Normal(3, 1, 5, 1, 1))
	y, _, _, _, err := gorgonia.BatchNorm(x, scale, bias, 0.9, 1e-5)
	return y, err
}

func byIndices(x *gorgonia.Node) (*gorgonia.Node, error) {
	return gorgonia.ByIndices(x, bind(x.Graph(), "id", dense([]int{2, 0, 2, 1}, 4)), 0)
}

// along calls a reduction with axes.
func along(f func(*gorgonia.Node, ...int) (*gorgonia.Node, error), axes ...int) unary {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return f(x, axes...) }
}

// broadcast multiplies by a tensor of size 1 on these axes.
func broadcast(axes ...byte) unary {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) {
		shape := x.Shape()
		for _, a := range axes {
			shape[a] = 1
		}
		return gorgonia.BroadcastHadamardProd(x, bind(x.Graph(), "small", gradcheck.Normal(4, shape...)), nil, axes)
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		op   unary
		want string
	}{
		"Reshape": {func(x *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Reshape(x, tensor.Shape{15, 24}) },
			"gorgonia's Reshape(15, 24) is refused: it aliases its input; use Builder.Reshape"},
		"Ravel": {gorgonia.Ravel, "gorgonia's Reshape(360) is refused"},
		"UniformRandomNode": {func(x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.UniformRandomNode(x.Graph(), tensor.Float64, 0, 1, 3, 5), nil
		}, "it draws from the clock"},
		"Dropout":             {func(x *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Dropout(x, 0.2) }, "use Builder.Dropout"},
		"SoftMax":             {along(gorgonia.SoftMax), "use Builder.LogSoftmax"},
		"LogSoftMax":          {along(gorgonia.LogSoftMax, 1), "use Builder.LogSoftmax"},
		"BatchNorm":           {batchNorm, "batchnorm-0.9-0.0 is refused: its statistics live in the graph"},
		"AveragePool2D":       {averagePool, "its gradient is wrong"},
		"GlobalAveragePool2D": {gorgonia.GlobalAveragePool2D, "it has no gradient"},
		"InverseSqrt":         {gorgonia.InverseSqrt, "gorgonia's invSqrt is refused: its gradient is wrong"},
		"Log2":                {gorgonia.Log2, "gorgonia's log2 is refused: its gradient is wrong"},
		"ByIndices":           {byIndices, "an index out of range"},
		"Sum":                 {along(gorgonia.Sum, 2), "gorgonia's Σ[2] is refused: it is wrong along an axis between"},
		"Sum of two":          {along(gorgonia.Sum, 2, 3), "gorgonia's Σ[2 3] is refused"},
		"Mean":                {along(gorgonia.Mean, 2), "gorgonia's Σ[2] is refused"},
		"Max":                 {along(gorgonia.Max, 2), "gorgonia's MaxAlong[2] is refused"},
		"Broadcast":           {broadcast(2), "gorgonia's Repeat2 is refused: its gradient is wrong along an axis between"},
		"Broadcast of two":    {broadcast(0, 2), "gorgonia's Repeat2 is refused"},
		"inside": {func(x *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Square(must(gorgonia.Log2(x))) },
			"gorgonia's log2 is refused"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, refusal(test.op), test.want) })
	}
	wantError(t, graph.Refused(nil, nil), "the node is nil")
}

func averagePool(x *gorgonia.Node) (*gorgonia.Node, error) {
	return gorgonia.AveragePool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
}

// What is let through has the gradient that it should.
func TestNotRefused(t *testing.T) {
	maxPool := func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return gorgonia.MaxPool2D(x, tensor.Shape{3, 2}, []int{1, 1}, []int{2, 1})
	}
	conv := func(x *gorgonia.Node) (*gorgonia.Node, error) {
		filter := gradcheck.Const(x, "filter", gradcheck.Normal(5, 2, 5, 3, 3))
		return gorgonia.Conv2d(x, filter, tensor.Shape{3, 3}, []int{1, 1}, []int{2, 1}, []int{1, 1})
	}
	tests := map[string]unary{
		"Sum":          along(gorgonia.Sum, 1),
		"Sum of two":   along(gorgonia.Sum, 0, 2),
		"Sum of three": along(gorgonia.Sum, 3, 0, 2),
		"Sum of all":   along(gorgonia.Sum),
		"Mean":         along(gorgonia.Mean, 3),
		"Max":          along(gorgonia.Max, 0),
		"Transpose":    along(gorgonia.Transpose, 0, 2, 3, 1),
		"Tanh":         gorgonia.Tanh,
		"MaxPool2D":    maxPool,
		"Conv2d":       conv,
	}
	for name, op := range tests {
		t.Run(name, func(t *testing.T) {
			if err := refusal(op); err != nil {
				t.Error(err)
			}
			gradcheck.Check(t, of(op), gradcheck.Normal(1, 3, 5, 4, 6))
		})
	}
	for _, axes := range [][]byte{{0}, {1}, {3}, {0, 1}, {2, 3}, {0, 2, 3}} {
		if err := refusal(broadcast(axes...)); err != nil {
			t.Errorf("a broadcast along %v: %v", axes, err)
		}
	}
}

func TestRefusedRemembers(t *testing.T) {
	x := bind(gorgonia.NewGraph(), "x", gradcheck.Normal(1, 3, 4))
	bad := must(gorgonia.Log2(x))
	if err := graph.Refused(bad, map[*gorgonia.Node]bool{bad: true}); err != nil {
		t.Errorf("a node that was seen is checked again: %v", err)
	}
	seen, good := map[*gorgonia.Node]bool{x: true}, must(gorgonia.Tanh(x))
	if err := graph.Refused(good, seen); err != nil || !seen[good] {
		t.Errorf("the error is %v and seen %v; want the node seen", err, seen)
	}
}

// Gorgonia merges inputs and constants that look alike, so a graph's own are
// made by its builder.
func TestForeignLeavesAreRefused(t *testing.T) {
	foreign := func(leaf *gorgonia.Node) unary {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.HadamardProd(x, leaf)
		}
	}
	value := gradcheck.Normal(2, 3, 5, 4, 6)
	for want, leaf := range map[string]*gorgonia.Node{
		"use Builder.Constant":             gorgonia.NewConstant(value),
		"constants of one name are merged": gorgonia.NewConstant(2.0, gorgonia.WithName("c")),
	} {
		wantError(t, refusal(foreign(leaf)), want)
	}
	if err := refusal(foreign(gorgonia.NewConstant(2.0))); err != nil {
		t.Error(err)
	}
	x := bind(gorgonia.NewGraph(), "x", value)
	y := gorgonia.NewTensor(x.Graph(), tensor.Float64, 4, gorgonia.WithShape(3, 5, 4, 6), gorgonia.WithValue(value))
	wantError(t, graph.Refused(must(gorgonia.Add(x, y)), map[*gorgonia.Node]bool{x: true}), "use Builder.Input")
}
