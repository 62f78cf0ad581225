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

// An array is a tensor in a file of testdata, which the script beside it wrote.
type array struct {
	Shape []int
	Data  []float64
}

func (a array) dense() *tensor.Dense { return dense(a.Data, a.Shape...) }

// A torchLayer is what PyTorch computes of a layer: its parameters may be nil.
type torchLayer struct {
	Kind, Act    string
	Axes, Groups int
	Eps          float64
	X, DY, Y     array
	Params       map[string]array
	Grads        map[string]array
}

type torchBatches struct {
	Act    string
	Eps    float64
	Params map[string]array
	Steps  []struct {
		torchLayer
		Mean     array `json:"running_mean"`
		Variance array `json:"running_var"`
	}
}

func torchFile(t *testing.T) (f struct {
	Activations struct {
		X, DY array
		Cases map[string]torchLayer
	}
	Layers  []torchLayer
	Batches []torchBatches
}) {
	t.Helper()
	text, err := os.ReadFile("testdata/norms.json")
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// check compares a layer and its gradients with PyTorch's, to 1e-9.
func (c torchLayer) check(t *testing.T, build func(x, weight, bias *gorgonia.Node) (*gorgonia.Node, error)) {
	t.Helper()
	g := gorgonia.NewGraph()
	in := map[string]*gorgonia.Node{"x": bind(g, "x", c.X.dense())}
	for name, p := range c.Params {
		in[name] = bind(g, name, p.dense())
	}
	y, err := build(in["x"], in["weight"], in["bias"])
	if err != nil {
		t.Fatal(err)
	}
	cost := must(gorgonia.Sum(must(gorgonia.HadamardProd(y, bind(g, "dy", c.DY.dense())))))
	nodes, want := []*gorgonia.Node{y}, [][]float64{c.Y.Data}
	var wrt []*gorgonia.Node
	for name, n := range in {
		wrt, want = append(wrt, n), append(want, c.Grads[name].Data)
	}
	nodes = append(nodes, must(gorgonia.Grad(cost, wrt...))...)
	for i, got := range eval(t, nodes...) {
		closeTo(t, fmt.Sprintf("output %d (y, then gradients)", i), got, want[i])
	}
}

// closeTo wants values that are PyTorch's to 1e-9.
func closeTo(t *testing.T, name string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements; PyTorch's has %d", name, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-9*max(1, math.Abs(want[i]))) {
			t.Fatalf("%s has %v at %d; PyTorch's has %v", name, got[i], i, want[i])
		}
	}
}

func TestActivationsMatchPyTorch(t *testing.T) {
	f := torchFile(t).Activations
	if len(f.Cases) != 12 {
		t.Errorf("there are %d activations; want 12", len(f.Cases))
	}
	for name, c := range f.Cases {
		c.X, c.DY = f.X, f.DY
		t.Run(name, func(t *testing.T) {
			act := must(kernel.ParseAct(name))
			c.check(t, func(x, _, _ *gorgonia.Node) (*gorgonia.Node, error) { return graph.Activate(x, act) })
		})
	}
}

func TestNormsMatchPyTorch(t *testing.T) {
	for i, c := range torchFile(t).Layers {
		t.Run(fmt.Sprint(i, c.Kind, c.X.Shape), func(t *testing.T) {
			c.check(t, func(x, weight, bias *gorgonia.Node) (*gorgonia.Node, error) {
				if c.Kind == "layer" {
					return graph.LayerNorm(x, c.Axes, weight, bias, c.Eps)
				}
				return graph.GroupNorm(x, c.Groups, weight, bias, c.Eps, kernel.Identity)
			})
		})
	}
}

func TestBatchNormMatchesPyTorch(t *testing.T) {
	for i, b := range torchFile(t).Batches {
		act := must(kernel.ParseAct(b.Act))
		for step, c := range b.Steps {
			c.Params = b.Params
			t.Run(fmt.Sprint(i, step), func(t *testing.T) {
				c.check(t, func(x, weight, bias *gorgonia.Node) (*gorgonia.Node, error) {
					g := x.Graph()
					if step == len(b.Steps)-1 { // in eval mode
						return graph.BatchNormBy(x, bind(g, "mean", c.Mean.dense()), bind(g, "variance", c.Variance.dense()), weight, bias, b.Eps, act)
					}
					y, _, err := graph.BatchNorm(x, weight, bias, bind(g, "mask", ones(c.X.Shape[0])), b.Eps, act)
					return y, err
				})
			})
		}
	}
}

func ones(n int) *tensor.Dense {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return dense(v, n)
}
