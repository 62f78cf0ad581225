package graph_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

func TestWeightedMean(t *testing.T) {
	value, weight := gradcheck.Normal(1, 5), []float64{0.5, 0, 2, 1, 0.25}
	gradcheck.Check(t, of(func(v *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.WeightedMean(v, gradcheck.Const(v, "weight", dense(weight, 5)), gradcheck.Scalar(v, "total", 7.5))
	}), value)

	want := 0.0
	for i, w := range weight {
		want += w * floats(value)[i] / 7.5
	}
	g := gorgonia.NewGraph()
	near(t, eval(t, must(graph.WeightedMean(bind(g, "v", value), bind(g, "w", dense(weight, 5)), number(g, "total", 7.5))))[0], []float64{want})
}

func TestMeanOfNothing(t *testing.T) {
	for _, weight := range [][]float64{{0, 0, 0}, {1, 2, 3}} {
		g := gorgonia.NewGraph()
		v := bind(g, "v", gradcheck.Normal(1, 3))
		mean := must(graph.WeightedMean(v, bind(g, "w", dense(weight, 3)), number(g, "total", 0)))
		got := eval(t, append(must(gorgonia.Grad(mean, v)), mean)...)
		near(t, got[0], []float64{0, 0, 0})
		near(t, got[1], []float64{0})
	}
}

// What is in a row of weight 0 changes neither the cost nor the gradient.
func TestRowsOfNoWeight(t *testing.T) {
	weight := dense([]float64{1, 0, 2, 3}, batch)
	cost := func(f loss, poison float64) [][]float64 {
		z := gradcheck.Normal(1, batch, classes)
		for c := range classes {
			if poison != 0 {
				z.Data().([]float64)[classes+c] = poison
			}
		}
		g := gorgonia.NewGraph()
		in := bind(g, "z", z)
		mean := must(graph.WeightedMean(must(f(in)), bind(g, "w", weight), number(g, "total", 6)))
		return eval(t, append(must(gorgonia.Grad(mean, in)), mean)...)
	}
	for name, f := range map[string]loss{
		"cross-entropy": crossEntropy(0.1), "soft": softCrossEntropy(0), "kl": kl(4), "top": topKL(2, 4), "mse": mse,
	} {
		t.Run(name, func(t *testing.T) {
			want := cost(f, 0)
			for _, poison := range []float64{math.NaN(), math.Inf(1), 1e300} {
				got := cost(f, poison)
				near(t, got[0], want[0])
				near(t, got[1], want[1])
			}
		})
	}
}

func TestLabelled(t *testing.T) {
	g := gorgonia.NewGraph()
	w := must(graph.Labelled(bind(g, "w", dense([]float64{1, 2, math.NaN(), 4}, 4)), bind(g, "labels", dense([]int{3, -1, -1, 0}, 4))))
	near(t, eval(t, w)[0], []float64{1, 0, 0, 4})
}

func TestCombine(t *testing.T) {
	weights := []float64{0.25, 3}
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		var terms, ws []*gorgonia.Node
		for i, name := range []string{"a", "b"} {
			terms = append(terms, must(gorgonia.Sum(must(gorgonia.Square(in[i])))))
			ws = append(ws, gradcheck.Scalar(in[0], name, weights[i]))
		}
		return graph.Combine(terms, ws)
	}, gradcheck.Normal(1, 3), gradcheck.Normal(2, 4))

	g := gorgonia.NewGraph()
	a, b := number(g, "a", 2), number(g, "b", math.NaN())
	cost := must(graph.Combine([]*gorgonia.Node{a, b}, []*gorgonia.Node{number(g, "wa", 5), number(g, "wb", 0)}))
	near(t, eval(t, cost)[0], []float64{10})
}

func TestReduceErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	three, four := bind(g, "three", gradcheck.Normal(1, 3)), bind(g, "four", gradcheck.Normal(1, 4))
	one := number(g, "one", 1)
	wantError(t, second(graph.WeightedMean(three, four, one)), "mean: values are (3), weights (4); want (R) both")
	wantError(t, second(graph.WeightedMean(three, three, three)), "mean: the total is (3); want a number")
	wantError(t, second(graph.WeightedMean(one, one, one)), "mean: values are (), weights (); want (R) both")
	wantError(t, second(graph.Labelled(three, three)), "labelled: input 1 is of float64; want int")
	wantError(t, second(graph.Combine(nil, nil)), "combine: 0 terms and 0 weights; want one weight each")
	wantError(t, second(graph.Combine([]*gorgonia.Node{one}, []*gorgonia.Node{one, one})), "1 terms and 2 weights")
	wantError(t, second(graph.Combine([]*gorgonia.Node{three}, []*gorgonia.Node{one})), "combine: input 0 is (3); want a number")
	id := bind(g, "id", dense([]int{1, 2, 3, 4}, 4))
	wantError(t, second(graph.Labelled(three, id)), "labelled: weights are (3), labels (4); want (R) both")
	z := bind(g, "z", gradcheck.Normal(1, 3, 5))
	wantError(t, second(graph.KL(z, z, three)), "kl: the temperature is (3); want a number")
}
