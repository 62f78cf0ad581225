package graph_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

func TestEmbed(t *testing.T) {
	table, ids := gradcheck.Normal(1, 5, 7), dense([]int{4, 0, 3, 4, 4, 1, 0, 2, 2, 4, 3, 3}, 3, 4)
	op := func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Embed(in[0], gradcheck.Const(in[0], "ids", ids))
	}
	gradcheck.Check(t, op, table)
	y := must(op([]*gorgonia.Node{bind(gorgonia.NewGraph(), "table", table)}))
	if !y.Shape().Eq(tensor.Shape{3, 4, 7}) {
		t.Errorf("the shape is %v; want (3, 4, 7)", y.Shape())
	}
	var want []float64
	for _, id := range ids.Ints() {
		want = append(want, floats(table)[id*7:(id+1)*7]...)
	}
	near(t, eval(t, y)[0], want)
}

func TestEmbedRefusesUnknownIDs(t *testing.T) {
	for _, id := range []int{-1, 5} {
		ids := dense([]int{0, 1, 2, 3, 4, 0, 0, id, 0, 0, 0, 0}, 3, 4)
		g := gorgonia.NewGraph()
		y := must(graph.Embed(bind(g, "table", gradcheck.Normal(1, 5, 7)), bind(g, "ids", ids)))
		err := must(graph.NewMachine(y)).RunAll()
		if err == nil || !strings.Contains(err.Error(), "at position 3 of sample 1; want 0 to 4") {
			t.Errorf("id %d: error %v", id, err)
		}
	}
}

func TestRMSNorm(t *testing.T) {
	x, w := gradcheck.Normal(1, 3, 4, 7), gradcheck.Normal(2, 7)
	op := func(in []*gorgonia.Node) (*gorgonia.Node, error) { return graph.RMSNorm(in[0], in[1], 0.1) }
	gradcheck.Check(t, op, x, w)
	g := gorgonia.NewGraph()
	var want []float64
	rows(floats(x), 7, func(_ int, row []float64) {
		squares := 0.0
		for _, v := range row {
			squares += v * v
		}
		for j, v := range row {
			want = append(want, v/math.Sqrt(squares/7+0.1)*floats(w)[j])
		}
	})
	near(t, eval(t, must(op([]*gorgonia.Node{bind(g, "x", x), bind(g, "w", w)})))[0], want)
}

func TestSwiGLU(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 10)
	gradcheck.Check(t, of(graph.SwiGLU), x)
	var want []float64
	rows(floats(x), 10, func(_ int, row []float64) {
		for j, gate := range row[:5] {
			want = append(want, gate/(1+math.Exp(-gate))*row[5+j])
		}
	})
	near(t, eval(t, must(graph.SwiGLU(bind(gorgonia.NewGraph(), "x", x))))[0], want)
}

// The kernel's tests say what attention is.
func TestAttention(t *testing.T) {
	a := kernel.Attention{Heads: 6, Shared: 3, Width: 4, Values: 5, Scale: 0.5}
	for name, rotary := range map[string]func(tensor.Dtype) *graph.Rotary{
		"plain": func(tensor.Dtype) *graph.Rotary { return nil },
		"rotary": func(d tensor.Dtype) *graph.Rotary {
			return must(graph.NewRotary(d, 9, kernel.Angles{Width: 4, Theta: 100}))
		},
		"part": func(d tensor.Dtype) *graph.Rotary {
			return must(graph.NewRotary(d, 9, kernel.Angles{Width: 2, Theta: 100, Beside: true}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, of(func(x *gorgonia.Node) (*gorgonia.Node, error) {
				return graph.Attention(x, nil, a, rotary(x.Dtype()))
			}), gradcheck.Normal(1, 4, 7, 6*4+3*(4+5)))
		})
	}
}

