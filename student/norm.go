package student

import (
	"cmp"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// BatchNorm is the layer act((x - mean)/√(variance+Eps)·weight + bias) for x
// (B, C) or (B, C, ...), with a mean and a variance of each channel (Ioffe and
// Szegedy 2015, 1502.03167; torch.nn.BatchNorm1d, 2d and 3d). Its parameters have
// PyTorch's names: "weight" and "bias" (C), and as buffers "running_mean" and
// "running_var" (C).
//
// While training, they are those of the batch: of its samples, not of its
// padding, and whatever their weights are. So a sample's result depends on the
// others beside it, and on how a step is split: each micro-batch of an optimizer
// step is normalised by its own, as in PyTorch, where several small ones are not
// one large one. Each run of a training graph, one for each micro-batch, moves
// the running statistics. A batch that has one element of a channel is an error
// of that run: the last of an epoch may be one, which Loader.DropLast leaves out.
//
// In eval mode they are the running ones, and a sample depends on itself alone.
// Neither a teacher nor a measurement moves these.
type BatchNorm struct {
	Act      Act     // applied to the result
	Momentum float64 // how much of the running statistics a batch replaces, 1 at most; 0 means 0.1
	Eps      float64 // added to the variance; 0 means 1e-5
	NoAffine bool    // leaves weight and bias out
	// Fixed normalises by the running statistics while training too, and leaves
	// them as they are: for fine-tuning with small batches.
	Fixed bool
}

// Apply adds the layer to the graph.
func (l BatchNorm) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	if !(l.Momentum >= 0 && l.Momentum <= 1) {
		b.fail(fmt.Errorf("BatchNorm.Momentum is %v; want 0 to 1, 0 meaning 0.1", l.Momentum))
	}
	b.checkEps("BatchNorm", l.Eps)
	c := b.channels("BatchNorm", x)
	eps := cmp.Or(l.Eps, defaultEps)
	weight, bias := b.affine(l.NoAffine, c)
	mean, meanNode := b.Buffer("running_mean", Zeros, c)
	variance, varianceNode := b.Buffer("running_var", Ones, c)
	act, behind := split(l.Act)
	if !b.training || l.Fixed {
		y := b.Op(graph.BatchNormBy(x, meanNode, varianceNode, weight, bias, eps, act))
		return b.behind(y, behind)
	}
	n, moments, err := graph.BatchNorm(x, weight, bias, b.valid, eps, act)
	y := b.Op(n, err)
	b.After(y, func() {
		share := cmp.Or(l.Momentum, 0.1)
		approach(mean, moments.Mean, share, 1)
		approach(variance, moments.Variance, share, float64(moments.N)/float64(moments.N-1))
	})
	return b.behind(y, behind)
}

// approach moves a running statistic to factor times what a batch has, by a
// share of the way. The factor makes an unbiased variance of a biased one.
func approach(p *Param, batch []float64, share, factor float64) {
	switch running := p.Value.Data().(type) {
	case []float32:
		for i, v := range batch {
			running[i] = float32(between(float64(running[i]), factor*v, share))
		}
	case []float64:
		for i, v := range batch {
			running[i] = between(running[i], factor*v, share)
		}
	}
	p.Touch()
}

// between is computed without products that a CPU might fuse.
func between(from, to, share float64) float64 {
	return float64((1-share)*from) + float64(share*to)
}

// LayerNorm is the layer (x - mean)/√(variance+Eps)·weight + bias, with the mean
// and the variance over the last axes of x (B, ...), for each place before them
// (Ba et al. 2016, 1607.06450; torch.nn.LayerNorm). Its parameters are "weight"
// and "bias", of the shape of these axes.
type LayerNorm struct {
	Axes     int     // how many of the last axes; 0 means 1
	Eps      float64 // added to the variance; 0 means 1e-5
	NoAffine bool    // leaves weight and bias out
}

