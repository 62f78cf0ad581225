package graph_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

// truth are the numbers to be learnt, and yes the weights of a yes.
var (
	truth = gradcheck.Normal(11, batch, classes)
	yes   = []float64{1, 0.5, 2, 3, 0.25}
)

func l1(z *gorgonia.Node) (*gorgonia.Node, error) {
	return graph.L1(z, gradcheck.Const(z, "truth", truth))
}

func huber(delta float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Huber(z, gradcheck.Const(z, "truth", truth), delta)
	}
}

func bounded(margin float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Bounded(z, gradcheck.Const(z, "teacher", teacher), gradcheck.Const(z, "truth", truth), margin)
	}
}

func bce(w []float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.BCE(z, gradcheck.Const(z, "targets", targets), w)
	}
}

func binaryKL(T float64) loss {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.BinaryKL(z, gradcheck.Const(z, "teacher", teacher), gradcheck.Scalar(z, "T", T))
	}
}

// distances is the mean of f over the differences from the truth.
func distances(f func(d float64) float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) (sum float64) {
		for c, v := range z {
			sum += f(v-floats(truth)[r*classes+c]) / classes
		}
		return sum
	}
}

func wantHuber(delta float64) func(r int, z []float64) float64 {
	return distances(func(d float64) float64 {
		if math.Abs(d) <= delta {
			return d * d / 2
		}
		return delta * (math.Abs(d) - delta/2)
	})
}

func wantBounded(margin float64) func(r int, z []float64) float64 {
	square := distances(func(d float64) float64 { return d * d })
	return func(r int, z []float64) float64 {
		if square(r, z)+margin > square(r, floats(teacher)[r*classes:][:classes]) {
			return square(r, z)
		}
		return 0
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func wantBCE(w []float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) (sum float64) {
		for c, v := range z {
			t, weight := floats(targets)[r*classes+c], 1.0
			if w != nil {
				weight = w[c]
			}
			sum -= weight*t*math.Log(sigmoid(v)) + (1-t)*math.Log(sigmoid(-v))
		}
		return sum
	}
}

func wantBinaryKL(T float64) func(r int, z []float64) float64 {
	return func(r int, z []float64) (sum float64) {
		for c, v := range z {
			a, b := floats(teacher)[r*classes+c]/T, v/T
			sum += divergence([]float64{sigmoid(a), sigmoid(-a)}, []float64{sigmoid(b), sigmoid(-b)}, T)
		}
		return sum
	}
}

func TestTargetLosses(t *testing.T) {
	type lossTest struct {
		loss loss
		want func(r int, z []float64) float64
	}
	tests := map[string]lossTest{
		"l1":           {l1, distances(math.Abs)},
		"bce":          {bce(nil), wantBCE(nil)},
		"weighted bce": {bce(yes), wantBCE(yes)},
		"bounded":      {bounded(0.25), wantBounded(0.25)},
		"bounded by 0": {bounded(0), wantBounded(0)},
	}
	for _, x := range hardness {
		tests[fmt.Sprint("huber ", x)] = lossTest{huber(x), wantHuber(x)}
		tests[fmt.Sprint("binary kl ", x)] = lossTest{binaryKL(x), wantBinaryKL(x)}
	}
	z := gradcheck.Normal(1, batch, classes)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, of(test.loss), z)
			var want []float64
			rows(floats(z), classes, func(r int, row []float64) { want = append(want, test.want(r, row)) })
			near(t, eval(t, must(test.loss(bind(gorgonia.NewGraph(), "z", z))))[0], want)
		})
	}
	if value := eval(t, must(bounded(0)(bind(gorgonia.NewGraph(), "z", z))))[0]; slices.Min(value) != 0 || slices.Max(value) == 0 {
		t.Errorf("bounded is %v; want rows on both sides of the bound", value)
	}
}

