package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// checkNorm wants parameters of one shape, as many as a norm has, and an eps.
func (s *Step) checkNorm(params [][]int, shape []int, counts ...int) error {
	if !slices.Contains(counts, len(params)) {
		return fmt.Errorf("it has %d parameters; want one of %v", len(params), counts)
	}
	for i, p := range params {
		if !slices.Equal(p, shape) {
			return fmt.Errorf("parameter %q of shape %v; want %v", s.Params[i], p, shape)
		}
	}
	if !(s.Eps > 0) || math.IsInf(s.Eps, 0) {
		return fmt.Errorf("its eps is %v; want a finite number above 0", s.Eps)
	}
	return nil
}

func batchNormShape(s *Step, in, params [][]int) ([]int, error) {
	x := in[0]
	if len(x) == 0 {
		return nil, errors.New("an input without axes; want (C, ...)")
	}
	return x, s.checkNorm(params, x[:1], 2, 4)
}

// bindBatchNorm makes of the statistics and weights what they do to a channel.
func bindBatchNorm[F kernel.Float](c *call[F], _ Packer[F]) error {
	if err := c.checkVariance(); err != nil {
		return err
	}
	mean, variance := c.params[0], c.params[1]
	c.size = product(c.step.Shape[1:])
	act := c.act
	if !act.Fused() {
		act = kernel.Identity
	}
	c.by = kernel.NewChannels(len(mean), act)
	inverse := make([]float64, len(mean))
	kernel.Given(c.by.Mean, inverse, mean, variance, c.step.Eps)
	weight, bias := c.pair(2)
	kernel.Affine(c.by, c.by.Mean, inverse, weight, bias)
	return nil
}

// checkVariance refuses a variance that is none.
func (c *call[F]) checkVariance() error {
	variance := c.params[1]
	if i := slices.IndexFunc(variance, func(v F) bool { return !(v >= 0) }); i >= 0 {
		return fmt.Errorf("is a mean beside a variance of %v; want 0 or more", variance[i])
	}
	return nil
}

// pair are the weight and bias from a place among the parameters on, nil if there
// are none.
func (c *call[F]) pair(from int) (weight, bias []F) {
	if len(c.params) < from+2 {
		return nil, nil
	}
	return c.params[from], c.params[from+1]
}

func batchNorm[F kernel.Float](c *call[F], values [][]F, out []F) {
	channels := len(c.by.Mean)
	kernel.Normalize(out, values[c.in[0]], nil, c.by, len(out)/(channels*c.size), c.size)
	if !c.act.Fused() {
		kernel.Activate(out, out, c.act)
	}
}

func groupNormShape(s *Step, in, params [][]int) ([]int, error) {
	x := in[0]
	if len(x) == 0 || s.Groups < 1 || x[0]%s.Groups != 0 {
		return nil, fmt.Errorf("%d groups of the channels of an input of shape %v; want 1 or more that divide (C, ...)", s.Groups, x)
	}
	return x, s.checkNorm(params, x[:1], 0, 2)
}

func bindGroupNorm[F kernel.Float](c *call[F], _ Packer[F]) error {
	c.size = product(c.step.Shape[1:])
	return nil
}

func groupNorm[F kernel.Float](c *call[F], values [][]F, out []F) {
	weight, bias := c.pair(0)
	kernel.GroupNorm(out, values[c.in[0]], weight, bias, c.step.Shape[0], c.step.Groups, c.size, c.step.Eps)
	kernel.Activate(out, out, c.act)
}

func layerNormShape(s *Step, in, params [][]int) ([]int, error) {
	x := in[0]
	if s.Axes < 1 || s.Axes > len(x) {
		return nil, fmt.Errorf("%d axes of an input of shape %v; want 1 or more that it has", s.Axes, x)
	}
	if s.Act != "" {
		return nil, fmt.Errorf("it has the activation %q; want none", s.Act)
	}
	return x, s.checkNorm(params, x[len(x)-s.Axes:], 0, 2)
}

func bindLayerNorm[F kernel.Float](c *call[F], _ Packer[F]) error {
	c.size = product(c.step.Shape[len(c.step.Shape)-c.step.Axes:])
	return nil
}

func layerNorm[F kernel.Float](c *call[F], values [][]F, out []F) {
	weight, bias := c.pair(0)
	kernel.LayerNorm(out, values[c.in[0]], weight, bias, c.size, c.step.Eps)
}
