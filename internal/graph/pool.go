package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// MaxPool is the largest of what the window sees of each channel of images x
// (B, C, H, W). It is (B, C, height, width). A Stride of 0 means Kernel. The
// first of equal pixels has the gradient.
func MaxPool(x *gorgonia.Node, window kernel.Window) (*gorgonia.Node, error) {
	p, err := pooling("max-pool", x, window, false)
	switch {
	case err != nil:
		return nil, err
	case x.Dtype() == tensor.Float64:
		return maxPool[float64](x, p)
	}
	return maxPool[float32](x, p)
}

// pooling is the geometry of a pooling of x.
func pooling(name string, x *gorgonia.Node, window kernel.Window, excludePad bool) (kernel.Pool, error) {
	if err := imaged(name, x); err != nil {
		return kernel.Pool{}, err
	}
	s := x.Shape()
	p := kernel.Pool{Size: [2]int{s[2], s[3]}, Window: window, ExcludePad: excludePad}.Explicit()
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("graph: %s: %w", name, err)
	}
	return p, nil
}

// imaged refuses what is no images.
func imaged(name string, x *gorgonia.Node) error {
	if x.Dims() != 4 {
		return fmt.Errorf("graph: %s: x is %v; want (B, C, H, W)", name, x.Shape())
	}
	return nil
}

// planes is how many channels all images of a shape have.
func planes(s tensor.Shape) int { return s[0] * s[1] }

func pooled(x *gorgonia.Node, p kernel.Pool) tensor.Shape {
	size := p.Results()
	return tensor.Shape{x.Shape()[0], x.Shape()[1], size[0], size[1]}
}

func maxPool[F kernel.Float](x *gorgonia.Node, p kernel.Pool) (*gorgonia.Node, error) {
	n := planes(x.Shape())
	var winners []int32 // nil where there is no gradient
	o := &op{name: "max-pool", shape: pooled(x, p), wrt: []bool{true}}
	o.lower = &plan.Step{Op: "maxpool", Window: &p.Window, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) { kernel.MaxPool(floats[F](o.value), winners, floats[F](v[0]), p, n) }
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		winners = make([]int32, o.shape.TotalSize())
		d := &op{name: "max-pool.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) { kernel.MaxPoolGrad(floats[F](d.value), floats[F](v[0]), winners, p, n) }
		dx, err := apply[F](d, dy, y) // y orders it behind the winners
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// AvgPool is the mean of what the window sees of each channel of images x (B, C,
// H, W). It is (B, C, height, width). A Stride of 0 means Kernel. Padding counts
// as zeros, or not at all with excludePad.
func AvgPool(x *gorgonia.Node, window kernel.Window, excludePad bool) (*gorgonia.Node, error) {
	p, err := pooling("avg-pool", x, window, excludePad)
	switch {
	case err != nil:
		return nil, err
	case x.Dtype() == tensor.Float64:
		return avgPool[float64](x, p)
	}
	return avgPool[float32](x, p)
}

func avgPool[F kernel.Float](x *gorgonia.Node, p kernel.Pool) (*gorgonia.Node, error) {
	n := planes(x.Shape())
	o := &op{name: "avg-pool", shape: pooled(x, p), wrt: []bool{true}}
	o.lower = &plan.Step{Op: "avgpool", Window: &p.Window, ExcludePad: p.ExcludePad, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) { kernel.AvgPool(floats[F](o.value), floats[F](v[0]), p, n) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "avg-pool.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) { kernel.AvgPoolGrad(floats[F](d.value), floats[F](v[0]), p, n) }
		dx, err := apply[F](d, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}

// GlobalAvgPool is the mean of each channel of images x (B, C, H, W). It is
// (B, C).
func GlobalAvgPool(x *gorgonia.Node) (*gorgonia.Node, error) {
	err := imaged("global-avg-pool", x)
	switch {
	case err != nil:
		return nil, err
	case x.Dtype() == tensor.Float64:
		return globalAvgPool[float64](x)
	}
	return globalAvgPool[float32](x)
}

func globalAvgPool[F kernel.Float](x *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	n, pixels := planes(s), s[2]*s[3]
	o := &op{name: "global-avg-pool", shape: tensor.Shape{s[0], s[1]}, wrt: []bool{true}}
	o.lower = &plan.Step{Op: "globalavgpool", Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) { kernel.GlobalAvgPool(floats[F](o.value), floats[F](v[0]), n, pixels) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "global-avg-pool.dx", shape: s}
		d.run = func(v []gorgonia.Value) { kernel.GlobalAvgPoolGrad(floats[F](d.value), floats[F](v[0]), n, pixels) }
		dx, err := apply[F](d, dy)
		return []*gorgonia.Node{dx}, err
	}
	return apply[F](o, x)
}