// A student that is the teacher, or right, has nothing to learn.
func TestTargetIsStudent(t *testing.T) {
	for name, of := range map[string]struct {
		loss loss
		z    []float64
	}{
		"l1": {l1, floats(truth)}, "huber": {huber(1), floats(truth)}, "bounded": {bounded(0), floats(truth)},
		"within the bound": {bounded(0), floats(teacher)},
		"binary kl 1":      {binaryKL(1), floats(teacher)}, "binary kl 4": {binaryKL(4), floats(teacher)},
	} {
		for _, g := range gradient(t, of.loss, dense(of.z, batch, classes)) {
			if g != 0 {
				t.Errorf("%s: the gradient has %v; want 0", name, g)
			}
		}
	}
}

func TestBCERefusesOtherLabels(t *testing.T) {
	z := bind(gorgonia.NewGraph(), "z", gradcheck.Normal(1, 3, 1))
	m := must(graph.NewMachine(must(graph.BCE(z, bind(z.Graph(), "labels", dense([]int{0, 2, 1}, 3)), nil))))
	wantError(t, m.RunAll(), "label 2 of a single logit; want 0 or 1")
}

// One logit of yes is the two logits 0 and z.
func TestBCEOfLabels(t *testing.T) {
	z, pair := gradcheck.Normal(3, batch, 1), make([]float64, 0, 2*batch)
	for _, v := range floats(z) {
		pair = append(pair, 0, v)
	}
	label := dense([]int{1, 0, 0, 1}, batch)
	one := func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.BCE(z, gradcheck.Const(z, "labels", label), nil)
	}
	two := func(z *gorgonia.Node) (*gorgonia.Node, error) {
		return graph.CrossEntropy(z, gradcheck.Const(z, "labels", label), 0)
	}
	gradcheck.Check(t, of(one), z)
	near(t, eval(t, must(one(bind(gorgonia.NewGraph(), "z", z))))[0],
		eval(t, must(two(bind(gorgonia.NewGraph(), "z", dense(pair, batch, 2)))))[0])
}

func TestChannelsLast(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5, 6)
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.ChannelsLast(in[0]) }, x)
	n := must(graph.ChannelsLast(bind(gorgonia.NewGraph(), "x", x)))
	got := eval(t, n)[0]
	if !slices.Equal(n.Shape(), []int{3, 5, 6, 4}) || got[((2*5+3)*6+1)*4+2] != floats(x)[((2*4+2)*5+3)*6+1] {
		t.Errorf("%v, which is not x with its channels last", n.Shape())
	}
}

func TestTargetLossErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	z := bind(g, "z", gradcheck.Normal(1, 3, 5))
	wide, vector := bind(g, "wide", gradcheck.Normal(1, 3, 6)), bind(g, "vector", gradcheck.Normal(1, 3))
	id := bind(g, "id", dense([]int{0, 1, 1}, 3))
	for want, err := range map[string]error{
		"l1: the target is (3, 6), the student's side (3, 5)":             second(graph.L1(z, wide)),
		"huber: the student's side is (3); want (R, C)":                   second(graph.Huber(vector, vector, 1)),
		"bounded: the target is (3, 6)":                                   second(graph.Bounded(z, z, wide, 0)),
		"bce: the target is (3) of int, the student's side (3, 5)":        second(graph.BCE(z, id, nil)),
		"bce: the target is (3, 6) of float64, the student's side (3, 5)": second(graph.BCE(z, wide, nil)),
		"bce: 2 weights of a yes; want one for each of 5":                 second(graph.BCE(z, z, yes[:2])),
		"binary kl: the target is (3, 6), the student's side (3, 5)":      second(graph.BinaryKL(z, wide, number(g, "T", 1))),
		"binary kl: the temperature is (3, 5); want a number":             second(graph.BinaryKL(z, z, z)),
		"channels last: x is (3, 5); want (B, C, ...)":                    second(graph.ChannelsLast(z)),
	} {
		wantError(t, err, want)
	}
}
