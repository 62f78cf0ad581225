package graph_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

// contrasted is a loss of 4 rows of 7 samples, the third of which does not count.
func contrasted(c *graph.Contrast, norm float64, step int, places ...int) gradcheck.Build {
	return contrastedOf(7, c, norm, step, places...)
}

func contrastedOf(samples int, c *graph.Contrast, norm float64, step int, places ...int) gradcheck.Build {
	return func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		x := in[0]
		return c.Losses(x, gradcheck.Const(x, "places", dense(places, 4)), gradcheck.Const(x, "weight", dense([]float64{1, 1, 0, 1}, 4)),
			gradcheck.Const(x, "memory", gradcheck.Normal(3, samples, 3)), gradcheck.Const(x, "norm", dense([]float64{norm}, 1)),
			gradcheck.Scalar(x, "step", float64(step)))
	}
}

func TestContrast(t *testing.T) {
	c := &graph.Contrast{Negatives: 5, T: 0.7, Seed: 9}
	gradcheck.Check(t, contrasted(c, 11, 3, 6, 0, -1, 2), gradcheck.Normal(1, 4, 3))
	if !slices.Equal(c.Places, []int{6, 0, 2}) || len(c.Rows) != 9 || c.Norm != 11 {
		t.Errorf("it saw the places %v, %d numbers and the norm %v", c.Places, len(c.Rows), c.Norm)
	}
}

// Of many samples only those that are drawn are looked at.
func TestContrastOfManySamples(t *testing.T) {
	c := &graph.Contrast{Negatives: 2, T: 0.7, Seed: 9}
	gradcheck.Check(t, contrastedOf(25, c, 11, 3, 6, 0, -1, 24), gradcheck.Normal(1, 4, 3))
	var few, many []float64
	for samples, value := range map[int]*[]float64{24: &few, 25: &many} { // both ways to compute
		memory := tensor.New(tensor.WithShape(samples, 3), tensor.WithBacking(slices.Repeat([]float64{1, -0.5, 0.25}, samples)))
		in := bind(gorgonia.NewGraph(), "x", gradcheck.Normal(1, 4, 3))
		g := in.Graph()
		y := must(c.Losses(in, bind(g, "places", dense([]int{6, 0, 1, 2}, 4)), bind(g, "w", dense([]float64{1, 1, 1, 1}, 4)),
			bind(g, "memory", memory), bind(g, "norm", dense([]float64{float64(samples)}, 1)), number(g, "step", 0)))
		for _, out := range eval(t, y, must(gorgonia.Grad(must(gorgonia.Sum(y)), in))[0]) {
			*value = append(*value, out...)
		}
	}
	for i, v := range few { // p and c both have the number of samples below the line
		if math.Abs(v-many[i]) > 1e-6*math.Abs(v) {
			t.Errorf("number %d is %v of 24 samples and %v of 25", i, v, many[i])
		}
	}
}

// Where no row counts there is nothing, and the norm stays unknown.
func TestContrastOfNoRows(t *testing.T) {
	for _, samples := range []int{7, 70} {
		in := bind(gorgonia.NewGraph(), "x", gradcheck.Normal(1, 3, 3))
		g, c := in.Graph(), &graph.Contrast{Negatives: 2, T: 0.7, Places: []int{1}}
		y := must(c.Losses(in, bind(g, "places", dense([]int{0, -1, 0}, 3)), bind(g, "w", dense(make([]float64, 3), 3)),
			bind(g, "memory", gradcheck.Normal(2, samples, 3)), bind(g, "norm", dense([]float64{0}, 1)), number(g, "step", 0)))
		for _, out := range eval(t, y, must(gorgonia.Grad(must(gorgonia.Sum(y)), in))[0]) {
			near(t, out, make([]float64, len(out)))
		}
		if len(c.Places) != 0 || len(c.Rows) != 0 || c.Norm != 0 {
			t.Errorf("it saw %v, %v and the norm %v", c.Places, c.Rows, c.Norm)
		}
	}
}

// The norm that it finds makes the mean of all scores one in as many as there are
// samples: so does the sum of all exponentials over as many.
func TestContrastSettles(t *testing.T) {
	c := &graph.Contrast{Negatives: 5, T: 0.7, Seed: 9}
	in := bind(gorgonia.NewGraph(), "x", dense(make([]float64, 12), 4, 3))
	value := eval(t, must(contrasted(c, 0, 3, 6, 0, 1, 2)([]*gorgonia.Node{in})))[0]
	if c.Norm != 7 { // exp(0) seven times
		t.Errorf("the norm is %v; want 7", c.Norm)
	}
	p, all := 1/7., 5/7.
	want := math.Log((p+all+1e-7)/p) + 5*math.Log((p+all+1e-7)/all)
	near(t, value, []float64{want, want, 0, want})
}

