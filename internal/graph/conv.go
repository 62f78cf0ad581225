package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Conv2d is act(x ∗ w + b) for images x (B, C, H, W), w (out, C/groups, kernel...)
// as PyTorch keeps it, and b (out) or nil. It is (B, out, height, width). The
// window's Kernel is that of w, or zero.
func Conv2d(x, w, b *gorgonia.Node, window kernel.Window, groups int, act kernel.Act) (*gorgonia.Node, error) {
	if _, err := kernel.ParseAct(act.String()); err != nil {
		return nil, fmt.Errorf("graph: conv2d: %w", err)
	}
	c, err := geometry(x.Shape(), w.Shape(), window, groups)
	if err != nil {
		return nil, err
	}
	if b != nil && !b.Shape().Eq(tensor.Shape{c.Out}) {
		return nil, fmt.Errorf("graph: conv2d: the bias is %v; want (%d)", b.Shape(), c.Out)
	}
	if x.Dtype() == tensor.Float64 {
		return conv2d[float64](x, w, b, c, act)
	}
	return conv2d[float32](x, w, b, c, act)
}

// geometry is the convolution of values of these shapes.
func geometry(x, w tensor.Shape, window kernel.Window, groups int) (kernel.Conv, error) {
	if len(x) != 4 || len(w) != 4 || groups < 1 || x[1]%groups != 0 || w[1] != x[1]/groups {
		return kernel.Conv{}, fmt.Errorf("graph: conv2d: x is %v and w %v in %d groups; want (B, C, H, W) and (out, C/groups, height, width)", x, w, groups)
	}
	taps := [2]int{w[2], w[3]}
	if window.Kernel != [2]int{} && window.Kernel != taps {
		return kernel.Conv{}, fmt.Errorf("graph: conv2d: Window.Kernel is %v and w %v; want that of w, or zero", window.Kernel, w)
	}
	window.Kernel = taps
	c := kernel.Conv{In: x[1], Out: w[0], Groups: groups, Size: [2]int{x[2], x[3]}, Window: window.Explicit()}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("graph: conv2d: %w", err)
	}
	return c, nil
}

func conv2d[F kernel.Float](x, w, b *gorgonia.Node, c kernel.Conv, act kernel.Act) (*gorgonia.Node, error) {
	if act.ByInput() {
		return activated[F](act)(conv2d[F](x, w, b, c, kernel.Identity))
	}
	in := []*gorgonia.Node{x, w}
	if b != nil {
		in = append(in, b)
	}
	images, size := x.Shape()[0], c.Results()
	o := &op{name: "conv2d", shape: tensor.Shape{images, c.Out, size[0], size[1]}, wrt: slices.Repeat([]bool{true}, len(in))}
	o.lower = &plan.Step{Op: "conv", Act: act.String(), Window: &c.Window, Groups: c.Groups, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		var bias []F
		if b != nil {
			bias = floats[F](v[2])
		}
		kernel.Convolve(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), bias, c, images, act)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		return convGrad[F](x, w, b, y, dy, c, act)
	}
	return apply[F](o, in...)
}

// convGrad goes back through the activation first: dz is the gradient of what
// went into it.
func convGrad[F kernel.Float](x, w, b, y, dy *gorgonia.Node, c kernel.Conv, act kernel.Act) ([]*gorgonia.Node, error) {
	images := x.Shape()[0]
	dz, err := activateGrad[F](y, dy, act)
	if err != nil {
		return nil, err
	}
	dx := &op{name: "conv2d.dx", shape: x.Shape()}
	dx.run = func(v []gorgonia.Value) {
		kernel.ConvInputGrad(floats[F](dx.value), floats[F](v[0]), floats[F](v[1]), c, images)
	}
	dw := &op{name: "conv2d.dw", shape: w.Shape()}
	dw.run = func(v []gorgonia.Value) {
		kernel.ConvWeightGrad(floats[F](dw.value), floats[F](v[1]), floats[F](v[0]), c, images)
	}
	grads := make([]*gorgonia.Node, 2, 3)
	if grads[0], err = apply[F](dx, dz, w); err != nil {
		return nil, err
	}
	if grads[1], err = apply[F](dw, dz, x); err != nil || b == nil {
		return grads, err
	}
	db := &op{name: "conv2d.db", shape: b.Shape()}
	db.run = func(v []gorgonia.Value) { kernel.ConvBiasGrad(floats[F](db.value), floats[F](v[0]), c, images) }
	n, err := apply[F](db, dz)
	return append(grads, n), err
}
