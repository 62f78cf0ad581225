package graph_test

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

func TestMapsHaveGradients(t *testing.T) {
	images := gradcheck.Normal(1, 3, 4, 5, 7)
	for h, w := range map[int]int{1: 1, 2: 3, 3: 7, 5: 4} {
		gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.AdaptiveAvgPool(in[0], h, w) }, images)
		gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Nearest(in[0], 2*h, w+3) }, images)
	}
	for _, p := range []float64{1, 2, 2.5, 4} {
		gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Energy(in[0], p) }, images)
	}
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Normalize(in[0]) }, images)
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.MeanSquare(in[0]) }, images)
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Products(in[0], in[1], 0.3) },
		gradcheck.Normal(1, 3, 4, 5, 7), gradcheck.Normal(2, 3, 6, 35))
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Products(in[0], in[0], 1) },
		gradcheck.Normal(1, 3, 4, 5))
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.Blend(in, []float64{1, -2, 0.5}) },
		gradcheck.Normal(1, 3, 4), gradcheck.Normal(2, 3, 4), gradcheck.Normal(3, 3, 4))
}

// A part of an image is what PyTorch says it is: sizes that do not divide overlap.
func TestAdaptiveAvgPoolOverlaps(t *testing.T) {
	x := dense([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 1, 1, 3, 5)
	near(t, eval(t, must(graph.AdaptiveAvgPool(bind(gorgonia.NewGraph(), "x", x), 2, 3)))[0],
		[]float64{(1 + 2 + 6 + 7) / 4., (2 + 3 + 4 + 7 + 8 + 9) / 6., (4 + 5 + 9 + 10) / 4., (6 + 7 + 11 + 12) / 4., (7 + 8 + 9 + 12 + 13 + 14) / 6., (9 + 10 + 14 + 15) / 4.})
	near(t, eval(t, must(graph.Nearest(bind(gorgonia.NewGraph(), "x", x), 2, 3)))[0], []float64{1, 2, 4, 6, 7, 9})
	near(t, eval(t, must(graph.Nearest(bind(gorgonia.NewGraph(), "x", x), 3, 7)))[0][:7], []float64{1, 1, 2, 3, 3, 4, 5})
}

// What has no norm has no direction, and no gradient.
func TestNormalizeOfZeros(t *testing.T) {
	x := dense([]float64{0, 0, 0, 3, 0, 4}, 2, 3)
	in := bind(gorgonia.NewGraph(), "x", x)
	y := must(graph.Normalize(in))
	out := eval(t, y, must(gorgonia.Grad(must(gorgonia.Sum(y)), in))[0])
	near(t, out[0], []float64{0, 0, 0, 0.6, 0, 0.8})
	near(t, out[1], []float64{0, 0, 0, (1 - 0.6*1.4) / 5, 0.2, (1 - 0.8*1.4) / 5})
}

func TestMapErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	maps, rows, one := bind(g, "maps", gradcheck.Normal(1, 3, 4, 5, 7)), bind(g, "rows", gradcheck.Normal(1, 3, 4)), bind(g, "one", gradcheck.Normal(1, 3))
	for i, test := range []struct {
		err  error
		want string
	}{
		{second(graph.AdaptiveAvgPool(rows, 1, 1)), "adaptive-avg-pool: "},
		{second(graph.AdaptiveAvgPool(maps, 6, 1)), "(3, 4, 5, 7) is to be 6 by 1; want 1 or more, and no more than it has"},
		{second(graph.AdaptiveAvgPool(maps, 1, 0)), "is to be 1 by 0"},
		{second(graph.Nearest(rows, 1, 1)), "nearest: "},
		{second(graph.Nearest(maps, 0, 1)), "nearest: the size is 0 by 1; want 1 or more"},
		{second(graph.Energy(rows, 2)), "energy: x is (3, 4)"},
		{second(graph.Energy(maps, 0.5)), "the power 0.5"},
		{second(graph.Energy(maps, math.NaN())), "the power NaN"},
		{second(graph.Normalize(one)), "normalize: x is (3); want (B, ..., C)"},
		{second(graph.MeanSquare(one)), "mean square: x is (3); want (B, ...)"},
		{second(graph.Products(maps, rows, 1)), "products: the sides are (3, 4, 5, 7) and (3, 4)"},
		{second(graph.Blend([]*gorgonia.Node{rows, one}, []float64{1, 2})), "blend: the parts are (3, 4) and (3)"},
		{second(graph.Blend(nil, nil)), "blend: 0 parts and 0 factors"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { wantError(t, test.err, test.want) })
	}
}
