package graph_test

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

var (
	masked = dense([]float64{1, 0, 1, 1, 0}, 5) // of 5 samples
	fused  = []kernel.Act{kernel.Identity, kernel.ReLU, kernel.ReLU6}
)

// batched norms of x (5, 3, ...), by what they are called.
func batchNorms(act kernel.Act) map[string]func(in []*gorgonia.Node) (*gorgonia.Node, error) {
	const eps = 1e-3
	params := func(in []*gorgonia.Node) (weight, bias *gorgonia.Node) {
		if len(in) == 1 {
			return nil, nil
		}
		return in[1], in[2]
	}
	return map[string]func(in []*gorgonia.Node) (*gorgonia.Node, error){
		"by the batch": func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			weight, bias := params(in)
			y, _, err := graph.BatchNorm(in[0], weight, bias, gradcheck.Const(in[0], "mask", masked), eps, act)
			return y, err
		},
		"by what is given": func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			weight, bias := params(in)
			mean, variance := dense([]float64{0.5, -1, 2}, 3), dense([]float64{1, 2, 0.25}, 3)
			return graph.BatchNormBy(in[0], gradcheck.Const(in[0], "mean", mean), gradcheck.Const(in[0], "variance", variance), weight, bias, eps, act)
		},
		"by groups": func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			weight, bias := params(in)
			return graph.GroupNorm(in[0], 3, weight, bias, eps, act)
		},
	}
}

func TestBatchNormGradients(t *testing.T) {
	weight, bias := gradcheck.Normal(2, 3), gradcheck.Normal(3, 3)
	for _, act := range fused {
		for name, norm := range batchNorms(act) {
			for _, shape := range [][]int{{5, 3}, {5, 3, 4, 7}} {
				if name == "by groups" && len(shape) == 2 {
					continue // a group of 1 element
				}
				t.Run(fmt.Sprint(name, act, shape), func(t *testing.T) {
					x := gradcheck.Normal(1, shape...)
					gradcheck.Check(t, norm, x, weight, bias)
					gradcheck.Check(t, norm, x)
				})
			}
		}
	}
}

func TestGroupNormGradient(t *testing.T) {
	weight, bias := gradcheck.Normal(2, 6), gradcheck.Normal(3, 6)
	for _, groups := range []int{1, 2, 3} {
		for _, shape := range [][]int{{5, 6}, {4, 6, 3, 5}} {
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				return graph.GroupNorm(in[0], groups, in[1], in[2], 1e-3, kernel.ReLU)
			}, gradcheck.Normal(1, shape...), weight, bias)
		}
	}
}

func TestLayerNormGradient(t *testing.T) {
	for axes, shape := range map[int][]int{1: {5}, 2: {4, 5}} {
		x, weight, bias := gradcheck.Normal(1, 3, 4, 5), gradcheck.Normal(2, shape...), gradcheck.Normal(3, shape...)
		gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
			return graph.LayerNorm(in[0], axes, in[1], in[2], 1e-3)
		}, x, weight, bias)
		gradcheck.Check(t, of(func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.LayerNorm(x, axes, nil, nil, 1e-3) }), x)
	}
}

// The gradients by the weights do not want that of x, which a first layer has
// not.
func TestNormOfConstants(t *testing.T) {
	g := gorgonia.NewGraph()
	x, mask := bind(g, "x", gradcheck.Normal(1, 5, 3, 4)), bind(g, "mask", masked)
	w, b := bind(g, "w", gradcheck.Normal(2, 3)), bind(g, "b", gradcheck.Normal(3, 3))
	y, _, err := graph.BatchNorm(x, w, b, mask, 1e-3, kernel.Identity)
	if err != nil {
		t.Fatal(err)
	}
	grads := must(gorgonia.Grad(must(gorgonia.Sum(must(gorgonia.Square(y)))), x, w, b))
	all := eval(t, grads...)
	for i, some := range [][]*gorgonia.Node{grads[1:2], grads[2:]} {
		if got := eval(t, some...); !slices.Equal(got[0], all[i+1]) {
			t.Errorf("alone, gradient %d is %v; want %v", i+1, got[0], all[i+1])
		}
	}
}

// What stands in padding is not looked at, whatever it is, and where a sample
// stands does not matter.
func TestBatchNormLooksAtValidSamples(t *testing.T) {
	x := gradcheck.Normal(1, 5, 3, 4)
	run := func(x, mask *tensor.Dense) ([]float64, *graph.Moments) {
		g := gorgonia.NewGraph()
		y, m, err := graph.BatchNorm(bind(g, "x", x), nil, nil, bind(g, "mask", mask), 1e-3, kernel.Identity)
		if err != nil {
			t.Fatal(err)
		}
		if m.N != 0 {
			t.Errorf("before the first run there were %d elements", m.N)
		}
		return eval(t, y)[0], m
	}
	want, moments := run(x, masked)
	if moments.N != 12 {
		t.Errorf("there are %d elements of a channel; want 12", moments.N)
	}
	other := clone(x)
	for i := range 12 {
		other.Float64s()[12+i] = 1e9
	}
	if got, _ := run(other, masked); !slices.Equal(got, want) {
		t.Errorf("other padding gave %v; want %v", got, want)
	}
	for i, v := range want {
		if (i/12 == 1 || i/12 == 4) && v != 0 {
			t.Errorf("padding became %v at %d; want 0", v, i)
		}
	}
	valid := slices.Concat(floats(x)[:12], floats(x)[24:48])
	alone, m := run(dense(valid, 3, 3, 4), ones(3))
	near(t, alone, slices.Concat(want[:12], want[24:48]))
	near(t, m.Mean, moments.Mean)
	near(t, m.Variance, moments.Variance)
	turned, m := run(dense(slices.Concat(valid[24:], valid[12:24], valid[:12]), 3, 3, 4), ones(3))
	near(t, slices.Concat(turned[24:], turned[12:24], turned[:12]), alone)
	near(t, m.Variance, moments.Variance)
}

