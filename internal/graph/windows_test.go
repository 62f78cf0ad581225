package graph_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// A windowCase is a convolution or a pooling as PyTorch computes it, see
// testdata/windows.py: y of x, w and b, and their gradients if that of y is dy.
type windowCase struct {
	kernel.Window
	Op, Act        string
	Groups         int
	ExcludePad     bool
	X, W, B, Y     array
	DY, DX, DW, DB array
}

// values are the values of a, in a float type.
func values[F kernel.Float](a array) *tensor.Dense {
	v := make([]F, len(a.Data))
	for i, x := range a.Data {
		v[i] = F(x)
	}
	return dense(v, a.Shape...)
}

func TestWindowsMatchPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/windows.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []windowCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	done := map[string]int{}
	for i, c := range cases {
		done[c.Op]++
		t.Run(fmt.Sprintf("%d/%s", i, c.Op), func(t *testing.T) {
			compareWindow[float64](t, c, 1e-9)
			compareWindow[float32](t, c, 1e-5)
		})
	}
	for op, want := range map[string]int{"conv": 11, "maxpool": 4, "avgpool": 4, "globalavgpool": 1} {
		if done[op] != want {
			t.Errorf("%d cases of %s; want %d", done[op], op, want)
		}
	}
}

// compareWindow computes a case twice in one graph.
func compareWindow[F kernel.Float](t *testing.T, c windowCase, tolerance float64) {
	g := gorgonia.NewGraph()
	in, want := []*gorgonia.Node{bind(g, "x", values[F](c.X))}, []array{c.Y, c.DX}
	if c.Op == "conv" {
		in, want = append(in, bind(g, "w", values[F](c.W))), append(want, c.DW)
	}
	if c.B.Shape != nil {
		in, want = append(in, bind(g, "b", values[F](c.B))), append(want, c.DB)
	}
	y := c.apply(in)
	cost := must(gorgonia.Sum(must(gorgonia.HadamardProd(y, bind(g, "dy", values[F](c.DY))))))
	nodes := append([]*gorgonia.Node{y}, must(gorgonia.Grad(cost, in...))...)
	m := must(graph.NewMachine(nodes...))
	for range 2 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		for i, n := range nodes {
			got := m.Value(n)
			if !got.Shape().Eq(tensor.Shape(want[i].Shape)) {
				t.Fatalf("output %d (the value, then gradients) is %v; want %v", i, got.Shape(), want[i].Shape)
			}
			for j, v := range got.Data().([]F) {
				if w := want[i].Data[j]; !(math.Abs(float64(v)-w) <= tolerance*max(1, math.Abs(w))) {
					t.Fatalf("output %d (the value, then gradients): element %d is %v; want %v", i, j, v, w)
				}
			}
		}
	}
}

// apply adds the case to the graph of its inputs.
func (c windowCase) apply(in []*gorgonia.Node) *gorgonia.Node {
	switch c.Op {
	case "conv":
		return must(graph.Conv2d(in[0], in[1], append(in, nil)[2], c.Window, c.Groups, must(kernel.ParseAct(c.Act))))
	case "maxpool":
		return must(graph.MaxPool(in[0], c.Window))
	case "avgpool":
		return must(graph.AvgPool(in[0], c.Window, c.ExcludePad))
	}
	return must(graph.GlobalAvgPool(in[0]))
}
