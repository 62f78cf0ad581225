package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// Loads are how many tokens went to each expert in the last run.
type Loads []int

// Route is the weight of each expert for each token, (B, T, E), 0 of those that it
// does not go to, for z (B, T, E) and a bias (E) of the choice, which is constant;
// see [kernel.Routing]. With a mask (B) it counts the tokens of samples whose mask is
// not 0, and with segments (B, T) of tensor.Int, or nil, not those of segment 0,
// which is padding.
func Route(z, bias, mask, segments *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, Loads, error) {
	if err := checkRoute(z, bias, mask, r); err != nil {
		return nil, nil, err
	}
	if mask == nil {
		segments = nil // nothing is counted
	}
	t, err := textsOf("route", z, segments)
	if err != nil {
		return nil, nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return route[float64](z, bias, mask, t, r)
	}
	return route[float32](z, bias, mask, t, r)
}

func checkRoute(z, bias, mask *gorgonia.Node, r kernel.Routing) error {
	if err := r.Check(); err != nil {
		return fmt.Errorf("graph: route: %w", err)
	}
	switch {
	case z.Dims() != 3 || z.Shape()[2] != r.Experts || !bias.Shape().Eq(tensor.Shape{r.Experts}):
		return fmt.Errorf("graph: route: z is %v and the bias %v; want (B, T, %d) and (%d)", z.Shape(), bias.Shape(), r.Experts, r.Experts)
	case mask != nil && !mask.Shape().Eq(z.Shape()[:1]):
		return fmt.Errorf("graph: route: the mask is %v and z %v; want (B) and (B, T, E)", mask.Shape(), z.Shape())
	}
	return nil
}

func route[F kernel.Float](z, bias, mask *gorgonia.Node, t *texts, r kernel.Routing) (*gorgonia.Node, Loads, error) {
	in := []*gorgonia.Node{z, bias}
	if mask != nil {
		in = append(in, mask)
	}
	loads, o := make(Loads, r.Experts), &op{name: "route", shape: z.Shape()}
	in = t.after(o, in...)
	o.lower = &plan.Step{Op: "route", Routing: &r, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		y := floats[F](o.value)
		kernel.Route(y, floats[F](v[0]), floats[F](v[1]), r)
		if mask != nil {
			count(loads, y, floats[F](v[2]), t.numbers(v))
		}
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "route.dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.RouteGrad(floats[F](d.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2]), r)
		}
		dz, err := apply[F](d, z, y, dy)
		return onlyFirst(dz, in), err
	}
	n, err := apply[F](o, in...)
	return n, loads, err
}

// count makes loads those of weights y (B, T, E), of tokens that are no padding.
func count[F kernel.Float](loads Loads, y, mask []F, segments []int) {
	clear(loads)
	size := len(y) / len(mask)
	for i, w := range y {
		if w != 0 && mask[i/size] != 0 && (segments == nil || segments[i/len(loads)] != 0) {
			loads[i%len(loads)]++
		}
	}
}

// Balance is Σ f_e·s_e over the experts, for each token (B, T) of z (B, T, E) and
// of what [Route] made of it: f_e is how often the tokens of its text go to expert e,
// 1 if to all as often, and s_e that expert's share of how well all suit the token.
// A text is a sample, or with segments (B, T) of tensor.Int that are not nil, one of
// [kernel.Texts]. The mean over a text is the balance loss of DeepSeek-V3 with α = 1
// (2412.19437, equations 17 to 20).
func Balance(z, weights, segments *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
	if z.Dims() != 3 || !weights.Shape().Eq(z.Shape()) || z.Shape()[2] != r.Experts {
		return nil, fmt.Errorf("graph: balance: z is %v and the weights %v; want (B, T, %d) both", z.Shape(), weights.Shape(), r.Experts)
	}
	t, err := textsOf("balance", z, segments)
	if err != nil {
		return nil, err
	}
	if z.Dtype() == tensor.Float64 {
		return balance[float64](z, weights, t, r)
	}
	return balance[float32](z, weights, t, r)
}

