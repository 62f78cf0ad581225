package graph_test

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

var routings = map[string]kernel.Routing{
	"plain":   {Experts: 6, Each: 3, Groups: 1, Kept: 1, Factor: 1.5},
	"grouped": {Experts: 6, Each: 3, Groups: 3, Kept: 2, Normalize: true, Factor: 2.5},
}

func TestRoute(t *testing.T) {
	z, bias := gradcheck.Normal(1, 3, 4, 6), gradcheck.Normal(2, 6)
	for name, r := range routings {
		t.Run(name, func(t *testing.T) {
			var loads graph.Loads
			route := func(z *gorgonia.Node) *gorgonia.Node {
				y, l, err := graph.Route(z, gradcheck.Const(z, "bias", bias), gradcheck.Const(z, "mask", dense([]float64{1, 0, 1}, 3)), nil, r)
				loads = l
				return must(y, err)
			}
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return route(in[0]), nil }, z)
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				return graph.Balance(in[0], route(in[0]), nil, r)
			}, z)
			seen := make(graph.Loads, 6)
			rows(eval(t, route(bind(gorgonia.NewGraph(), "z", z)))[0], 6, func(i int, row []float64) {
				chosen, sum := 0, 0.0
				for e, w := range row {
					if w != 0 {
						chosen++
						if i/4 != 1 {
							seen[e]++
						}
					}
					sum += w
				}
				if chosen != 3 {
					t.Errorf("token %d goes to %d experts; want 3", i, chosen)
				}
				if r.Normalize {
					near(t, []float64{sum}, []float64{2.5})
				}
			})
			if !slices.Equal(loads, seen) {
				t.Errorf("the loads are %v; want %v", loads, seen)
			}
		})
	}
}

// If tokens go to all experts alike, the balance is 1, the least there is.
func TestBalanceOfEqualExperts(t *testing.T) {
	r := kernel.Routing{Experts: 4, Each: 1, Groups: 1, Kept: 1, Factor: 1}
	weights := make([]float64, 3*8*4)
	for i := range 3 * 8 {
		weights[4*i+i%4] = 1
	}
	g := gorgonia.NewGraph()
	y := must(graph.Balance(bind(g, "z", dense(make([]float64, 3*8*4), 3, 8, 4)), bind(g, "w", dense(weights, 3, 8, 4)), nil, r))
	near(t, eval(t, y)[0], slices.Repeat([]float64{1}, 3*8))
}

func TestExperts(t *testing.T) {
	const n, width, inner = 3, 5, 4
	x, w := gradcheck.Normal(1, 3, 4, width), gradcheck.Normal(2, 3, 4, n)
	for i := range w.Float64s() {
		if i%3 == 1 {
			w.Float64s()[i] = 0
		}
	}
	in := []*tensor.Dense{x}
	for e := range n {
		in = append(in, gradcheck.Normal(uint64(10+e), inner, width))
	}
	for e := range n {
		in = append(in, gradcheck.Normal(uint64(20+e), inner, width))
	}
	for e := range n {
		in = append(in, gradcheck.Normal(uint64(30+e), width, inner))
	}
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Experts(in[0], gradcheck.Const(in[0], "w", w), in[1:1+n], in[1+n:1+2*n], in[1+2*n:])
	}, in...)
	// By the weights, of experts that are asked.
	asked := gradcheck.Normal(2, 3, 4, n)
	gradcheck.Check(t, func(nodes []*gorgonia.Node) (*gorgonia.Node, error) {
		var params []*gorgonia.Node
		for i, v := range in[1:] {
			params = append(params, gradcheck.Const(nodes[0], "p"+string(rune('a'+i)), v))
		}
		return graph.Experts(gradcheck.Const(nodes[0], "x", x), nodes[0], params[:n], params[n:2*n], params[2*n:])
	}, asked)

	// It is the sum of what other operations say of each expert.
	g := gorgonia.NewGraph()
	var nodes []*gorgonia.Node
	for i, v := range in {
		nodes = append(nodes, bind(g, "in"+string(rune('a'+i)), v))
	}
	weights := bind(g, "w", w)
	y := must(graph.Experts(nodes[0], weights, nodes[1:1+n], nodes[1+n:1+2*n], nodes[1+2*n:]))
	want := make([]float64, 3*4*width)
	for e := range n {
		h := must(graph.SwiGLU(must(graph.Linears(nodes[0], []*gorgonia.Node{nodes[1+e], nodes[1+n+e]}, nil, nil))))
		for i, v := range eval(t, must(graph.Linear(h, nodes[1+2*n+e], nil, kernel.Identity)))[0] {
			want[i] += v * w.Float64s()[i/width*n+e]
		}
	}
	near(t, eval(t, y)[0], want)
}

