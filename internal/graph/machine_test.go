package graph_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// A step is a graph with a cost and its gradients, as training has.
type step struct {
	x, w, cost *gorgonia.Node
	grads      []*gorgonia.Node
}

// newStep is relu(x·wᵀ) with a cross-entropy on top.
func newStep() step {
	g := gorgonia.NewGraph()
	s := step{x: bind(g, "x", gradcheck.Normal(1, 4, 3)), w: bind(g, "w", gradcheck.Normal(2, 5, 3))}
	y := must(graph.Linear(s.x, s.w, nil, kernel.ReLU))
	value := must(graph.CrossEntropy(y, bind(g, "labels", dense([]int{1, 0, 4, 2}, 4)), 0))
	s.cost = must(graph.WeightedMean(value, bind(g, "weight", dense([]float64{1, 1, 1, 1}, 4)), number(g, "total", 4)))
	s.grads = must(gorgonia.Grad(s.cost, s.x, s.w))
	return s
}

func (s step) machine() *graph.Machine {
	return must(graph.NewMachine(append([]*gorgonia.Node{s.cost}, s.grads...)...))
}

// Gorgonia's own machine, which has other ways, must agree.
func TestMachineAgreesWithTapeMachine(t *testing.T) {
	ours, stock := newStep(), newStep()
	m := ours.machine()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(stock.cost.Graph())
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	near(t, floats(m.Value(ours.cost)), floats(stock.cost.Value()))
	for i, g := range ours.grads {
		near(t, floats(m.Value(g)), floats(stock.grads[i].Value()))
	}
}

func TestMachineIsAVM(t *testing.T) {
	s := newStep()
	var vm gorgonia.VM = s.machine()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	vm.Reset()
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	if v := vm.(*graph.Machine).Value(s.cost); v != nil {
		t.Errorf("a closed machine holds %v", v)
	}
}

func TestMachineRunsNoGoroutine(t *testing.T) {
	m := newStep().machine()
	before := runtime.NumGoroutine()
	for range 10 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	if after := runtime.NumGoroutine(); after != before {
		t.Errorf("%d goroutines run after the runs; before there were %d", after, before)
	}
}

// outOfRange is a node that panics when it is computed.
func outOfRange(g *gorgonia.ExprGraph) *gorgonia.Node {
	z := bind(g, "z", gradcheck.Normal(1, 3, 4))
	n := must(graph.CrossEntropy(z, bind(g, "far labels", dense([]int{0, 9, 1}, 3)), 0))
	gorgonia.WithName("the loss")(n)
	return n
}

func TestMachineRunsWhatRootsNeed(t *testing.T) {
	s := newStep()
	outOfRange(s.cost.Graph())
	graph.Input(s.cost.Graph(), "unbound", tensor.Float64, 3)
	m := must(graph.NewMachine(s.cost))
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Collect(m.Nodes)); n != 3 {
		t.Errorf("%d nodes are computed; want the layer, the loss and the mean", n)
	}
	for range m.Nodes {
		break
	}
	if v := m.Value(s.grads[0]); v != nil {
		t.Errorf("a gradient that is no root is %v; want nil", v)
	}
	if v := m.Value(newStep().cost); v != nil {
		t.Errorf("a node of another graph is %v; want nil", v)
	}
}

func TestMachineErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	unbound := must(graph.Activate(graph.Input(g, "pixels", tensor.Float64, 3, 4), kernel.ReLU))
	v := gradcheck.Normal(1, 3, 4)
	crooked := must(gorgonia.Mul(bind(g, "v", v), bind(g, "w", gradcheck.Normal(2, 4, 5))))
	if err := v.Reshape(4, 3); err != nil { // behind the graph's back
		t.Fatal(err)
	}
	tests := map[string]struct {
		root *gorgonia.Node
		want []string
	}{
		"unbound input": {unbound, []string{"graph: input pixels has no value"}},
		"panic in an op": {outOfRange(g), []string{
			"graph: the loss: op cross-entropy on [(3, 4) (3)]: ", "index out of range [9] with length 4",
		}},
		"error of an op": {crooked, []string{"op A × B on [(4, 3) (4, 5)]: ", "mismatch"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := must(graph.NewMachine(test.root)).RunAll()
			for _, want := range test.want {
				wantError(t, err, want)
			}
			if name == "panic in an op" && !errors.As(err, new(runtime.Error)) {
				t.Error("the error does not wrap the panic")
			}
			if name == "error of an op" && errors.Unwrap(err) == nil {
				t.Error("the error does not wrap the op's")
			}
		})
	}
	wantError(t, second(graph.NewMachine(nil)), "graph: a root is nil")
}

