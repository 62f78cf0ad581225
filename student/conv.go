package student

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// A Window is what a convolution or a pooling slides over images, with a number
// for the height and one for the width.
type Window struct {
	Kernel   [2]int // what it covers; 1 or more
	Stride   [2]int // how far it moves; 0 means 1, and Kernel where it pools
	Pad      [2]int // pixels added on both sides; half of Kernel at most where it pools
	Dilation [2]int // how far its taps are apart; 0 means 1
}

// Conv2d is act(x ∗ w + bias) for images x (B, C, H, W), a weight w (out,
// C/groups, height, width) and bias (out) or nil, in one operation. The Kernel of
// the window is that of w, or zero. It is (B, out, ...), of the size
// ⌊(size + 2·Pad - Dilation·(Kernel-1) - 1) / Stride⌋ + 1 along each axis.
func (b *Builder) Conv2d(x, w, bias *gorgonia.Node, window Window, groups int, act Act) *gorgonia.Node {
	b.given("Conv2d", x, w)
	return b.Op(graph.Conv2d(x, w, bias, kernel.Window(window), groups, kernel.Act(act)))
}

// MaxPool2d is the largest pixel that the window sees of each channel of images
// x (B, C, H, W). Padding is never the largest.
func (b *Builder) MaxPool2d(x *gorgonia.Node, window Window) *gorgonia.Node {
	b.given("MaxPool2d", x)
	return b.Op(graph.MaxPool(x, kernel.Window(window)))
}

// AvgPool2d is the mean of what the window sees of each channel of images x (B,
// C, H, W). Padding counts as zeros, or not at all with excludePad.
func (b *Builder) AvgPool2d(x *gorgonia.Node, window Window, excludePad bool) *gorgonia.Node {
	b.given("AvgPool2d", x)
	return b.Op(graph.AvgPool(x, kernel.Window(window), excludePad))
}

// GlobalAvgPool2d is the mean of each channel of images x (B, C, H, W): (B, C).
func (b *Builder) GlobalAvgPool2d(x *gorgonia.Node) *gorgonia.Node {
	b.given("GlobalAvgPool2d", x)
	return b.Op(graph.GlobalAvgPool(x))
}

// Conv2d is the layer act(x ∗ W + b) on images x (B, C, H, W), or (B, H, W) of
// one channel, with parameters "weight" (Out, C/Groups, Kernel, Kernel) and
// "bias" (Out), as torch.nn.Conv2d has it.
//
//	student.Conv2d{Out: 32, Kernel: 3, Pad: 1, Act: student.ReLU}
type Conv2d struct {
	Out      int // channels of the output, 1 or more
	Kernel   int // height and width of the window
	Stride   int // 0 means 1
	Pad      int // rows and columns of zeros on each side
	Dilation int // how far the taps of the window are apart; 0 means 1
	// Window is used in place of Kernel, Stride, Pad and Dilation, which are then
	// 0, where height and width differ.
	Window Window
	// Groups is how many parts the channels have that are convolved each by
	// itself, a divisor of C and Out: C for a depthwise convolution. 0 means 1.
	Groups int
	Act    Act  // applied to the sum
	NoBias bool // leaves b out, as before a batch norm
	// Init is that of the weight, with a bias of 0; nil is PyTorch's default
	// for both: uniform within 1/√(C/Groups·height·width).
	Init Init
}