func TestColumns(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 7)
	op := func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.Columns(x, 2, 5) }
	gradcheck.Check(t, of(op), x)
	var want []float64
	rows(floats(x), 7, func(_ int, row []float64) { want = append(want, row[2:5]...) })
	near(t, eval(t, must(op(bind(gorgonia.NewGraph(), "x", x))))[0], want)
}

func TestBeside(t *testing.T) {
	a, b := gradcheck.Normal(1, 3, 4, 5), gradcheck.Normal(2, 3, 4, 7)
	op := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Concat(in[0], in[1]) }
	gradcheck.Check(t, op, a, b)
	var want []float64
	for r := range 12 {
		want = append(append(want, floats(a)[r*5:(r+1)*5]...), floats(b)[r*7:(r+1)*7]...)
	}
	g := gorgonia.NewGraph()
	near(t, eval(t, must(op([]*gorgonia.Node{bind(g, "a", a), bind(g, "b", b)})))[0], want)
}

func TestShift(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5)
	for _, by := range []int{0, 1, 3, 9, -1, -3, -9} {
		op := func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.Shift(x, nil, by) }
		gradcheck.Check(t, of(op), x)
		want := make([]float64, 60)
		for i := range want {
			if p := i/5%4 + by; p >= 0 && p < 4 {
				want[i] = floats(x)[i+5*by]
			}
		}
		near(t, eval(t, must(op(bind(gorgonia.NewGraph(), "x", x))))[0], want)
	}
}

func TestLatentHeads(t *testing.T) {
	l := kernel.Latent{Heads: 3, Plain: 4, Turned: 2, Values: 5}
	q, kv, shared := gradcheck.Normal(1, 3, 4, 18), gradcheck.Normal(2, 3, 4, 27), gradcheck.Normal(3, 3, 4, 2)
	op := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.LatentHeads(in[0], in[1], in[2], l) }
	gradcheck.Check(t, op, q, kv, shared)
	var want []float64
	for r := range 12 {
		want = append(want, floats(q)[r*18:(r+1)*18]...)
		for h := range 3 {
			want = append(append(want, floats(kv)[r*27+h*9:][:4]...), floats(shared)[r*2:][:2]...)
		}
		for h := range 3 {
			want = append(want, floats(kv)[r*27+h*9+4:][:5]...)
		}
	}
	g := gorgonia.NewGraph()
	near(t, eval(t, must(op([]*gorgonia.Node{bind(g, "q", q), bind(g, "kv", kv), bind(g, "s", shared)})))[0], want)
}

func TestMixtureOpsRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x, z := bind(g, "x", gradcheck.Normal(1, 3, 4, 6)), bind(g, "z", gradcheck.Normal(2, 6))
	v := bind(g, "v", gradcheck.Normal(2, 3))
	route := func(z, bias, mask *gorgonia.Node, r kernel.Routing) (*gorgonia.Node, error) {
		y, _, err := graph.Route(z, bias, mask, nil, r)
		return y, err
	}
	for want, f := range map[string]func() (*gorgonia.Node, error){
		"route: the mask is (6)": func() (*gorgonia.Node, error) { return route(x, z, z, routings["plain"]) },
		"route: z is (6)":        func() (*gorgonia.Node, error) { return route(z, z, v, routings["plain"]) },
		"route: 4 groups of 6": func() (*gorgonia.Node, error) {
			return route(x, z, v, kernel.Routing{Experts: 6, Each: 1, Groups: 4, Kept: 1})
		},
		"route: a token goes to 3 experts": func() (*gorgonia.Node, error) {
			return route(x, z, v, kernel.Routing{Experts: 6, Each: 3, Groups: 3, Kept: 1})
		},
		"balance: z is (3, 4, 6)": func() (*gorgonia.Node, error) { return graph.Balance(x, z, nil, routings["plain"]) },
		"experts: x is (3, 4, 6)": func() (*gorgonia.Node, error) { return graph.Experts(x, z, nil, nil, nil) },
		"the weights of expert 0 are": func() (*gorgonia.Node, error) {
			w := bind(g, "w1", gradcheck.Normal(1, 3, 4, 1))
			p := []*gorgonia.Node{x}
			return graph.Experts(x, w, p, p, p)
		},
		"columns: x is (3, 4, 6)":                  func() (*gorgonia.Node, error) { return graph.Columns(x, 3, 7) },
		"beside: the inputs are (3, 4, 6) and (6)": func() (*gorgonia.Node, error) { return graph.Concat(x, z) },
		"shift: x is (6)":                          func() (*gorgonia.Node, error) { return graph.Shift(z, nil, 1) },
		"latent heads: input 0 is (3, 4, 6); want (B, T, 8)": func() (*gorgonia.Node, error) {
			return graph.LatentHeads(x, x, x, kernel.Latent{Heads: 2, Plain: 2, Turned: 2, Values: 1})
		},
	} {
		if _, err := f(); err == nil || !strings.HasPrefix(err.Error(), "graph: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
}