// What is drawn depends on the seed, the step and the place, and on nothing else:
// each other place comes as often, its own never.
func TestContrastDraws(t *testing.T) {
	value := func(seed uint64, step int, places ...int) []float64 {
		in := bind(gorgonia.NewGraph(), "x", dense([]float64{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}, 4, 3))
		c := &graph.Contrast{Negatives: 3, T: 2, Seed: seed}
		return eval(t, must(contrasted(c, 11, step, places...)([]*gorgonia.Node{in})))[0]
	}
	first := value(1, 1, 6, 0, 1, 2)
	if again := value(1, 1, 2, 6, 5, 0); again[0] != first[3] || again[1] != first[0] || again[3] != first[1] {
		t.Errorf("in another order the values are %v; want those of %v", again, first)
	}
	if slices.Equal(value(2, 1, 6, 0, 1, 2), first) || slices.Equal(value(1, 2, 6, 0, 1, 2), first) {
		t.Error("another seed or step draws the same")
	}

	// With a memory that tells places by powers of 10, the gradient counts them.
	const draws, samples = 6000, 4
	memory := tensor.New(tensor.WithShape(samples, samples), tensor.WithBacking(make([]float64, samples*samples)))
	for i := range samples {
		memory.Float64s()[i*samples+i] = 1
	}
	in := bind(gorgonia.NewGraph(), "x", dense(make([]float64, samples), 1, samples))
	c := &graph.Contrast{Negatives: draws, T: 1}
	y := must(c.Losses(in, bind(in.Graph(), "places", dense([]int{2}, 1)), bind(in.Graph(), "w", dense([]float64{1}, 1)),
		bind(in.Graph(), "memory", memory), bind(in.Graph(), "norm", dense([]float64{1}, 1)), number(in.Graph(), "step", 0)))
	grad := eval(t, must(gorgonia.Grad(must(gorgonia.Sum(y)), in))[0])[0]
	each := 1 / (1 + draws/4. + 1e-7)
	for i, g := range grad {
		if n := g / each; i != 2 && math.Abs(n-draws/3) > 150 {
			t.Errorf("place %d was drawn %v times; want about %d", i, n, draws/3)
		}
	}
	if grad[2] >= 0 {
		t.Errorf("the gradient at its own place is %v; want one below 0", grad[2])
	}
}

func TestContrastRemembers(t *testing.T) {
	memory := dense([]float64{1, 0, 0, 1, 3, 4}, 3, 2)
	c := &graph.Contrast{Places: []int{2, 0}, Rows: []float64{5, 0, 0, 1}, Norm: 8}
	c.Remember(memory, 0.5)
	near(t, memory.Float64s(), []float64{math.Sqrt(0.5), math.Sqrt(0.5), 0, 1, 4 / math.Sqrt(20), 2 / math.Sqrt(20)})
	norm := dense([]float64{0}, 1)
	c.Settle(norm)
	near(t, norm.Float64s(), []float64{8})
}

func TestContrastErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	v, places, w := bind(g, "v", gradcheck.Normal(1, 4, 3)), bind(g, "places", dense([]int{0, 1, 2, 3}, 4)), bind(g, "w", gradcheck.Normal(1, 4))
	memory, lone, norm := bind(g, "memory", gradcheck.Normal(1, 7, 3)), bind(g, "lone", gradcheck.Normal(1, 1, 3)), bind(g, "norm", gradcheck.Normal(1, 1))
	step, c := number(g, "step", 0), &graph.Contrast{Negatives: 1, T: 1}
	for i, test := range []struct {
		err  error
		want string
	}{
		{second(c.Losses(v, places, w, v, norm, step)), ""},
		{second(c.Losses(w, places, w, memory, norm, step)), "contrast: embeddings are (4)"},
		{second(c.Losses(v, norm, w, memory, norm, step)), "places (1)"},
		{second(c.Losses(v, places, norm, memory, norm, step)), "weights (1)"},
		{second(c.Losses(v, places, w, memory, w, step)), "the norm (4); want (R, D), (R), (R), (N, D) and (1)"},
		{second(c.Losses(v, places, w, lone, norm, step)), "contrast: there is 1 sample; want 2 or more"},
		{second(c.Losses(v, places, w, memory, norm, w)), "contrast: the step is (4); want a number"},
		{second(c.Losses(v, w, w, memory, norm, step)), "contrast: input 1 is of float64; want int"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if test.want != "" {
				wantError(t, test.err, test.want)
			} else if test.err != nil {
				t.Error(test.err)
			}
		})
	}
}
