package graph

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Moments are the mean and the biased variance of each channel in the last run,
// and over how many elements: 0 before the first.
type Moments struct {
	Mean, Variance []float64
	N              int
}

// BatchNorm is act((x - mean)/√(variance+eps)·weight + bias) for x (B, C, ...),
// with the mean and the biased variance of each channel over the samples of the
// batch whose mask (B) is not 0, which it tells (Ioffe and Szegedy 2015,
// algorithm 1; torch.nn.BatchNorm2d in training). Other samples become 0. weight
// and bias are (C), or nil for 1 and 0. A run fails where a channel has fewer
// than 2 elements.
func BatchNorm(x, weight, bias, mask *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, *Moments, error) {
	if err := checkChannels("batch norm", x, weight, bias, eps, act); err != nil {
		return nil, nil, err
	}
	if !mask.Shape().Eq(x.Shape()[:1]) {
		return nil, nil, fmt.Errorf("graph: batch norm: the mask is %v and x %v; want (B) and (B, C, ...)", mask.Shape(), x.Shape())
	}
	if x.Dtype() == tensor.Float64 {
		return batchNorm[float64](x, weight, bias, mask, eps, act)
	}
	return batchNorm[float32](x, weight, bias, mask, eps, act)
}

// BatchNormBy is [BatchNorm] by a given mean and variance (C), which are
// constants: what a batch norm does in eval mode. A sample depends on itself
// alone.
func BatchNormBy(x, mean, variance, weight, bias *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, error) {
	if err := checkChannels("batch norm", x, weight, bias, eps, act, mean, variance); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return batchNormBy[float64](x, mean, variance, weight, bias, eps, act)
	}
	return batchNormBy[float32](x, mean, variance, weight, bias, eps, act)
}

// checkChannels refuses what has no channels, and what is not of as many.
func checkChannels(name string, x, weight, bias *gorgonia.Node, eps float64, act kernel.Act, statistics ...*gorgonia.Node) error {
	if x.Dims() < 2 {
		return fmt.Errorf("graph: %s: x is %v; want (B, C, ...)", name, x.Shape())
	}
	channels := x.Shape()[1:2]
	if err := checkPair(name, weight, bias, channels); err != nil {
		return err
	}
	for _, s := range statistics {
		if !s.Shape().Eq(channels) {
			return fmt.Errorf("graph: %s: a statistic is %v; want %v", name, s.Shape(), channels)
		}
	}
	if !act.Fused() {
		return fmt.Errorf("graph: %s: the activation is %v; want identity, relu or relu6, or one behind it", name, act)
	}
	return checkEps(name, eps)
}

// checkPair wants a weight and a bias of one shape, or neither.
func checkPair(name string, weight, bias *gorgonia.Node, shape tensor.Shape) error {
	if weight == nil && bias == nil {
		return nil
	}
	if weight == nil || bias == nil || !weight.Shape().Eq(shape) || !bias.Shape().Eq(shape) {
		return fmt.Errorf("graph: %s: the weight is %v and the bias %v; want %v both, or neither", name, shapeOf(weight), shapeOf(bias), shape)
	}
	return nil
}

func shapeOf(n *gorgonia.Node) any {
	if n == nil {
		return "missing"
	}
	return n.Shape()
}

func checkEps(name string, eps float64) error {
	if !(eps > 0) || math.IsInf(eps, 0) {
		return fmt.Errorf("graph: %s: eps is %v; want a finite number above 0", name, eps)
	}
	return nil
}

// GroupNorm is [BatchNorm] with the mean and variance of each sample alone, over
// groups of its channels, side by side (Wu and He 2018, 1803.08494;
// torch.nn.GroupNorm). As many groups as channels are an instance norm.
func GroupNorm(x *gorgonia.Node, groups int, weight, bias *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, error) {
	if err := checkChannels("group norm", x, weight, bias, eps, act); err != nil {
		return nil, err
	}
	if c := x.Shape()[1]; groups < 1 || c%groups != 0 {
		return nil, fmt.Errorf("graph: group norm: there are %d groups of %d channels; want 1 or more that divide them", groups, c)
	}
	if x.Dtype() == tensor.Float64 {
		return groupNorm[float64](x, groups, weight, bias, eps, act)
	}
	return groupNorm[float32](x, groups, weight, bias, eps, act)
}

