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

// checkCount refuses a number of things that is too small.
func (b *Builder) checkCount(field string, n, least int) {
	if n < least {
		b.fail(fmt.Errorf("%s is %d; want %d or more", field, n, least))
	}
}

// blocks is how many blocks a stage has in a network of a depth that is
// per·n+rest layers, n being 1 or more.
func (b *Builder) blocks(field string, depth, per, rest int) int {
	n := (depth - rest) / per
	if n < 1 || depth != per*n+rest {
		b.fail(fmt.Errorf("%s is %d; want %dn+%d, such as %d or %d", field, depth, per, rest, per+rest, 3*per+rest))
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
