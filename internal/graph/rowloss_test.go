package graph_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

// beside is a teacher of 3 classes, labels, a temperature, two numbers, and two
// of each row.
func beside(z *gorgonia.Node) graph.Beside {
	return graph.Beside{
		Teacher: gradcheck.Const(z, "teacher", gradcheck.Normal(7, batch, 3)),
		Labels:  gradcheck.Const(z, "labels", labels),
		T:       gradcheck.Scalar(z, "T", 2),
		Params:  []*gorgonia.Node{gradcheck.Scalar(z, "a", 0.5), gradcheck.Scalar(z, "b", 3)},
		Numbers: []*gorgonia.Node{gradcheck.Const(z, "n", gradcheck.Normal(9, batch)), gradcheck.Const(z, "m", gradcheck.Normal(10, batch))},
	}
}

// squares depends on all that a row has.
func squares(r *graph.Row) (sum float64) {
	for c, v := range r.LogQ {
		k := r.Params[0]*float64(c) + r.Params[1]*r.P[c%len(r.P)] + r.LogP[0] + r.Numbers[1]
		if r.Label == c {
			k += 2
		}
		sum += k * v * v / r.T
		r.Grad[c] = 2 * k * v / r.T
	}
	return sum
}

func wantSquares(r int, z []float64) (sum float64) {
	p, number := softmax(floats(gradcheck.Normal(7, batch, 3))[r*3:][:3], 2), floats(gradcheck.Normal(10, batch))[r]
	for c, q := range softmax(z, 2) {
		k := 0.5*float64(c) + 3*p[c%3] + math.Log(p[0]) + number
		if labels.Data().([]int)[r] == c {
			k += 2
		}
		sum += k * math.Log(q) * math.Log(q) / 2
	}
	return sum
}

func each(z *gorgonia.Node) (*gorgonia.Node, error) { return beside(z).Each("squares", z, squares) }

// products couples the rows that have a weight.
func products(all []*graph.Row) float64 {
	sum := 0.0
	for i, r := range all {
		next := all[(i+1)%len(all)]
		for c := range r.Q {
			sum += r.Q[c] * next.Q[c] * r.Params[1] * r.P[1]
			r.Grad[c] += r.Q[c] * next.Q[c] * r.Params[1] * r.P[1]
			next.Grad[c] += r.Q[c] * next.Q[c] * r.Params[1] * r.P[1]
		}
	}
	return sum
}

var some = dense([]float64{1, 0, 1, 1}, batch)

func together(z *gorgonia.Node) (*gorgonia.Node, error) {
	return beside(z).Together("products", z, gradcheck.Const(z, "weights of rows", some), products)
}

func TestLossOfEachRow(t *testing.T) {
	z := gradcheck.Normal(1, batch, classes)
	gradcheck.Check(t, of(each), z)
	var want []float64
	rows(floats(z), classes, func(r int, row []float64) { want = append(want, wantSquares(r, row)) })
	near(t, eval(t, must(each(bind(gorgonia.NewGraph(), "z", z))))[0], want)
}

func TestLossOfRowsTogether(t *testing.T) {
	z := gradcheck.Normal(1, batch, classes)
	gradcheck.Check(t, of(together), z)
	var q, taught [][]float64
	rows(floats(z), classes, func(r int, row []float64) {
		if floats(some)[r] != 0 {
			q, taught = append(q, softmax(row, 2)), append(taught, softmax(floats(gradcheck.Normal(7, batch, 3))[r*3:][:3], 2))
		}
	})
	want := 0.0
	for i := range q {
		for c := range classes {
			want += q[i][c] * q[(i+1)%len(q)][c] * 3 * taught[i][1]
		}
	}
	near(t, eval(t, must(together(bind(gorgonia.NewGraph(), "z", z))))[0], []float64{want, want, want, want})
}

func TestStandardize(t *testing.T) {
	z := gradcheck.Normal(1, 3, 5)
	gradcheck.Check(t, of(graph.Standardize), z)
	var want []float64
	rows(floats(z), 5, func(_ int, row []float64) {
		mean, square := total(row)/5, 0.0
		for _, v := range row {
			square += (v - mean) * (v - mean) / 4
		}
		for _, v := range row {
			want = append(want, (v-mean)/(math.Sqrt(square)+1e-7))
		}
	})
	near(t, eval(t, must(graph.Standardize(bind(gorgonia.NewGraph(), "z", z))))[0], want)
}

func TestRowLossErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	z, vector := bind(g, "z", gradcheck.Normal(1, batch, classes)), bind(g, "vector", gradcheck.Normal(1, 3))
	column := bind(g, "column", gradcheck.Normal(1, 3, 1))
	one := number(g, "one", 1)
	each := func(z *gorgonia.Node, b graph.Beside) error { return second(b.Each("squares", z, squares)) }
	for want, err := range map[string]error{
		"squares: the student's side is (3); want (R, C)":              each(vector, graph.Beside{T: one}),
		"squares: the teacher's logits are (3); want (4, K)":           each(z, graph.Beside{Teacher: vector, T: one}),
		"squares: the labels are (3); want (4)":                        each(z, graph.Beside{Labels: vector, T: one}),
		"squares: a parameter is (3); want a number":                   each(z, graph.Beside{T: vector}),
		"squares: numbers of the rows are (3); want (4)":               each(z, graph.Beside{Numbers: []*gorgonia.Node{vector}, T: one}),
		"products: the weights are (3); want (4)":                      second(graph.Beside{T: one}.Together("products", z, vector, products)),
		"standardize: z is (3); want (R, C) with C of 2 or more":       second(graph.Standardize(vector)),
		"graph: standardize: z is (3, 1); want (R, C) with C of 2 or ": second(graph.Standardize(column)),
	} {
		t.Run(want, func(t *testing.T) { wantError(t, err, want) })
	}
	weights := bind(g, "weights", dense(make([]float64, batch), batch))
	labels := bind(g, "labels", gradcheck.Normal(1, batch))
	wantError(t, each(z, graph.Beside{Labels: labels, T: one}), "input 2 is of float64; want int")
	wantError(t, second(graph.Beside{T: one, Labels: labels}.Together("products", z, weights, products)), "input 3 is of float64; want int")
}

// Losses of rows keep their memory, and allocate no more than another does.
func TestRowLossesAllocateLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("objects are counted without -short, and so without the race detector, which makes some")
	}
	ranked := func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return beside(z).Each("ranks", z, func(r *graph.Row) float64 { return float64(r.RankP()[0] + r.RankQ()[0]) })
	}
	for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
		least := allocations(t, mse, d)
		for name, f := range map[string]loss{"each": each, "together": together, "ranked": ranked} {
			if n := allocations(t, f, d); n > least+1 {
				t.Errorf("%s of %v: %v allocations in a run; want %v", name, d, n, least)
			}
		}
	}
}

// allocations are those of a run for the value of f and its gradient.
func allocations(t *testing.T, f loss, d tensor.Dtype) float64 {
	z := graph.Input(gorgonia.NewGraph(), "z", d, batch, classes)
	if err := gorgonia.Let(z, graph.Zeros(d, batch, classes)); err != nil {
		t.Fatal(err)
	}
	m := must(graph.NewMachine(must(gorgonia.Grad(must(gorgonia.Sum(must(f(z)))), z))...))
	return testing.AllocsPerRun(50, func() { _ = m.RunAll() })
}