// LayerNorm is (x - mean)/√(variance+eps)·weight + bias for x (B, ...), with the
// mean and the biased variance over its last axes, as many as are given (Ba et al.
// 2016, 1607.06450; torch.nn.LayerNorm). weight and bias are of their shape, or
// nil for 1 and 0.
func LayerNorm(x *gorgonia.Node, axes int, weight, bias *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	if axes < 1 || axes >= x.Dims() {
		return nil, fmt.Errorf("graph: layer norm: x is %v, of which %d axes are to be normalised; want 1 or more and fewer than there are", x.Shape(), axes)
	}
	if err := checkPair("layer norm", weight, bias, x.Shape()[x.Dims()-axes:]); err != nil {
		return nil, err
	}
	if err := checkEps("layer norm", eps); err != nil {
		return nil, err
	}
	if x.Dtype() == tensor.Float64 {
		return layerNorm[float64](x, axes, weight, bias, eps)
	}
	return layerNorm[float32](x, axes, weight, bias, eps)
}

// A channelwise op keeps what its gradient needs of the last run. A batch norm
// has the channels of a sample, in many rows; a group norm those of all samples,
// in one row.
type channelwise[F kernel.Float] struct {
	name          string
	rows, size    int       // rows of channels, and elements of one in a row
	mean, inverse []float64 // of each group of channels; inverse is 1/√(variance+eps)
	by            kernel.Channels
	sum, dot      []float64 // see kernel.NormalizeSums
	slopes        kernel.Slopes
	n             int // elements of a group whose mean was taken, 0 if it was given
}

func newChannelwise[F kernel.Float](name string, x *gorgonia.Node, rows, channels, groups int, act kernel.Act) *channelwise[F] {
	return &channelwise[F]{
		name: name, rows: rows, size: x.Shape().TotalSize() / (rows * channels),
		mean: make([]float64, groups), inverse: make([]float64, groups), by: kernel.NewChannels(channels, act),
		sum: make([]float64, channels), dot: make([]float64, channels), slopes: kernel.NewSlopes(channels),
	}
}

// normalize writes y, by the mean and inverse that are set.
func (c *channelwise[F]) normalize(y gorgonia.Value, x, weight, bias, mask []F) {
	kernel.Affine(c.by, c.mean, c.inverse, weight, bias)
	kernel.Normalize(floats[F](y), x, mask, c.by, c.rows, c.size)
}

// optional are the inputs that are there, and a function that finds the value of
// each, nil for one that is not.
func optional[F kernel.Float](nodes ...*gorgonia.Node) (there []*gorgonia.Node, of func(v []gorgonia.Value, i int) []F) {
	at := make([]int, len(nodes))
	for i, n := range nodes {
		at[i] = -1
		if n != nil {
			at[i] = len(there)
			there = append(there, n)
		}
	}
	return there, func(v []gorgonia.Value, i int) []F {
		if at[i] < 0 {
			return nil
		}
		return floats[F](v[at[i]])
	}
}

func batchNorm[F kernel.Float](x, weight, bias, mask *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, *Moments, error) {
	channels := x.Shape()[1]
	c := newChannelwise[F]("batch-norm", x, x.Shape()[0], channels, channels, act)
	m := &Moments{Mean: c.mean, Variance: make([]float64, channels)}
	in, of := optional[F](x, weight, bias, mask)
	o := &op{name: c.name, shape: x.Shape(), wrt: varyingBut(in, mask)}
	o.run = func(v []gorgonia.Value) {
		m.N = kernel.Moments(m.Mean, m.Variance, of(v, 0), of(v, 3), c.rows, c.size)
		if m.N < 2 {
			panic(fmt.Sprintf("expected more than 1 value per channel when training, got %d", m.N))
		}
		c.n = m.N
		kernel.Given(c.mean, c.inverse, m.Mean, m.Variance, eps)
		c.normalize(o.value, of(v, 0), of(v, 1), of(v, 2), of(v, 3))
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		grads, err := c.grads(x, weight, bias, mask, y, dy)
		return append(grads, nil), err
	}
	n, err := apply[F](o, in...)
	return n, m, err
}

