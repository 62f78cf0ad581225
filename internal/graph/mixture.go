package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// Route is the weight of each expert for each token, (B, T, E), 0 of those that it
// does not go to, for z (B, T, E) and a bias (E) of the choice, which is constant;
// see [kernel.Routing].
func Route(z, bias *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
	switch {
	case z.Dims() != 3 || z.Shape()[2] != r.Experts || !bias.Shape().Eq(tensor.Shape{r.Experts}):
		return nil, fmt.Errorf("graph: route: z is %v and the bias %v; want (B, T, %d) and (%d)", z.Shape(), bias.Shape(), r.Experts, r.Experts)
	case r.Groups < 1 || r.Experts%r.Groups != 0 || r.Kept < 1 || r.Kept > r.Groups:
		return nil, fmt.Errorf("graph: route: %d groups of %d experts, of which %d are kept; want a divisor, and 1 or more of them", r.Groups, r.Experts, r.Kept)
	case r.Each < 1 || r.Each > r.Kept*r.Experts/r.Groups:
		return nil, fmt.Errorf("graph: route: a token goes to %d experts; want 1 to %d", r.Each, r.Kept*r.Experts/r.Groups)
	}
	if z.Dtype() == tensor.Float64 {
		return route[float64](z, bias, r)
	}
	return route[float32](z, bias, r)
}

func route[F kernel.Float](z, bias *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
	o := &op{name: "route", shape: z.Shape(), wrt: []bool{true, false}}
	o.run = func(v []gorgonia.Value) { kernel.Route(floats[F](o.value), floats[F](v[0]), floats[F](v[1]), r) }
	o.diff = func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "route.dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) {
			kernel.RouteGrad(floats[F](d.value), floats[F](v[0]), floats[F](v[1]), floats[F](v[2]), r)
		}
		dz, err := apply[F](d, z, y, dy)
		return []*gorgonia.Node{dz, nil}, err
	}
	return apply[F](o, z, bias)
}

// Balance is Σ f_e·P_e over the experts, for each sample (B) of z (B, T, E) and of
// what [Route] made of it: f_e is how often tokens go to expert e, 1 if to all as
// often, and P_e the mean of its share of how well experts suit them (DeepSeek-V3,
// 2412.19437, equations 17 to 20, with α = 1).
func Balance(z, weights *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
	if z.Dims() != 3 || !weights.Shape().Eq(z.Shape()) || z.Shape()[2] != r.Experts {
		return nil, fmt.Errorf("graph: balance: z is %v and the weights %v; want (B, T, %d) both", z.Shape(), weights.Shape(), r.Experts)
	}
	if z.Dtype() == tensor.Float64 {
		return balance[float64](z, weights, r)
	}
	return balance[float32](z, weights, r)
}

func balance[F kernel.Float](z, weights *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
	n, size := z.Shape()[0], z.Shape()[1]*r.Experts
	o := &op{name: "balance", shape: tensor.Shape{n}, wrt: []bool{true, false}}
	o.run = func(v []gorgonia.Value) {
		y, z, w := floats[F](o.value), floats[F](v[0]), floats[F](v[1])
		for s := range y {
			y[s] = F(kernel.Balance(nil, z[s*size:(s+1)*size], w[s*size:(s+1)*size], r, 0))
		}
	}
	o.diff = func(_, dy *gorgonia.Node) ([]*gorgonia.Node, error) {
		d := &op{name: "balance.dz", shape: z.Shape()}
		d.run = func(v []gorgonia.Value) {
			dz, z, w := floats[F](d.value), floats[F](v[0]), floats[F](v[1])
			for s, k := range floats[F](v[2]) {
				at, end := s*size, (s+1)*size
				kernel.Balance(dz[at:end], z[at:end], w[at:end], r, float64(k))
			}
		}
		dz, err := apply[F](d, z, weights, dy)
		return []*gorgonia.Node{dz, nil}, err
	}
	return apply[F](o, z, weights)
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
