package graph_test

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
)

func TestMachineAddsIntoOneTensor(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		g := gorgonia.NewGraph()
		x := graph.Input(g, "x", d, 3, 5)
		y := graph.Input(g, "y", d, 3, 5)
		sum := must(gorgonia.Add(x, y))
		a, b := tensor.New(tensor.Of(d), tensor.WithShape(3, 5)), tensor.New(tensor.Of(d), tensor.WithShape(3, 5))
		if err := gorgonia.Let(x, a); err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(y, b); err != nil {
			t.Fatal(err)
		}
		m := must(graph.NewMachine(sum))
		for i := range 15 {
			set(a, i, float64(i)+0.1)
			set(b, i, 1/float64(i+1))
		}
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		want := must(tensor.Add(a, b))
		if got := fmt.Sprint(m.Value(sum).Data()); got != fmt.Sprint(want.Data()) {
			t.Errorf("the sum of %v is %v; want %v", d, got, want.Data())
		}
		if n := testing.AllocsPerRun(10, func() { _ = m.RunAll() }); n != 0 {
			t.Errorf("a sum of %v makes %v objects on each run; want none", d, n)
		}
	}
}

// What is no sum of tensors of one shape is Gorgonia's to add, or to refuse.
func TestMachineLeavesOtherSumsToGorgonia(t *testing.T) {
	g := gorgonia.NewGraph()
	x := bind(g, "x", gradcheck.Normal(1, 3, 5))
	shifted := must(gorgonia.Add(x, number(g, "shift", 4)))
	counts := must(gorgonia.Add(bind(g, "a", dense([]int{1, 2, 3}, 3)), bind(g, "b", dense([]int{4, 6, 8}, 3))))
	m := must(graph.NewMachine(shifted, counts))
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := floats(x.Value())
	for i := range want {
		want[i] += 4
	}
	near(t, floats(m.Value(shifted)), want)
	if got := m.Value(counts).Data().([]int); got[0] != 5 || got[1] != 8 || got[2] != 11 {
		t.Errorf("the sum of ints is %v; want 5, 8 and 11", got)
	}
}

func set(t *tensor.Dense, i int, v float64) {
	if t.Dtype() == tensor.Float32 {
		t.Float32s()[i] = float32(v)
	} else {
		t.Float64s()[i] = v
	}
}
