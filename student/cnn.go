package student

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// CNN is a plain convolutional network for images (C, H, W), or (H, W) of one
// channel. Each of its stages is a convolution of 3 by 3 pixels, ReLU, and a
// maximum over 2 by 2 pixels, which halves the images; linear layers follow
// (LeCun et al. 1998, section II, with ReLU and maxima).
//
//	student.CNN{Channels: []int{16, 32}, Out: 10}
type CNN struct {
	Channels []int // of the stages, each 1 or more; nil means 16 and 32
	Hidden   []int // widths of the linear layers before the last, with ReLU
	Out      int   // number of logits
	// Norm puts a batch norm between each convolution, which has no bias then,
	// and its ReLU.
	Norm bool
}

// Forward applies the layers. Its taps are "stage1", "stage2", ..., after the
// maximum, "pool", which is the last of them as (B, C·H·W), "fc1", "fc2", ... of
// Hidden, and "logits". Its parameters are those of "conv1", "bn1", "conv2", ...,
// "fc1", "fc2", ..., and "fc".
func (c CNN) Forward(b *Builder, in Taps) Taps {
	x := b.pixels("CNN", in)
	if c.Channels == nil {
		c.Channels = []int{16, 32}
	}
	c.check(b, x.Shape()[2:])
	t := Taps{}
	for i, channels := range c.Channels {
		x = b.MaxPool2d(c.conv(b, i+1, channels, x), Window{Kernel: square(2)})
		t[fmt.Sprint("stage", i+1)] = x
	}
	x = Flatten{}.Apply(b, x)
	t["pool"] = x
	for i, width := range c.Hidden {
		name := fmt.Sprint("fc", i+1)
		x = b.Layer(name, Linear{Out: width, Act: ReLU}, x)
		t[name] = x
	}
	t["logits"] = b.Layer("fc", Linear{Out: c.Out}, x)
	return t
}

// conv is ReLU(x ∗ w + bias), or ReLU(norm(x ∗ w)).
func (c CNN) conv(b *Builder, stage, channels int, x *gorgonia.Node) *gorgonia.Node {
	name, conv := fmt.Sprint("conv", stage), Conv2d{Out: channels, Kernel: 3, Pad: 1}
	if c.Norm {
		conv.NoBias = true
		return b.normed(name, fmt.Sprint("bn", stage), conv, x, ReLU)
	}
	conv.Act = ReLU
	return b.Layer(name, conv, x)
}

// check refuses more stages than can halve an image.
func (c CNN) check(b *Builder, size []int) {
	b.checkCount("CNN.Out", c.Out, 1)
	n := len(c.Channels)
	if n == 0 || min(size[0], size[1])>>n < 1 {
		b.fail(fmt.Errorf("CNN.Channels has %d stages for images of %d by %d pixels; want 1 or more, but fewer than leave no pixel, for each halves them", n, size[0], size[1]))
	}
	for i, channels := range c.Channels {
		b.checkCount(fmt.Sprintf("CNN.Channels[%d]", i), channels, 1)
	}
	for i, width := range c.Hidden {
		b.checkCount(fmt.Sprintf("CNN.Hidden[%d]", i), width, 1)
	}
}