// Apply adds the layer to the graph.
func (l Conv2d) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	window := b.window("Conv2d", Window{square(l.Kernel), square(l.Stride), square(l.Pad), square(l.Dilation)}, l.Window)
	x = b.images("Conv2d", x)
	groups, channels := max(l.Groups, 1), x.Shape()[1]
	switch {
	case l.Out < 1:
		b.fail(fmt.Errorf("Conv2d.Out is %d; want 1 or more", l.Out))
	case l.Groups < 0 || channels%groups != 0 || l.Out%groups != 0:
		b.fail(fmt.Errorf("Conv2d.Groups is %d; want a divisor of the channels, %d, and of Out, %d", l.Groups, channels, l.Out))
	}
	// Before there are parameters: a slip of the pen may ask for many.
	size := [2]int{x.Shape()[2], x.Shape()[3]}
	b.Check(kernel.Conv{In: channels, Out: l.Out, Groups: groups, Size: size, Window: kernel.Window(window)}.Check())
	fanIn := channels / groups * window.Kernel[0] * window.Kernel[1]
	weight, bias := l.Init, Init(Zeros)
	if weight == nil {
		weight, bias = Torch, Uniform(1/math.Sqrt(float64(fanIn)))
	}
	w := b.Param("weight", weight, l.Out, channels/groups, window.Kernel[0], window.Kernel[1])
	if l.NoBias {
		return b.Conv2d(x, w, nil, window, groups, l.Act)
	}
	return b.Conv2d(x, w, b.Param("bias", bias, l.Out), window, groups, l.Act)
}

// square is n in height and width.
func square(n int) [2]int { return [2]int{n, n} }

// window is that of a layer: one field says all of it, or the others do.
func (b *Builder) window(layer string, square, window Window) Window {
	switch none := (Window{}); {
	case window == none:
		window = square
	case square != none:
		b.fail(fmt.Errorf("%s.Window is %v beside Kernel, Stride, Pad or Dilation; want either", layer, window))
	}
	if min(window.Kernel[0], window.Kernel[1]) < 1 {
		b.fail(fmt.Errorf("%s.Kernel is %v; want 1 or more", layer, window.Kernel))
	}
	return window
}

// images is x as (B, C, H, W).
func (b *Builder) images(layer string, x *gorgonia.Node) *gorgonia.Node {
	s := x.Shape()
	switch len(s) {
	case 3:
		return b.Reshape(x, s[0], 1, s[1], s[2])
	case 4:
		return x
	}
	b.fail(fmt.Errorf("the input of %s is %v; want (B, C, H, W), or (B, H, W) of one channel", layer, s))
	return nil
}

// MaxPool2d is the layer of the largest pixel in each window of images (B, C, H,
// W), or (B, H, W) of one channel, as torch.nn.MaxPool2d has it.
type MaxPool2d struct {
	Kernel   int // height and width of the window
	Stride   int // 0 means Kernel
	Pad      int // rows and columns on each side, of which none is the largest; half of Kernel at most
	Dilation int // how far the taps of the window are apart; 0 means 1
	// Window is used in place of the other fields, which are then 0, where
	// height and width differ.
	Window Window
}

// Apply adds the layer to the graph.
func (l MaxPool2d) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	window := b.window("MaxPool2d", Window{square(l.Kernel), square(l.Stride), square(l.Pad), square(l.Dilation)}, l.Window)
	return b.MaxPool2d(b.images("MaxPool2d", x), window)
}

// AvgPool2d is the layer of the mean of each window of images (B, C, H, W), or
// (B, H, W) of one channel, as torch.nn.AvgPool2d has it.
type AvgPool2d struct {
	Kernel int // height and width of the window
	Stride int // 0 means Kernel
	Pad    int // rows and columns of zeros on each side; half of Kernel at most
	// Window is used in place of Kernel, Stride and Pad, which are then 0, where
	// height and width differ.
	Window Window
	// ExcludePad leaves the padding out of the mean: PyTorch's
	// count_include_pad=False.
	ExcludePad bool
}

// Apply adds the layer to the graph.
func (l AvgPool2d) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	window := b.window("AvgPool2d", Window{Kernel: square(l.Kernel), Stride: square(l.Stride), Pad: square(l.Pad)}, l.Window)
	return b.AvgPool2d(b.images("AvgPool2d", x), window, l.ExcludePad)
}

// GlobalAvgPool2d makes (B, C) of images (B, C, H, W): the mean of each channel,
// as torch.nn.AdaptiveAvgPool2d(1) and Flatten have it.
type GlobalAvgPool2d struct{}

// Apply adds the layer to the graph.
func (GlobalAvgPool2d) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	return b.GlobalAvgPool2d(b.images("GlobalAvgPool2d", x))
}
