package graph_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

func TestConv2d(t *testing.T) {
	tests := map[string]struct {
		x, w   []int
		groups int
		window kernel.Window
		act    kernel.Act
		want   tensor.Shape
	}{
		"plain":      {[]int{3, 3, 4, 5}, []int{4, 3, 3, 3}, 1, kernel.Window{}, kernel.Identity, tensor.Shape{3, 4, 2, 3}},
		"padded":     {[]int{3, 3, 4, 5}, []int{4, 3, 3, 3}, 1, kernel.Window{Kernel: [2]int{3, 3}, Pad: [2]int{1, 1}}, kernel.Tanh, tensor.Shape{3, 4, 4, 5}},
		"stride 2":   {[]int{3, 3, 6, 5}, []int{4, 3, 3, 3}, 1, kernel.Window{Stride: [2]int{2, 2}, Pad: [2]int{1, 1}}, kernel.ReLU, tensor.Shape{3, 4, 3, 3}},
		"stride 1 2": {[]int{3, 3, 5, 6}, []int{4, 3, 3, 3}, 1, kernel.Window{Stride: [2]int{1, 2}}, kernel.Sigmoid, tensor.Shape{3, 4, 3, 2}},
		"dilated":    {[]int{3, 3, 6, 7}, []int{4, 3, 3, 3}, 1, kernel.Window{Dilation: [2]int{2, 3}, Pad: [2]int{0, 1}}, kernel.Identity, tensor.Shape{3, 4, 2, 3}},
		"groups":     {[]int{3, 6, 4, 3}, []int{9, 2, 3, 3}, 3, kernel.Window{Pad: [2]int{1, 1}}, kernel.Tanh, tensor.Shape{3, 9, 4, 3}},
		"depthwise":  {[]int{3, 5, 4, 3}, []int{5, 1, 3, 3}, 5, kernel.Window{Pad: [2]int{1, 1}}, kernel.ReLU, tensor.Shape{3, 5, 4, 3}},
		"oblong":     {[]int{3, 3, 4, 6}, []int{4, 3, 1, 4}, 1, kernel.Window{Pad: [2]int{0, 1}}, kernel.Identity, tensor.Shape{3, 4, 4, 5}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x, w, b := gradcheck.Normal(1, test.x...), gradcheck.Normal(2, test.w...), gradcheck.Normal(3, test.w[0])
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				return graph.Conv2d(in[0], in[1], in[2], test.window, test.groups, test.act)
			}, x, w, b)
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				return graph.Conv2d(in[0], in[1], nil, test.window, test.groups, test.act)
			}, x, w)
			g := gorgonia.NewGraph()
			y := must(graph.Conv2d(bind(g, "x", x), bind(g, "w", w), nil, test.window, test.groups, test.act))
			if !y.Shape().Eq(test.want) {
				t.Errorf("the shape is %v; want %v", y.Shape(), test.want)
			}
		})
	}
}

func TestConv2dRefuses(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w, b := bind(g, "x", gradcheck.Normal(1, 3, 6, 4, 5)), bind(g, "w", gradcheck.Normal(2, 9, 2, 3, 4)), bind(g, "b", gradcheck.Normal(3, 9))
	flat := bind(g, "flat", gradcheck.Normal(1, 3, 6))
	single := bind(g, "single", dense(make([]float32, 9*2*3*4), 9, 2, 3, 4))
	conv := func(x, w, b *gorgonia.Node, window kernel.Window, groups int, act kernel.Act) error {
		return second(graph.Conv2d(x, w, b, window, groups, act))
	}
	var none kernel.Window
	tests := map[string]struct {
		err  error
		want string
	}{
		"rows":         {conv(flat, w, b, none, 3, 0), "conv2d: x is (3, 6) and w (9, 2, 3, 4) in 3 groups; want (B, C, H, W) and (out, C/groups, height, width)"},
		"flat weight":  {conv(x, flat, b, none, 3, 0), "conv2d: x is (3, 6, 4, 5) and w (3, 6) in 3 groups"},
		"channels":     {conv(x, w, b, none, 1, 0), "in 1 groups; want (B, C, H, W)"},
		"groups":       {conv(x, w, b, none, 4, 0), "in 4 groups"},
		"no groups":    {conv(x, w, b, none, 0, 0), "in 0 groups"},
		"kernel":       {conv(x, w, b, kernel.Window{Kernel: [2]int{4, 3}}, 3, 0), "conv2d: Window.Kernel is [4 3] and w (9, 2, 3, 4); want that of w, or zero"},
		"window":       {conv(x, w, b, kernel.Window{Stride: [2]int{1, -2}}, 3, 0), "conv2d: kernel: Window.Stride is [1 -2]"},
		"small images": {conv(x, w, b, kernel.Window{Dilation: [2]int{2, 1}}, 3, 0), "conv2d: kernel: Window spans 5 pixels along axis 0 of an image of [4 5]"},
		"bias":         {conv(x, w, flat, none, 3, 0), "conv2d: the bias is (3, 6); want (9)"},
		"activation":   {conv(x, w, b, none, 3, 200), `conv2d: kernel: activation is "Act(200)"`},
		"types":        {conv(x, single, nil, none, 3, 0), "conv2d: input 1 is of float32; want float64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}
