package graph

import (
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// chain is x through some layers, each with a shape of its own, and its gradient.
func chain(t *testing.T, layers int) (x *gorgonia.Node, values []*gorgonia.Node, dx *gorgonia.Node) {
	t.Helper()
	g := gorgonia.NewGraph()
	x = Input(g, "x", tensor.Float64, 3, 4)
	h := x
	for i := range layers {
		w := Input(g, string(rune('a'+i)), tensor.Float64, 5+i, h.Shape()[1])
		backing := make([]float64, w.Shape().TotalSize())
		for j := range backing {
			backing[j] = 0.1 * float64(j%7-3)
		}
		check(t, gorgonia.Let(w, tensor.New(tensor.WithShape(w.Shape()...), tensor.WithBacking(backing))))
		y, err := Linear(h, w, nil, kernel.Tanh)
		check(t, err)
		values, h = append(values, y), y
	}
	rows, err := gorgonia.Sum(h, 1)
	check(t, err)
	cost, err := gorgonia.Sum(rows)
	check(t, err)
	grads, err := gorgonia.Grad(cost, x)
	check(t, err)
	return x, values, grads[0]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Results share memory, and come out as those that do not.
func TestBuffersAreShared(t *testing.T) {
	const layers = 9
	x, values, dx := chain(t, layers)
	apart, err := NewMachine(append(values, dx)...)
	check(t, err)
	shared, err := NewMachine(dx)
	check(t, err)
	forward, err := NewMachine(values[layers-1])
	check(t, err)
	if got := buffersOf(forward); got > 4 { // the last is read by nothing of Gorgonia's here
		t.Errorf("%d layers forward take %d buffers; want no more than at hand", layers, got)
	}
	if got := buffersOf(shared); got > layers+4 { // the values forward, and what is at hand
		t.Errorf("%d steps take %d buffers; want %d or less", len(shared.steps), got, layers+4)
	}
	for run := range 3 {
		backing := make([]float64, 12)
		for i := range backing {
			backing[i] = float64(i*(run+1)%5) - 2
		}
		check(t, gorgonia.Let(x, tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(backing))))
		poison(shared)
		poison(forward)
		check(t, apart.RunAll())
		want, last := copied(apart.Value(dx)), copied(apart.Value(values[layers-1]))
		check(t, shared.RunAll())
		if got := copied(shared.Value(dx)); !slices.Equal(got, want) {
			t.Errorf("run %d: the gradient is %v in shared memory, and %v otherwise", run, got, want)
		}
		check(t, forward.RunAll())
		if got := copied(forward.Value(values[layers-1])); !slices.Equal(got, last) {
			t.Errorf("run %d: the last value is %v in shared memory, and %v otherwise", run, got, last)
		}
		if shared.Value(values[3]) != nil {
			t.Error("a machine tells a value that is no root")
		}
	}
}

// buffersOf is how many pieces of memory the results of a machine have.
func buffersOf(m *Machine) int {
	seen := map[*float64]bool{}
	for _, s := range m.steps {
		if d, ok := s.value.(*tensor.Dense); ok {
			seen[&d.Float64s()[0]] = true
		}
	}
	return len(seen)
}

// poison leaves nothing of what earlier runs came to.
func poison(m *Machine) {
	for _, s := range m.steps {
		if d, ok := s.value.(*tensor.Dense); ok {
			for i := range d.Float64s() {
				d.Float64s()[i] = -1e300
			}
		}
	}
}

func copied(v gorgonia.Value) []float64 { return slices.Clone(v.Data().([]float64)) }
