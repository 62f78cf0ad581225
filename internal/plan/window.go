package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/godistill/godistill/internal/kernel"
)

// conv is the geometry of a conv step on images of shape (C, H, W), without a
// check.
func (s *Step) conv(x []int, out int) kernel.Conv {
	return kernel.Conv{In: x[0], Out: out, Groups: cmp.Or(s.Groups, 1), Size: [2]int{x[1], x[2]}, Window: *s.Window}
}

func convShape(s *Step, in, params [][]int) ([]int, error) {
	x, w := in[0], params[0]
	if err := s.windowed(x); err != nil {
		return nil, err
	}
	if len(w) != 4 || s.Window.Kernel != [2]int{w[2], w[3]} {
		return nil, fmt.Errorf("a weight of shape %v for a window of %v; want (out, in, height, width)", w, s.Window.Kernel)
	}
	if len(params) > 1 && !slices.Equal(params[1], w[:1]) {
		return nil, fmt.Errorf("a bias of shape %v beside a weight of shape %v; want (out)", params[1], w)
	}
	c := s.conv(x, w[0])
	if err := c.Check(); err != nil {
		return nil, err
	}
	if w[1] != c.In/c.Groups {
		return nil, fmt.Errorf("a weight of shape %v on %d channels in %d groups; want %d channels in each", w, c.In, c.Groups, c.In/c.Groups)
	}
	size := c.Results()
	return []int{c.Out, size[0], size[1]}, nil
}

// windowed refuses a step without a window, or an input that is no image.
func (s *Step) windowed(x []int) error {
	if s.Window == nil {
		return errors.New("it has no window")
	}
	return image(x)
}

func image(x []int) error {
	if len(x) != 3 {
		return fmt.Errorf("an input of shape %v; want (C, H, W)", x)
	}
	return nil
}

func convolve[F kernel.Float](c *call[F], values [][]F, out []F) {
	var bias []F
	if len(c.params) > 1 {
		bias = c.params[1]
	}
	var plus []F
	if len(c.in) > 1 { // an addition was folded into it
		plus = values[c.in[1]]
	}
	images := len(out) / product(c.step.Shape)
	kernel.ConvolveAdd(out, values[c.in[0]], c.params[0], bias, plus, c.step.conv(c.from, c.step.Shape[0]), images, c.act)
}

// pool is the geometry of a pooling of images of shape (C, H, W), without a
// check.
func (s *Step) pool(x []int) kernel.Pool {
	return kernel.Pool{Size: [2]int{x[1], x[2]}, Window: *s.Window, ExcludePad: s.ExcludePad}
}

func poolShape(s *Step, in, _ [][]int) ([]int, error) {
	x := in[0]
	if err := s.windowed(x); err != nil {
		return nil, err
	}
	p := s.pool(x)
	if err := p.Check(); err != nil {
		return nil, err
	}
	size := p.Results()
	return []int{x[0], size[0], size[1]}, nil
}

func maxPool[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.MaxPool(out, nil, values[c.in[0]], c.step.pool(c.from), c.planes(out))
	kernel.Activate(out, out, c.act)
}

func avgPool[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.AvgPool(out, values[c.in[0]], c.step.pool(c.from), c.planes(out))
	kernel.Activate(out, out, c.act)
}

// planes is how many channels all images of a result have.
func (c *call[F]) planes(out []F) int { return len(out) / product(c.step.Shape[1:]) }

func globalAvgPoolShape(s *Step, in, _ [][]int) ([]int, error) {
	if err := image(in[0]); err != nil {
		return nil, err
	}
	return in[0][:1], nil
}

func globalAvgPool[F kernel.Float](c *call[F], values [][]F, out []F) {
	kernel.GlobalAvgPool(out, values[c.in[0]], len(out), product(c.from[1:]))
	kernel.Activate(out, out, c.act)
}
