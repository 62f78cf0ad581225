package student

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"
)

// ResNet is a residual network for small images (C, H, W), as those of CIFAR (He
// et al. 2015, 1512.03385, section 4.2): a convolution, three stages of n blocks
// of two convolutions, of which the second and third halve the images and double
// the channels, a mean over the pixels and a linear layer. Where a block changes
// the shape, its shortcut is a convolution of one pixel with a batch norm: option
// B of the paper, as in the ResNets of the literature on distillation, which are
//
//	student.ResNet{Depth: 20, Out: 100}                     // resnet20; and 8, 14, 32, 44, 56, 110
//	student.ResNet{Depth: 8, Width: 4, Stem: 32, Out: 100}  // resnet8x4; and 32
type ResNet struct {
	Depth int // layers with weights, 6n+2; 0 means 20
	Out   int // number of logits
	Width int // how often 16, 32 and 64 channels the stages have; 0 means 1
	Stem  int // channels of the first convolution; 0 means 16·Width
}

// Forward applies the blocks. Its taps are "stem", after the first ReLU, each
// block, from "layer1.0" on, each stage, which is its last block, "layer1" to
// "layer3", "pool" (B, 64·Width) and "logits". Its parameters have PyTorch's
// names: "conv1", "bn1", "layer1.0.conv1", ..., "layer2.0.downsample.0" and "fc".
func (r ResNet) Forward(b *Builder, in Taps) Taps {
	x := b.pixels("ResNet", in)
	n := b.blocks("ResNet.Depth", cmp.Or(r.Depth, 20), 2)
	b.checkCount("ResNet.Out", r.Out, 1)
	b.checkCount("ResNet.Width", r.Width, 0)
	b.checkCount("ResNet.Stem", r.Stem, 0)
	width := 16 * max(r.Width, 1)
	x = b.normed("conv1", "bn1", square3(cmp.Or(r.Stem, width), 1), x, ReLU)
	t := Taps{"stem": x}
	for stage, first := range []int{1, 2, 2} {
		layer := fmt.Sprint("layer", stage+1)
		for i := range n {
			name := fmt.Sprint(layer, ".", i)
			x = residual(b.Scope(name), x, width<<stage, stride(i, first))
			t[name] = x
		}
		t[layer] = x
	}
	return b.classify(t, x, "fc", r.Out)
}

// residual is the basic block: ReLU(norm(w₂ ∗ ReLU(norm(w₁ ∗ x))) + x).
func residual(b *Builder, x *gorgonia.Node, channels, stride int) *gorgonia.Node {
	h := b.normed("conv1", "bn1", square3(channels, stride), x, ReLU)
	h = b.normed("conv2", "bn2", square3(channels, 1), h, Identity)
	if stride > 1 || x.Shape()[1] != channels {
		x = b.normed("downsample.0", "downsample.1", square1(channels, stride), x, Identity)
	}
	return b.Add(h, x, ReLU)
}