func TestLinears(t *testing.T) {
	x := gradcheck.Normal(1, 3, 4, 5)
	ws := []*tensor.Dense{gradcheck.Normal(2, 6, 5), gradcheck.Normal(3, 4, 5), gradcheck.Normal(4, 7, 5)}
	bs := []*tensor.Dense{gradcheck.Normal(5, 6), gradcheck.Normal(6, 4), gradcheck.Normal(7, 7)}
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Linears(in[0], in[1:4], in[4:], nil)
	}, x, ws[0], ws[1], ws[2], bs[0], bs[1], bs[2])
	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
		return graph.Linears(in[0], in[1:], nil, nil)
	}, x, ws[0], ws[1])

	g := gorgonia.NewGraph()
	in := bind(g, "x", x)
	var apart, weights, biases []*gorgonia.Node
	for i, w := range ws {
		weights = append(weights, bind(g, "w"+string(rune('0'+i)), w))
		biases = append(biases, bind(g, "b"+string(rune('0'+i)), bs[i]))
		apart = append(apart, must(graph.Linear(in, weights[i], biases[i], kernel.Identity)))
	}
	version := uint64(3)
	y := must(graph.Linears(in, weights, biases, func() uint64 { return version }))
	m := must(graph.NewMachine(append(apart, y)...))
	for range 4 { // the third uses what the second packed
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		var want []float64
		for r := range 12 {
			for i, n := range apart {
				width := ws[i].Shape()[0]
				want = append(want, floats(m.Value(n))[r*width:(r+1)*width]...)
			}
		}
		near(t, floats(m.Value(y)), want)
	}
	weights[1].Value().(*tensor.Dense).Float64s()[0]++
	version++
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	near(t, floats(m.Value(y))[6:7], floats(m.Value(apart[1]))[:1])
}

func TestTransformerOpsRefuse(t *testing.T) {
	g := gorgonia.NewGraph()
	x := bind(g, "x", gradcheck.Normal(1, 3, 4, 7))
	w, v := bind(g, "w", gradcheck.Normal(2, 5, 6)), bind(g, "v", gradcheck.Normal(3, 7))
	ids := bind(g, "ids", dense([]int{0, 1, 2}, 3))
	ok := kernel.Attention{Heads: 1, Shared: 1, Width: 2, Values: 3}
	for want, f := range map[string]func() (*gorgonia.Node, error){
		"embed: the table is (3, 4, 7)":           func() (*gorgonia.Node, error) { return graph.Embed(x, ids) },
		"embed: the table is (5, 6)":              func() (*gorgonia.Node, error) { return graph.Embed(w, v) },
		"rms norm: x is (3, 4, 7) and the weight": func() (*gorgonia.Node, error) { return graph.RMSNorm(x, w, 1) },
		"rms norm: eps is 0":                      func() (*gorgonia.Node, error) { return graph.RMSNorm(x, v, 0) },
		"swiglu: x is (3, 4, 7)":                  func() (*gorgonia.Node, error) { return graph.SwiGLU(x) },
		"attention: there are 3 heads": func() (*gorgonia.Node, error) {
			return graph.Attention(x, nil, kernel.Attention{Heads: 3, Shared: 2, Width: 1, Values: 1}, nil)
		},
		"attention: x is (5, 6)": func() (*gorgonia.Node, error) { return graph.Attention(w, nil, ok, nil) },
		"the rotary is for 4 positions and 4 elements of a head; there are 4 and 2": func() (*gorgonia.Node, error) {
			return graph.Attention(x, nil, ok, must(graph.NewRotary(tensor.Float64, 4, kernel.Angles{Width: 4, Theta: 100})))
		},
		"the rotary is for 3 positions and 2 elements of a head; there are 4 and 2": func() (*gorgonia.Node, error) {
			return graph.Attention(x, nil, ok, must(graph.NewRotary(tensor.Float64, 3, kernel.Angles{Width: 2, Theta: 100})))
		},
		"linears: x is (3, 4, 7), with 0 weights": func() (*gorgonia.Node, error) { return graph.Linears(x, nil, nil, nil) },
		"weight 0 (5, 6)":                         func() (*gorgonia.Node, error) { return graph.Linears(x, []*gorgonia.Node{w}, nil, nil) },
		"bias 0 is (7)":                           func() (*gorgonia.Node, error) { return graph.Linears(w, []*gorgonia.Node{w}, []*gorgonia.Node{v}, nil) },
	} {
		if _, err := f(); err == nil || !strings.HasPrefix(err.Error(), "graph: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %s", err, want)
		}
	}
	if _, err := graph.NewRotary(tensor.Float32, 3, kernel.Angles{Width: 5, Theta: 100}); err == nil {
		t.Error("a rotary for 5 elements was made")
	}
}
