package graph_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

func TestPools(t *testing.T) {
	largest := func(w kernel.Window) unary {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.MaxPool(x, w) }
	}
	mean := func(w kernel.Window, exclude bool) unary {
		return func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.AvgPool(x, w, exclude) }
	}
	halves := kernel.Window{Kernel: [2]int{2, 2}}
	overlapping := kernel.Window{Kernel: [2]int{3, 2}, Stride: [2]int{1, 1}}
	padded := kernel.Window{Kernel: [2]int{3, 3}, Stride: [2]int{2, 1}, Pad: [2]int{1, 1}}
	dilated := kernel.Window{Kernel: [2]int{2, 3}, Dilation: [2]int{3, 2}, Stride: [2]int{1, 2}, Pad: [2]int{1, 1}}
	tests := map[string]struct {
		op   unary
		want tensor.Shape
	}{
		"max":             {largest(halves), tensor.Shape{3, 4, 2, 3}},
		"max overlapping": {largest(overlapping), tensor.Shape{3, 4, 3, 5}},
		"max padded":      {largest(padded), tensor.Shape{3, 4, 3, 6}},
		"max dilated":     {largest(dilated), tensor.Shape{3, 4, 4, 2}},
		"avg":             {mean(halves, false), tensor.Shape{3, 4, 2, 3}},
		"avg overlapping": {mean(overlapping, false), tensor.Shape{3, 4, 3, 5}},
		"avg padded":      {mean(padded, false), tensor.Shape{3, 4, 3, 6}},
		"avg excluding":   {mean(padded, true), tensor.Shape{3, 4, 3, 6}},
		"avg dilated":     {mean(dilated, true), tensor.Shape{3, 4, 4, 2}},
		"global":          {graph.GlobalAvgPool, tensor.Shape{3, 4}},
	}
	x := gradcheck.Normal(1, 3, 4, 5, 6)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, of(test.op), x)
			if y := must(test.op(bind(gorgonia.NewGraph(), "x", x))); !y.Shape().Eq(test.want) {
				t.Errorf("the shape is %v; want %v", y.Shape(), test.want)
			}
		})
	}
}

func TestPoolsRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x, flat := bind(g, "x", gradcheck.Normal(1, 3, 4, 5, 6)), bind(g, "flat", gradcheck.Normal(1, 3, 4, 5))
	id := bind(g, "id", dense(make([]int, 3*4*5*6), 3, 4, 5, 6))
	quarter := kernel.Window{Kernel: [2]int{2, 2}}
	tests := map[string]struct {
		err  error
		want string
	}{
		"max of rows":    {second(graph.MaxPool(flat, quarter)), "max-pool: x is (3, 4, 5); want (B, C, H, W)"},
		"mean of rows":   {second(graph.AvgPool(flat, quarter, false)), "avg-pool: x is (3, 4, 5); want (B, C, H, W)"},
		"global of rows": {second(graph.GlobalAvgPool(flat)), "global-avg-pool: x is (3, 4, 5); want (B, C, H, W)"},
		"no kernel":      {second(graph.MaxPool(x, kernel.Window{})), "max-pool: kernel: Window.Kernel is [0 0]; want 1 to 16384"},
		"large kernel":   {second(graph.AvgPool(x, kernel.Window{Kernel: [2]int{3, 7}}, false)), "avg-pool: kernel: Window spans 7 pixels along axis 1 of an image of [5 6]"},
		"much padding":   {second(graph.MaxPool(x, kernel.Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 2}})), "max-pool: kernel: Window.Pad is [1 2] of a pool; want half of Kernel at most"},
		"max of ints":    {second(graph.MaxPool(id, quarter)), "max-pool: input 0 is of int; want float32"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}