// varyingBut says of all inputs but some that they have a gradient.
func varyingBut(in []*gorgonia.Node, constant ...*gorgonia.Node) []bool {
	wrt := make([]bool, len(in))
	for i, n := range in {
		wrt[i] = !slices.Contains(constant, n)
	}
	return wrt
}

func batchNormBy[F kernel.Float](x, mean, variance, weight, bias *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, error) {
	channels := x.Shape()[1]
	c := newChannelwise[F]("batch-norm", x, x.Shape()[0], channels, channels, act)
	in, of := optional[F](x, mean, variance, weight, bias)
	o := &op{name: c.name, shape: x.Shape(), wrt: varyingBut(in, mean, variance)}
	o.lower = &plan.Step{Op: "batchnorm", Act: act.String(), Eps: eps, Shape: sample(x.Shape())}
	o.run = func(v []gorgonia.Value) {
		kernel.Given(c.mean, c.inverse, of(v, 1), of(v, 2), eps)
		c.normalize(o.value, of(v, 0), of(v, 3), of(v, 4), nil)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		grads, err := c.grads(x, weight, bias, nil, y, dy)
		if err != nil {
			return nil, err
		}
		return slices.Insert(grads, 1, nil, nil), nil
	}
	return apply[F](o, in...)
}

func groupNorm[F kernel.Float](x *gorgonia.Node, groups int, weight, bias *gorgonia.Node, eps float64, act kernel.Act) (*gorgonia.Node, error) {
	rows, channels := x.Shape()[0], x.Shape()[1]
	c := newChannelwise[F]("group-norm", x, 1, rows*channels, rows*groups, act)
	c.n = channels / groups * c.size
	in, of := optional[F](x, weight, bias)
	o := &op{name: c.name, shape: x.Shape(), wrt: varyingBut(in)}
	o.lower = &plan.Step{Op: "groupnorm", Act: act.String(), Eps: eps, Groups: groups, Shape: sample(x.Shape())}
	o.run = func(v []gorgonia.Value) {
		kernel.Standardize(c.mean, c.inverse, of(v, 0), c.n, eps)
		c.normalize(o.value, of(v, 0), of(v, 1), of(v, 2), nil)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) { return c.grads(x, weight, bias, nil, y, dy) }
	return apply[F](o, in...)
}

// grads are the gradients of x, and of weight and bias if there are any.
func (c *channelwise[F]) grads(x, weight, bias, mask, y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
	sums, err := c.sums(x, weight, mask, y, dy)
	if err != nil {
		return nil, err
	}
	dx, err := c.dx(x, weight, mask, sums, dy)
	if err != nil || weight == nil {
		return []*gorgonia.Node{dx}, err
	}
	dw := &op{name: c.name + ".dw", shape: weight.Shape()}
	dw.run = func([]gorgonia.Value) {
		dst := floats[F](dw.value)
		addModulo(dst, c.dot, func(i int) float64 { return c.inverse[i*len(c.inverse)/len(c.dot)] })
	}
	n, err := apply[F](dw, sums) // which orders it behind them
	return []*gorgonia.Node{dx, n, sums}, err
}

// sums takes the sums of the gradient, in float64, for all else to use. Its value
// is the gradient of the bias.
func (c *channelwise[F]) sums(x, weight, mask, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
	in, of := optional[F](x, dy, mask, y) // y orders it behind the forward pass
	o := &op{name: c.name + ".db", shape: tensor.Shape{len(c.sum)}}
	if weight != nil {
		o.shape = weight.Shape()
	}
	o.run = func(v []gorgonia.Value) {
		kernel.NormalizeSums(c.sum, c.dot, of(v, 0), of(v, 1), of(v, 2), c.by, c.rows, c.size)
		addModulo(floats[F](o.value), c.sum, func(int) float64 { return 1 })
	}
	return apply[F](o, in...)
}

