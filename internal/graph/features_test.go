package graph_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

func TestFeaturesHaveGradients(t *testing.T) {
	maps := gradcheck.Normal(1, 3, 4, 5, 7)
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Gaussian(in[0], gradcheck.Const(in[0], "t", gradcheck.Normal(2, 3, 4, 5, 7)), in[1], 1e-5)
	}, maps, gradcheck.Normal(3, 4))
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Gaussian(in[0], gradcheck.Const(in[0], "t", gradcheck.Normal(2, 3, 4)), in[1], 1e-5)
	}, gradcheck.Normal(1, 3, 4), gradcheck.Normal(3, 4))
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Partial(in[0], gradcheck.Const(in[0], "t", gradcheck.Normal(2, 3, 4, 5, 7)), []float64{-0.5, -1, -0.25, -2})
	}, maps)
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Gate(in[0], in[1], in[2]) },
		maps, gradcheck.Normal(2, 3, 4, 5, 7), gradcheck.Normal(3, 3, 2, 5, 7))
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Channels(in[0], in[1]) },
		maps, gradcheck.Normal(2, 3, 6, 5, 7))
}

// The likelihood of 2 numbers of 2 channels, by hand.
func TestGaussian(t *testing.T) {
	g := gorgonia.NewGraph()
	mu, to := bind(g, "mu", dense([]float64{1, 2, 3, 4}, 1, 2, 2)), bind(g, "t", dense([]float64{2, 2, 1, 5}, 1, 2, 2))
	s := bind(g, "s", dense([]float64{math.Log(math.Expm1(1.5)), math.Log(math.Expm1(3.5))}, 2))
	// Variances 2 and 4: (1 + 0)/2 + 2 log 2, and (4 + 1)/4 + 2 log 4.
	near(t, eval(t, must(graph.Gaussian(mu, to, s, 0.5)))[0], []float64{(0.5 + 1.25 + 2*math.Log(2) + 2*math.Log(4)) / 8})
}

// Scales as far out as training may push them are no reason for infinities.
func TestGaussianOfExtremeScales(t *testing.T) {
	in := bind(gorgonia.NewGraph(), "mu", gradcheck.Normal(1, 3, 2))
	s := bind(in.Graph(), "s", dense([]float64{-800, 800}, 2))
	value := must(graph.Gaussian(in, gradcheck.Const(in, "t", gradcheck.Normal(2, 3, 2)), s, 1e-5))
	grads := must(gorgonia.Grad(must(gorgonia.Sum(value)), in, s))
	for _, out := range eval(t, value, grads[0], grads[1]) {
		for _, v := range out {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("there is %v", v)
			}
		}
	}
}

// Each way for a number to lie to its target and the margin -1, by hand.
func TestPartial(t *testing.T) {
	z := dense([]float64{2, 0, -3, 1, -2, 0.5, -0.75, -3}, 1, 1, 8)
	to := dense([]float64{1, 1, 1, -2, -2, -0.5, -0.5, -0.5}, 1, 1, 8)
	in := bind(gorgonia.NewGraph(), "z", z)
	value := must(graph.Partial(in, gradcheck.Const(in, "t", to), []float64{-1}))
	out := eval(t, value, must(gorgonia.Grad(must(gorgonia.Sum(value)), in))[0])
	near(t, out[0], []float64{1 + 1 + 16 + 4 + 0 + 1 + 0 + 0})
	near(t, out[1], []float64{2, -2, -8, 4, 0, 2, 0, 0})
}

func TestFeatureErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	maps, rows, one := bind(g, "maps", gradcheck.Normal(1, 3, 4, 5, 7)), bind(g, "rows", gradcheck.Normal(1, 3, 4)), bind(g, "one", gradcheck.Normal(1, 3))
	for i, test := range []struct {
		err  error
		want string
	}{
		{second(graph.Gaussian(maps, rows, one, 1)), "gaussian: the mean is (3, 4, 5, 7), the target (3, 4), the scale (3)"},
		{second(graph.Gaussian(rows, rows, one, 1)), "gaussian: the mean is (3, 4), the target (3, 4), the scale (3)"},
		{second(graph.Partial(maps, rows, nil)), "partial: the sides are (3, 4, 5, 7) and (3, 4), with 0 margins"},
		{second(graph.Partial(rows, rows, []float64{1})), "with 1 margins"},
		{second(graph.Gate(maps, maps, maps)), "gate: the maps are (3, 4, 5, 7) and (3, 4, 5, 7), the gates (3, 4, 5, 7)"},
		{second(graph.Gate(rows, rows, rows)), "gate: the maps are (3, 4)"},
		{second(graph.Channels(maps, rows)), "channels: the maps are (3, 4, 5, 7) and (3, 4)"},
		{second(graph.Channels(one, one)), "channels: the maps are (3) and (3)"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}
