package student

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"
)

// WideResNet is WRN-Depth-Width for small images (C, H, W) (Zagoruyko and
// Komodakis 2016, 1605.07146, table 1): a residual network of few and wide
// blocks, of which each norms before it convolves (He et al. 2016, 1603.05027).
// It has three stages of n blocks of two convolutions; the second and third halve
// the images and double the channels.
//
//	student.WideResNet{Depth: 16, Width: 2, Out: 100} // WRN-16-2
type WideResNet struct {
	Depth   int     // layers with weights, 6n+4; 0 means 16
	Width   int     // how often 16, 32 and 64 channels the stages have; 0 means 1
	Out     int     // number of logits
	Dropout float64 // the rate between the convolutions of a block
}

// Forward applies the blocks. Its taps are "stem", the first convolution, each
// block, from "block1.layer.0" on, each stage, which is its last block, "block1"
// to "block3", "pool" (B, 64·Width), of what was normed once more, and "logits".
// Blocks are taken before the norm and ReLU of the next one. The parameters are
// "conv1", "block1.layer.0.bn1", ..., "block1.layer.0.convShortcut", "bn1" and
// "fc", as PyTorch's versions have them.
func (w WideResNet) Forward(b *Builder, in Taps) Taps {
	x := b.pixels("WideResNet", in)
	n := b.blocks("WideResNet.Depth", cmp.Or(w.Depth, 16), 4)
	b.checkCount("WideResNet.Width", w.Width, 0)
	b.checkCount("WideResNet.Out", w.Out, 1)
	x = b.Layer("conv1", square3(16, 1), x)
	t := Taps{"stem": x}
	for stage, first := range []int{1, 2, 2} {
		block := fmt.Sprint("block", stage+1)
		for i := range n {
			name := fmt.Sprint(block, ".layer.", i)
			x = w.block(b.Scope(name), x, 16*max(w.Width, 1)<<stage, stride(i, first))
			t[name] = x
		}
		t[block] = x
	}
	return b.classify(t, b.Layer("bn1", BatchNorm{Act: ReLU}, x), "fc", w.Out)
}

// block is w₂ ∗ ReLU(norm(w₁ ∗ h)) + x with h = ReLU(norm(x)). Where the channels
// change, w ∗ h is in the place of x.
func (w WideResNet) block(b *Builder, x *gorgonia.Node, channels, stride int) *gorgonia.Node {
	h := b.Layer("bn1", BatchNorm{Act: ReLU}, x)
	if x.Shape()[1] != channels {
		x = b.Layer("convShortcut", square1(channels, stride), h)
	}
	h = b.normed("conv1", "bn2", square3(channels, stride), h, ReLU)
	h = b.Layer("dropout", Dropout{Rate: w.Dropout}, h)
	return b.Add(b.Layer("conv2", square3(channels, 1), h), x, Identity)
}
