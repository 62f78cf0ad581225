package student

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"
)

// MobileNetV2 is a network of inverted residuals for images (C, H, W) (Sandler et
// al. 2018, 1801.04381, table 2): a block widens its channels by a convolution of
// one pixel, convolves each of them by itself, and makes them few again, without
// an activation.
//
//	student.MobileNetV2{Width: 0.5, Small: true, Out: 100}
type MobileNetV2 struct {
	// Width multiplies the channels of all layers but, below 1, those of the last
	// convolution; they are rounded to multiples of 8, as the authors do. 0 means
	// 1, and 16 is the most.
	Width  float64
	Out    int // number of logits
	Expand int // how often its channels a block has inside; 0 means 6
	// Small is for images of about 32 pixels: the first convolution and the
	// blocks of 24 channels do not halve them, so that they are halved three
	// times and not five.
	Small   bool
	Dropout float64 // the rate before the last layer
}

// Forward applies the blocks. Its taps are "features.0", the first convolution,
// "features.1" to "features.17", the blocks, "features.18", the last convolution,
// "pool" (B, 1280 or more) and "logits". The parameters are torchvision's:
// "features.0.0", "features.0.1", "features.1.conv.0.0", ..., "classifier.1".
func (m MobileNetV2) Forward(b *Builder, in Taps) Taps {
	x := b.pixels("MobileNetV2", in)
	m.check(b)
	x = b.normed("features.0.0", "features.0.1", square3(m.channels(32), m.halves()), x, ReLU6)
	t := Taps{"features.0": x}
	for _, s := range m.stages() {
		for i := range s.n {
			name := fmt.Sprint("features.", len(t))
			x = inverted(b.Scope(name).Scope("conv"), x, s.t, m.channels(s.c), stride(i, s.s))
			t[name] = x
		}
	}
	x = b.normed("features.18.0", "features.18.1", square1(max(m.channels(1280), 1280), 1), x, ReLU6)
	t["features.18"], t["pool"] = x, b.GlobalAvgPool2d(x)
	x = b.Layer("classifier.0", Dropout{Rate: m.Dropout}, t["pool"])
	t["logits"] = b.Layer("classifier.1", Linear{Out: m.Out}, x)
	return t
}

// An invertedStage is a row of table 2: n blocks of c channels, t times as many
// inside, the first with stride s.
type invertedStage struct{ t, c, n, s int }

func (m MobileNetV2) stages() []invertedStage {
	t := cmp.Or(m.Expand, 6)
	return []invertedStage{
		{1, 16, 1, 1},
		{t, 24, 2, m.halves()},
		{t, 32, 3, 2},
		{t, 64, 4, 2},
		{t, 96, 3, 1},
		{t, 160, 3, 2},
		{t, 320, 1, 1},
	}
}

// halves is the stride of what does not halve small images.
func (m MobileNetV2) halves() int {
	if m.Small {
		return 1
	}
	return 2
}

// channels is Width·c, rounded to the next multiple of 8, or up where that would
// take a tenth away.
func (m MobileNetV2) channels(c int) int {
	want := float64(c) * cmp.Or(m.Width, 1)
	n := max(int(want+4)/8*8, 8)
	if float64(n) < 0.9*want {
		n += 8
	}
	return n
}

// inverted is the block norm(w₃ ∗ ReLU6(norm(w₂ ∗ ReLU6(norm(w₁ ∗ x))))), of which
// w₂ sees channels one by one, plus x where the shape is the same. Without
// widening, there is no w₁.
func inverted(b *Builder, x *gorgonia.Node, widen, channels, stride int) *gorgonia.Node {
	h, i, inside := x, 0, widen*x.Shape()[1]
	if widen > 1 {
		h = b.normed("0.0", "0.1", square1(inside, 1), h, ReLU6)
		i = 1
	}
	each := square3(inside, stride)
	each.Groups = inside
	h = b.normed(fmt.Sprint(i, ".0"), fmt.Sprint(i, ".1"), each, h, ReLU6)
	h = b.normed(fmt.Sprint(i+1), fmt.Sprint(i+2), square1(channels, 1), h, Identity)
	if stride > 1 || x.Shape()[1] != channels {
		return h
	}
	return b.Add(h, x, Identity)
}

func (m MobileNetV2) check(b *Builder) {
	b.checkCount("MobileNetV2.Out", m.Out, 1)
	b.checkCount("MobileNetV2.Expand", m.Expand, 0)
	if !(m.Width >= 0 && m.Width <= 16) {
		b.fail(fmt.Errorf("MobileNetV2.Width is %v; want 0 to 16, 0 meaning 1", m.Width))
	}
}
