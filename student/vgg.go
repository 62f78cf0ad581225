package student

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"
)

// VGG is a network of convolutions of 3 by 3 pixels in five blocks, each with
// twice the channels of the one before up to eight times (Simonyan and Zisserman
// 2014, 1409.1556, table 1), as the literature on distillation has it for small
// images (C, H, W): with a batch norm before each ReLU, maxima over 2 by 2 pixels
// after the first three blocks, and after the fourth from 64 pixels on, and a mean
// over the pixels and one linear layer in place of the paper's three.
//
//	student.VGG{Depth: 13, Out: 100}
type VGG struct {
	Depth    int  // layers with weights, by the paper's count: 8, 11, 13, 16 or 19; 0 means 16
	Out      int  // number of logits
	Channels int  // of the first block; 0 means 64
	NoNorm   bool // leaves the batch norms out, as the paper does
}

// vggConvs is how many convolutions each block has, by depth. That of 8 is of the
// literature on distillation.
var vggConvs = map[int][5]int{
	8:  {1, 1, 1, 1, 1},
	11: {1, 1, 2, 2, 2},
	13: {2, 2, 2, 2, 2},
	16: {2, 2, 3, 3, 3},
	19: {2, 2, 4, 4, 4},
}

// Forward applies the blocks. Its taps are "block0" to "block4", after ReLU and
// before the maximum, "pool" (B, 8·Channels) and "logits". Its parameters are
// "block0.0" for a convolution, "block0.1" for its norm, "block0.3" for the next
// one, and so on, as nn.Sequential counts with ReLU, and "classifier".
func (v VGG) Forward(b *Builder, in Taps) Taps {
	x := b.pixels("VGG", in)
	size := min(x.Shape()[2], x.Shape()[3])
	v.check(b, size)
	t := Taps{}
	for i, convs := range vggConvs[cmp.Or(v.Depth, 16)] {
		name := fmt.Sprint("block", i)
		x = v.block(b.Scope(name), x, cmp.Or(v.Channels, 64)<<min(i, 3), convs)
		t[name] = x
		if i < 3 || i == 3 && size >= 64 {
			x = b.MaxPool2d(x, Window{Kernel: square(2)})
		}
	}
	return b.classify(t, x, "classifier", v.Out)
}

// block is ReLU(norm(x ∗ w + bias)), some times over.
func (v VGG) block(b *Builder, x *gorgonia.Node, channels, convs int) *gorgonia.Node {
	conv, each := Conv2d{Out: channels, Kernel: 3, Pad: 1, Init: HeOut}, 3
	if v.NoNorm {
		conv.Act, each = ReLU, 2
	}
	for i := range convs {
		x = b.Layer(fmt.Sprint(each*i), conv, x)
		if !v.NoNorm {
			x = b.Layer(fmt.Sprint(each*i+1), BatchNorm{Act: ReLU}, x)
		}
	}
	return x
}

func (v VGG) check(b *Builder, size int) {
	if _, ok := vggConvs[cmp.Or(v.Depth, 16)]; !ok {
		b.fail(fmt.Errorf("VGG.Depth is %d; want 8, 11, 13, 16 or 19, 0 meaning 16", v.Depth))
	}
	b.checkCount("VGG.Out", v.Out, 1)
	b.checkCount("VGG.Channels", v.Channels, 0)
	if size < 8 {
		b.fail(fmt.Errorf("the images of VGG have a side of %d pixels; want 8 or more, for it halves them three times", size))
	}
}