func TestMachineRunsAgain(t *testing.T) {
	g := gorgonia.NewGraph()
	x, T := bind(g, "x", dense([]float64{1, 2, 3}, 3)), must(graph.NewScalar(g, "T", tensor.Float64))
	y := must(graph.WeightedMean(x, bind(g, "w", dense([]float64{1, 1, 1}, 3)), T.Node))
	m := must(graph.NewMachine(y))
	for _, test := range []struct{ total, want float64 }{{3, 2}, {6, 1}} {
		T.Set(test.total)
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		near(t, floats(m.Value(y)), []float64{test.want})
	}
	x.Value().Data().([]float64)[0] = 13
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	near(t, floats(m.Value(y)), []float64{3})
}

// Gorgonia merges what it takes for equal. An op owns its value, so that two
// that became one would overwrite each other.
func TestOpsNeverMerge(t *testing.T) {
	x := bind(gorgonia.NewGraph(), "x", gradcheck.Normal(1, 3, 4))
	first, second := must(graph.Activate(x, kernel.ReLU)), must(graph.Activate(x, kernel.ReLU))
	if first == second {
		t.Error("two ops are one node")
	}
}

func TestReaches(t *testing.T) {
	s := newStep()
	other := graph.Input(s.cost.Graph(), "other", tensor.Float64, 3)
	reached := graph.Reaches(s.cost)
	if !reached[s.x] || !reached[s.w] || !reached[s.cost] || reached[other] {
		t.Errorf("x, w, cost and other are reached: %v, %v, %v, %v; want all but other",
			reached[s.x], reached[s.w], reached[s.cost], reached[other])
	}
}

func TestDifferentiable(t *testing.T) {
	s := newStep()
	y := must(graph.Linear(must(graph.Detach(s.x)), s.w, nil, kernel.Identity))
	if d := graph.Differentiable(y); d[s.x] || !d[s.w] || !d[y] {
		t.Errorf("there is a gradient by the detached, by w and by y: %v, %v, %v; want all but the first", d[s.x], d[s.w], d[y])
	}
}

func TestMachineAllocatesLittle(t *testing.T) {
	m := newStep().machine()
	run := func() {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, run); n > 4 {
		t.Errorf("a run makes %v allocations; want 4 at most", n)
	}
	if testing.Short() {
		return
	}
	before := heap()
	for range 10_000 {
		run()
	}
	if grown := int64(heap()) - int64(before); grown > 64<<10 {
		t.Errorf("10000 runs left %d bytes on the heap", grown)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestLower(t *testing.T) {
	g := gorgonia.NewGraph()
	x := bind(g, "x", gradcheck.Normal(1, 3, 4, 5))
	linear := must(graph.Linear(x, bind(g, "w", gradcheck.Normal(2, 6, 5)), nil, kernel.Tanh))
	tests := []struct {
		node  *gorgonia.Node
		op    string
		shape []int
	}{
		{linear, "linear", []int{4, 6}},
		{must(graph.Activate(linear, kernel.ReLU)), "activation", []int{4, 6}},
		{must(graph.Reshape(x, 3, 20)), "reshape", []int{20}},
		{must(graph.Detach(x)), "reshape", []int{4, 5}},
		{must(graph.Reshape(x, 12, 5)), "", nil}, // mixes samples
		{must(gorgonia.Tanh(x)), "", nil},
		{x, "", nil},
	}
	for _, test := range tests {
		s, ok := graph.Lower(test.node)
		if s.Op != test.op || ok != (test.op != "") || !slices.Equal(s.Shape, test.shape) {
			t.Errorf("%s lowers to %+v, %v; want %s of %v", strings.TrimSpace(test.node.Name()), s, ok, test.op, test.shape)
		}
	}
}

func BenchmarkMachine(b *testing.B) {
	m := newStep().machine()
	b.ReportAllocs()
	for b.Loop() {
		if err := m.RunAll(); err != nil {
			b.Fatal(err)
		}
	}
}