// addModulo sums what belongs to each element of dst, which is shorter than src,
// each times its factor.
func addModulo[F kernel.Float](dst []F, src []float64, factor func(i int) float64) {
	for c := range dst {
		sum := 0.0
		for i := c; i < len(src); i += len(dst) {
			sum += src[i] * factor(i)
		}
		dst[c] = F(sum)
	}
}

func (c *channelwise[F]) dx(x, weight, mask, sums, dy *gorgonia.Node) (*gorgonia.Node, error) {
	in, of := optional[F](x, dy, mask, weight, sums)
	o := &op{name: c.name + ".dx", shape: x.Shape()}
	o.run = func(v []gorgonia.Value) {
		if c.n > 0 {
			kernel.Center(c.slopes, c.sum, c.dot, c.inverse, of(v, 3), c.n)
		} else {
			copy(c.slopes.Dz, c.by.Scale) // mean and variance are constants
		}
		kernel.NormalizeGrad(floats[F](o.value), of(v, 0), of(v, 1), of(v, 2), c.by, c.slopes, c.rows, c.size)
	}
	return apply[F](o, in...)
}

func layerNorm[F kernel.Float](x *gorgonia.Node, axes int, weight, bias *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	width := shape[len(shape)-axes:].TotalSize()
	rows := shape.TotalSize() / width
	mean, inverse := make([]float64, rows), make([]float64, rows)
	in, of := optional[F](x, weight, bias)
	o := &op{name: "layer-norm", shape: shape, wrt: varyingBut(in)}
	o.lower = &plan.Step{Op: "layernorm", Axes: axes, Eps: eps, Shape: sample(shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.Standardize(mean, inverse, of(v, 0), width, eps)
		kernel.LayerNormBy(floats[F](o.value), of(v, 0), of(v, 1), of(v, 2), mean, inverse, width)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		dx, err := layerNormDX[F](x, weight, y, dy, mean, inverse, width)
		if err != nil || weight == nil {
			return []*gorgonia.Node{dx}, err
		}
		dw, db, err := layerNormSums[F](x, weight, y, dy, mean, inverse, width)
		return []*gorgonia.Node{dx, dw, db}, err
	}
	return apply[F](o, in...)
}

// layerNormDX takes y to come behind the forward pass, which finds mean and
// inverse, as does layerNormSums.
func layerNormDX[F kernel.Float](x, weight, y, dy *gorgonia.Node, mean, inverse []float64, width int) (*gorgonia.Node, error) {
	in, of := optional[F](x, dy, y, weight)
	o := &op{name: "layer-norm.dx", shape: x.Shape()}
	o.run = func(v []gorgonia.Value) {
		kernel.LayerNormGrad(floats[F](o.value), of(v, 0), of(v, 1), of(v, 3), mean, inverse, width)
	}
	return apply[F](o, in...)
}

func layerNormSums[F kernel.Float](x, weight, y, dy *gorgonia.Node, mean, inverse []float64, width int) (dw, db *gorgonia.Node, err error) {
	sum := make([]F, width) // which is taken together with the other
	o := &op{name: "layer-norm.dw", shape: weight.Shape()}
	o.run = func(v []gorgonia.Value) {
		kernel.LayerNormSums(floats[F](o.value), sum, floats[F](v[0]), floats[F](v[1]), mean, inverse, width)
	}
	if dw, err = apply[F](o, x, dy, y); err != nil {
		return nil, nil, err
	}
	bias := &op{name: "layer-norm.db", shape: weight.Shape()}
	bias.run = func([]gorgonia.Value) { copy(floats[F](bias.value), sum) }
	db, err = apply[F](bias, dw)
	return dw, db, err
}