func TestBatchNormOfOneElement(t *testing.T) {
	for _, shape := range [][]int{{3, 4}, {3, 4, 1, 1}} {
		g := gorgonia.NewGraph()
		y, _, err := graph.BatchNorm(bind(g, "x", gradcheck.Normal(1, shape...)), nil, nil, bind(g, "mask", dense([]float64{0, 1, 0}, 3)), 1e-5, kernel.ReLU)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, must(graph.NewMachine(y)).RunAll(), "expected more than 1 value per channel when training, got 1")
	}
}

func TestAdd(t *testing.T) {
	a, b := gradcheck.Normal(1, 3, 4, 5), gradcheck.Normal(2, 3, 4, 5)
	for act, f := range acts {
		t.Run(act.String(), func(t *testing.T) {
			gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Add(in[0], in[1], act) }, a, b)
			gradcheck.Check(t, of(func(x *gorgonia.Node) (*gorgonia.Node, error) { return graph.Add(x, x, act) }), a)
			g := gorgonia.NewGraph()
			var want []float64
			for i, v := range floats(a) {
				want = append(want, f(v+floats(b)[i]))
			}
			near(t, eval(t, must(graph.Add(bind(g, "a", a), bind(g, "b", b), act)))[0], want)
		})
	}
}

// A residual block: what is added is used on both sides.
func TestAddInBlock(t *testing.T) {
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		h, err := graph.Linear(in[0], in[1], nil, kernel.Tanh)
		if err != nil {
			return nil, err
		}
		y, err := graph.Add(h, in[0], kernel.ReLU)
		if err != nil {
			return nil, err
		}
		return graph.Add(y, in[0], kernel.Identity)
	}, gradcheck.Normal(1, 3, 5), gradcheck.Normal(2, 5, 5))
}

func TestNormsRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x := bind(g, "x", gradcheck.Normal(1, 5, 6, 4))
	w, b, other := bind(g, "w", gradcheck.Normal(1, 6)), bind(g, "b", gradcheck.Normal(1, 6)), bind(g, "other", gradcheck.Normal(1, 4))
	mask, short := bind(g, "mask", masked), bind(g, "short", gradcheck.Normal(1, 4))
	single := bind(g, "single", dense(make([]float32, 120), 5, 6, 4))
	batchNorm := func(x, w, b, mask *gorgonia.Node, eps float64, act kernel.Act) error {
		_, _, err := graph.BatchNorm(x, w, b, mask, eps, act)
		return err
	}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a vector":        {batchNorm(w, nil, nil, mask, 1e-5, 0), "batch norm: x is (6); want (B, C, ...)"},
		"half a pair":     {batchNorm(x, w, nil, mask, 1e-5, 0), "the weight is (6) and the bias missing; want (6) both, or neither"},
		"other channels":  {batchNorm(x, other, other, mask, 1e-5, 0), "the weight is (4) and the bias (4); want (6) both"},
		"other mask":      {batchNorm(x, w, b, short, 1e-5, 0), "the mask is (4) and x (5, 6, 4)"},
		"no eps":          {batchNorm(x, w, b, mask, 0, 0), "eps is 0; want a finite number above 0"},
		"activation":      {batchNorm(x, w, b, mask, 1e-5, kernel.GELU), "the activation is gelu; want identity, relu or relu6"},
		"another type":    {batchNorm(single, w, b, mask, 1e-5, 0), "input 1 is of float64; want float32"},
		"other mean":      {second(graph.BatchNormBy(x, other, b, w, b, 1e-5, 0)), "a statistic is (4); want (6)"},
		"groups":          {second(graph.GroupNorm(x, 4, w, b, 1e-5, 0)), "there are 4 groups of 6 channels"},
		"no groups":       {second(graph.GroupNorm(x, 0, w, b, 1e-5, 0)), "there are 0 groups of 6 channels"},
		"no axes":         {second(graph.LayerNorm(x, 0, nil, nil, 1e-5)), "x is (5, 6, 4), of which 0 axes"},
		"the batch, too":  {second(graph.LayerNorm(x, 3, nil, nil, 1e-5)), "x is (5, 6, 4), of which 3 axes"},
		"layer weights":   {second(graph.LayerNorm(x, 1, w, w, 1e-5)), "layer norm: the weight is (6) and the bias (6); want (4) both"},
		"layer eps":       {second(graph.LayerNorm(x, 1, nil, nil, -1)), "layer norm: eps is -1"},
		"add of shapes":   {second(graph.Add(x, w, 0)), "add: the inputs are (5, 6, 4) and (6); want one shape"},
		"add of types":    {second(graph.Add(x, single, 0)), "add: input 1 is of float32; want float64"},
		"add and no act":  {second(graph.Add(x, x, 99)), `add: kernel: activation is "Act(99)"`},
		"add of a number": {second(graph.Add(number(g, "n", 1), x, 0)), "add: x is a number"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}
