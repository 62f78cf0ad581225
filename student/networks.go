package student

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/data"
)

// pixels is what a ready-made network looks at, as (B, C, H, W).
func (b *Builder) pixels(net string, in Taps) *gorgonia.Node {
	x := in[data.Input]
	if x == nil {
		b.fail(fmt.Errorf("%s wants the input %q", net, data.Input))
	}
	return b.images(net, x)
}

// maxCount bounds channels and classes, so that their multiples fit an int.
const maxCount = 1 << 20

// checkCount refuses a number of things that is too small, or a slip of the pen.
func (b *Builder) checkCount(field string, n, least int) {
	switch {
	case n < least:
		b.fail(fmt.Errorf("%s is %d; want %d or more", field, n, least))
	case n > maxCount:
		b.fail(fmt.Errorf("%s is %d; want %d at most", field, n, maxCount))
	}
}

// maxDepth is more than the layers of any network that was published.
const maxDepth = 10_000

// blocks is how many blocks each of three stages has, two layers to a block, in a
// network of a depth with rest other layers.
func (b *Builder) blocks(field string, depth, rest int) int {
	n := (depth - rest) / 6
	switch {
	case n < 1 || depth != 6*n+rest:
		b.fail(fmt.Errorf("%s is %d; want 6n+%d, such as %d or %d", field, depth, rest, 6+rest, 18+rest))
	case depth > maxDepth:
		b.fail(fmt.Errorf("%s is %d; want %d at most", field, depth, maxDepth))
	}
	return n
}

// square3 is a convolution that sees a pixel and its neighbours, and has no bias,
// as before a batch norm.
func square3(out, stride int) Conv2d {
	return Conv2d{Out: out, Kernel: 3, Stride: stride, Pad: 1, NoBias: true, Init: HeOut}
}

// square1 is a convolution that sees one pixel, without a bias.
func square1(out, stride int) Conv2d {
	return Conv2d{Out: out, Kernel: 1, Stride: stride, NoBias: true, Init: HeOut}
}

// normed is act(norm(x ∗ w)).
func (b *Builder) normed(conv, norm string, c Conv2d, x *gorgonia.Node, act Act) *gorgonia.Node {
	return b.Layer(norm, BatchNorm{Act: act}, b.Layer(conv, c, x))
}

// stride is that of the block i of a stage: the first one may halve its images.
func stride(i, first int) int {
	if i == 0 {
		return first
	}
	return 1
}

// classify ends a network: what images x have on average is "pool", and a
// linear layer makes "logits" of it.
func (b *Builder) classify(t Taps, x *gorgonia.Node, name string, out int) Taps {
	t["pool"] = b.GlobalAvgPool2d(x)
	t["logits"] = b.Layer(name, Linear{Out: out}, t["pool"])
	return t
}
