package graph_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

// related is a relation of x with a teacher, whose third row of five and last but
// one of seven do not count.
func related(f func(x, t, weight *gorgonia.Node) (*gorgonia.Node, error), rows int) gradcheck.Build {
	return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		w := make([]float64, rows)
		for i := range w {
			w[i] = 1
		}
		w[2], w[rows-2] = 0, 0
		teacher := gradcheck.Const(in[0], "teacher", gradcheck.Normal(2, rows, 3, 5))
		return f(in[0], teacher, gradcheck.Const(in[0], "weight", dense(w, rows)))
	}
}

func relations() map[string]func(x, t, weight *gorgonia.Node) (*gorgonia.Node, error) {
	series := func(x, t, w *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Congruence(x, t, w, []float64{0.5, 0.25, 0.125, 0.0625})
	}
	return map[string]func(x, t, weight *gorgonia.Node) (*gorgonia.Node, error){
		"similarity": graph.Similarity, "distances": graph.Distances, "angles": graph.Angles,
		"neighbours": graph.Neighbours, "congruence": series,
	}
}

func TestRelations(t *testing.T) {
	for name, f := range relations() {
		t.Run(name, func(t *testing.T) {
			for _, rows := range []int{5, 7} {
				gradcheck.Check(t, related(f, rows), gradcheck.Normal(1, rows, 4))
			}
		})
	}
}

// Rows at one place, rows of zeros, one row and none have finite gradients.
func TestRelationsOfDegenerateRows(t *testing.T) {
	x := dense([]float64{1, 2, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, -1, 2, 0.5}, 5, 3)
	for name, f := range relations() {
		for _, w := range [][]float64{{1, 1, 1, 1, 1}, {1, 1, 0, 0, 0}, {0, 0, 1, 1, 0}, {0, 0, 0, 1, 0}, {0, 0, 0, 0, 0}} {
			in := bind(gorgonia.NewGraph(), "x", x)
			teacher := gradcheck.Const(in, "teacher", gradcheck.Normal(3, 5, 4))
			value := must(f(in, teacher, gradcheck.Const(in, "weight", dense(w, 5))))
			out := eval(t, value, must(gorgonia.Grad(must(gorgonia.Sum(value)), in))[0])
			for _, v := range append(out[0], out[1]...) {
				if !(math.Abs(v) < 1e6) {
					t.Errorf("%s with weights %v: %v; want small numbers", name, w, v)
				}
			}
			if total(w) == 0 && (total(out[0]) != 0 || total(out[1]) != 0) {
				t.Errorf("%s of no rows is %v", name, out)
			}
		}
	}
}

func TestRelationErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x, few, w := bind(g, "x", gradcheck.Normal(1, 5, 3)), bind(g, "few", gradcheck.Normal(1, 4, 3)), bind(g, "w", gradcheck.Normal(1, 5))
	for name, f := range relations() {
		wantError(t, second(f(x, few, w)), name+": the student's side is (5, 3), the teacher's (4, 3), the weights (5); want (R, ...), (R, ...) and (R)")
		wantError(t, second(f(w, x, w)), "the student's side is (5)")
		wantError(t, second(f(x, x, x)), "the weights (5, 3)")
	}
}