func balance[F kernel.Float](z, weights *gorgonia.Node, t *texts, r kernel.Routing) (*gorgonia.Node, error) {
	o := &op{name: "balance", shape: z.Shape()[:2].Clone()}
	in := t.after(o, z, weights)
	o.lower = &plan.Step{Op: "balance", Routing: &r, Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) {
		kernel.Balance(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), t.in(v), r)
	}
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "balance.dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.BalanceGrad(floats[F](d.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2]), t.last, r)
		}
		dz, err := apply[F](d, z, weights, dy, y) // y orders it behind the forward pass
		return onlyFirst(dz, in), err
	}
	return apply[F](o, in...)
}

// Experts is the sum of what gated networks make of x (B, T, D), each times its
// weight in w (B, T, E), 0 for those that are not asked; see [kernel.Experts]. The
// weights of expert e are gate[e] and up[e] (inner, D), and down[e] (D, inner).
func Experts(x, w *gorgonia.Node, gate, up, down []*gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dims() != 3 || len(gate) == 0 || len(up) != len(gate) || len(down) != len(gate) || !w.Shape().Eq(tensor.Shape{x.Shape()[0], x.Shape()[1], len(gate)}) {
		return nil, fmt.Errorf("graph: experts: x is %v and w %v, with %d gates, %d ups and %d downs; want (B, T, D), (B, T, E) and E of each", x.Shape(), w.Shape(), len(gate), len(up), len(down))
	}
	width := x.Shape()[2]
	inner := gate[0].Shape()[0]
	for e := range gate {
		if !gate[e].Shape().Eq(tensor.Shape{inner, width}) || !up[e].Shape().Eq(gate[e].Shape()) || !down[e].Shape().Eq(tensor.Shape{width, inner}) {
			return nil, fmt.Errorf("graph: experts: the weights of expert %d are %v, %v and %v; want (%d, %d) twice and (%d, %d)", e, gate[e].Shape(), up[e].Shape(), down[e].Shape(), inner, width, width, inner)
		}
	}
	if x.Dtype() == tensor.Float64 {
		return experts[float64](x, w, gate, up, down)
	}
	return experts[float32](x, w, gate, up, down)
}

func experts[F kernel.Float](x, w *gorgonia.Node, gate, up, down []*gorgonia.Node) (*gorgonia.Node, error) {
	n, width, inner := len(gate), x.Shape()[2], gate[0].Shape()[0]
	in := slices.Concat([]*gorgonia.Node{x, w}, gate, up, down)
	o := &op{name: "experts", shape: x.Shape(), wrt: slices.Repeat([]bool{true}, len(in))}
	of := func(v []gorgonia.Value) kernel.Experts[F] {
		e := kernel.Experts[F]{Width: width, Inner: inner}
		for i := range n {
			e.Gate, e.Up, e.Down = append(e.Gate, floats[F](v[i])), append(e.Up, floats[F](v[n+i])), append(e.Down, floats[F](v[2*n+i]))
		}
		return e
	}
	o.lower = &plan.Step{Op: "experts", Shape: sample(o.shape)}
	o.run = func(v []gorgonia.Value) { of(v[2:]).Forward(floats[F](o.value), floats[F](v[0]), floats[F](v[1])) }
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		// One operation takes all gradients; the others say what it left.
		g := kernel.Experts[F]{Width: width, Inner: inner}
		for range n {
			g.Gate, g.Up, g.Down = append(g.Gate, make([]F, inner*width)), append(g.Up, make([]F, inner*width)), append(g.Down, make([]F, inner*width))
		}
		dw := make([]F, w.Shape().TotalSize())
		d := &op{name: "experts.dx", shape: x.Shape()}
		d.run = func(v []gorgonia.Value) {
			of(v[2:]).Backward(floats[F](d.value), dw, g, floats[F](v[0]), floats[F](v[1]), floats[F](v[2+3*n]))
		}
		dx, err := apply[F](d, append(slices.Clone(in), dy)...)
		if err != nil {
			return nil, err
		}
		all := []*gorgonia.Node{dx}
		for i, left := range slices.Concat([][]F{dw}, g.Gate, g.Up, g.Down) {
			k, err := kept(left, "experts.dw", in[1+i].Shape(), dx)
			if err != nil {
				return nil, err
			}
			all = append(all, k)
		}
		return all, nil
	}
	return apply[F](o, in...)
}