// Apply adds the layer to the graph.
func (l LayerNorm) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	axes := cmp.Or(l.Axes, 1)
	if axes < 1 || axes >= x.Dims() {
		b.fail(fmt.Errorf("LayerNorm.Axes is %d for an input of %v; want 1 or more, and fewer than the input has, 0 meaning 1", l.Axes, x.Shape()))
	}
	b.checkEps("LayerNorm", l.Eps)
	weight, bias := b.affine(l.NoAffine, x.Shape()[x.Dims()-axes:]...)
	return b.Op(graph.LayerNorm(x, axes, weight, bias, cmp.Or(l.Eps, defaultEps)))
}

// GroupNorm is the layer act((x - mean)/√(variance+Eps)·weight + bias) for x
// (B, C, ...), with the mean and the variance of each sample, over groups of its
// channels (Wu and He 2018, 1803.08494; torch.nn.GroupNorm). Its parameters are
// "weight" and "bias" (C). As many groups as channels are an instance norm.
type GroupNorm struct {
	Groups   int     // of channels, as many in each: 1 or more
	Act      Act     // applied to the result
	Eps      float64 // added to the variance; 0 means 1e-5
	NoAffine bool    // leaves weight and bias out
}

// Apply adds the layer to the graph.
func (l GroupNorm) Apply(b *Builder, x *gorgonia.Node) *gorgonia.Node {
	c := b.channels("GroupNorm", x)
	if l.Groups < 1 || c%l.Groups != 0 {
		b.fail(fmt.Errorf("GroupNorm.Groups is %d for %d channels; want 1 or more that divide them", l.Groups, c))
	}
	b.checkEps("GroupNorm", l.Eps)
	weight, bias := b.affine(l.NoAffine, c)
	act, behind := split(l.Act)
	y := b.Op(graph.GroupNorm(x, l.Groups, weight, bias, cmp.Or(l.Eps, defaultEps), act))
	return b.behind(y, behind)
}

// defaultEps is PyTorch's.
const defaultEps = 1e-5

func (b *Builder) checkEps(layer string, eps float64) {
	if !(eps >= 0) || math.IsInf(eps, 0) {
		b.fail(fmt.Errorf("%s.Eps is %v; want a finite number, 0 or more, 0 meaning %v", layer, eps, defaultEps))
	}
}

// channels is how many x has.
func (b *Builder) channels(layer string, x *gorgonia.Node) int {
	if x.Dims() < 2 {
		b.fail(fmt.Errorf("the input of %s is %v; want (B, C, ...)", layer, x.Shape()))
	}
	return x.Shape()[1]
}

// affine are the weight and bias of a norm, nil if it has none.
func (b *Builder) affine(none bool, shape ...int) (weight, bias *gorgonia.Node) {
	if none {
		return nil, nil
	}
	return b.Param("weight", Ones, shape...), b.Param("bias", Zeros, shape...)
}

// split is the part of an activation that a norm does itself, and what is left
// to be done behind it.
func split(act Act) (inside kernel.Act, behind Act) {
	if a := kernel.Act(act); a.Fused() {
		return a, Identity
	}
	return kernel.Identity, act
}

func (b *Builder) behind(x *gorgonia.Node, act Act) *gorgonia.Node {
	if act == Identity {
		return x
	}
	return b.Activate(x, act)
}

// Buffer is the parameter of that name, as Param makes it, which is a buffer: what
// training gathers, and does not learn.
func (b *Builder) Buffer(name string, init Init, shape ...int) (*Param, *gorgonia.Node) {
	n := b.Param(name, init, shape...)
	p := b.met[len(b.met)-1]
	p.Buffer = true
	return p, n
}

// After calls f after each run of a training graph that computes n, in the order
// of the calls: where buffers are moved.
func (b *Builder) After(n *gorgonia.Node, f func()) {
	b.given("After", n)
	b.gathered = append(b.gathered, gathering{n, f})
}

// A gathering is what is done after each run that computes a node.
type gathering struct {
	of *gorgonia.Node
	do func()
}
