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

// segments are of 3 samples of 7 positions: 1 to 3 texts in each, and padding.
var segments = dense([]int{
	1, 1, 1, 2, 2, 2, 2,
	1, 1, 1, 1, 1, 0, 0,
	1, 2, 3, 3, 3, 3, 3,
}, 3, 7)

// starts are where they begin.
var starts = []int{0, 3, 7, 12, 14, 15, 16, 21}

// Operations that know of texts have the gradients of finite differences, and each
// text comes to what it does alone.
func TestOpsOfTexts(t *testing.T) {
	a := kernel.Attention{Heads: 4, Shared: 2, Width: 4, Values: 5, Scale: 0.5}
	r := routings["grouped"]
	weights := gradcheck.Normal(2, 3, 7, 6)
	for i, v := range weights.Float64s() {
		weights.Float64s()[i] = max(v, 0)
	}
	for name, test := range map[string]struct {
		width int
		do    func(x, segments *gorgonia.Node, rows int, w *tensor.Dense) (*gorgonia.Node, error)
	}{
		"attention": {a.Row(), func(x, segments *gorgonia.Node, rows int, _ *tensor.Dense) (*gorgonia.Node, error) {
			return graph.Attention(x, segments, a, must(graph.NewRotary(x.Dtype(), rows, kernel.Angles{Width: 4, Theta: 100})))
		}},
		"shift": {5, func(x, segments *gorgonia.Node, _ int, _ *tensor.Dense) (*gorgonia.Node, error) {
			return graph.Shift(x, segments, 2)
		}},
		"shift back": {5, func(x, segments *gorgonia.Node, _ int, _ *tensor.Dense) (*gorgonia.Node, error) {
			return graph.Shift(x, segments, -1)
		}},
		"balance": {6, func(x, segments *gorgonia.Node, _ int, w *tensor.Dense) (*gorgonia.Node, error) {
			return graph.Balance(x, gradcheck.Const(x, "w", w), segments, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			x := gradcheck.Normal(1, 3, 7, test.width)
			together := func(x *gorgonia.Node) (*gorgonia.Node, error) {
				return test.do(x, gradcheck.Const(x, "segments", segments), 7, weights)
			}
			gradcheck.Check(t, of(together), x)
			all := eval(t, must(together(bind(gorgonia.NewGraph(), "x", x))))[0]
			size := len(all) / 21
			for i, from := range starts[:len(starts)-1] {
				n := starts[i+1] - from
				part := func(v *tensor.Dense, width int) *tensor.Dense {
					return dense(slices.Clone(floats(v)[from*width:(from+n)*width]), 1, n, width)
				}
				alone := must(test.do(bind(gorgonia.NewGraph(), "x", part(x, test.width)), nil, n, part(weights, 6)))
				if got := eval(t, alone)[0]; !slices.Equal(got, all[from*size:(from+n)*size]) {
					t.Errorf("the text from %d on is %v; alone it is %v", from, all[from*size:(from+n)*size], got)
				}
			}
		})
	}
}

// The tokens of padding are not counted, nor those of samples that are padding.
func TestRouteCountsTexts(t *testing.T) {
	r := routings["plain"]
	g := gorgonia.NewGraph()
	z, mask := bind(g, "z", gradcheck.Normal(1, 3, 7, 6)), bind(g, "mask", dense([]float64{1, 1, 0}, 3))
	n, loads, err := graph.Route(z, bind(g, "bias", gradcheck.Normal(2, 6)), mask, bind(g, "segments", segments), r)
	if err != nil {
		t.Fatal(err)
	}
	want := make(graph.Loads, 6)
	rows(eval(t, n)[0], 6, func(i int, row []float64) {
		for e, w := range row {
			if w != 0 && i < 14 && segments.Ints()[i] != 0 {
				want[e]++
			}
		}
	})
	if !slices.Equal(loads, want) {
		t.Errorf("the loads are %v; want %v", loads, want)
	}
}

func TestTextsRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x, floating := bind(g, "x", gradcheck.Normal(1, 3, 7, 6)), bind(g, "f", gradcheck.Normal(2, 3, 7))
	for _, s := range []*gorgonia.Node{floating, bind(g, "short", dense([]int{1, 1, 2}, 3)), bind(g, "long", dense(make([]int, 24), 3, 8))} {
		for name, err := range map[string]error{
			"shift":   second(graph.Shift(x, s, 1)),
			"balance": second(graph.Balance(x, x, s, routings["plain"])),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "graph: "+name+": the segments are ") {
				t.Errorf("error %v", err)
			}
		}
	}
}
