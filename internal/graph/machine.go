// Package graph runs Gorgonia's graphs, and brings the operations that
// Gorgonia lacks or has wrong.
//
// Graphs are built with Gorgonia's nodes and differentiated by its Grad. A
// [Machine] runs them in the goroutine of its caller:
//
//	g := gorgonia.NewGraph()
//	x := graph.Input(g, "x", tensor.Float32, 64, 784)
//	w := graph.Input(g, "w", tensor.Float32, 10, 784)
//	y, err := graph.Linear(x, w, nil, kernel.ReLU)
//	...
//	m, err := graph.NewMachine(y)
//	gorgonia.Let(x, batch)
//	gorgonia.Let(w, weights)
//	err = m.RunAll()
//	fmt.Println(m.Value(y))
//
// A graph has one cost: Gorgonia's Grad is silently wrong when it is called
// twice on shared nodes.
package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Machine computes nodes, and only what they depend on. It implements
// [gorgonia.VM] without goroutines: a panic inside an op is an error of
// RunAll. A machine is not safe for concurrent use; neither are two machines
// that share a graph.
type Machine struct {
	inputs []input
	steps  []step
	values []gorgonia.Value
	slot   map[*gorgonia.Node]int
	roots  map[*gorgonia.Node]bool
}

type input struct {
	node *gorgonia.Node
	slot int
}

type step struct {
	node *gorgonia.Node
	op   gorgonia.Op
	args []gorgonia.Value
	from []int
	to   int

	holder holder         // the op, if it is given
	value  gorgonia.Value // to write to
}

var _ gorgonia.VM = (*Machine)(nil)

// NewMachine orders the nodes that the roots depend on. Inputs are read at
// each run: bind them with [gorgonia.Let].
func NewMachine(roots ...*gorgonia.Node) (*Machine, error) {
	m := &Machine{slot: map[*gorgonia.Node]int{}, roots: map[*gorgonia.Node]bool{}}
	for _, n := range roots {
		if n == nil {
			return nil, errors.New("graph: a root is nil")
		}
		m.add(n)
		m.roots[n] = true
	}
	m.values = make([]gorgonia.Value, len(m.slot))
	m.plan(roots)
	return m, nil
}

// add puts n behind all that it depends on.
func (m *Machine) add(n *gorgonia.Node) int {
	if to, ok := m.slot[n]; ok {
		return to
	}
	var from []int
	for _, c := range Children(n) {
		from = append(from, m.add(c))
	}
	to := len(m.slot)
	m.slot[n] = to
	if n.Op() == nil {
		m.inputs = append(m.inputs, input{n, to})
	} else {
		m.steps = append(m.steps, step{node: n, op: settled(n), args: make([]gorgonia.Value, len(from)), from: from, to: to})
	}
	return to
}

// Children are the inputs of n, in order.
func Children(n *gorgonia.Node) []*gorgonia.Node {
	var all []*gorgonia.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		all = append(all, it.Node().(*gorgonia.Node))
	}
	return all
}

// RunAll computes every root. There is no need to Reset between runs.
func (m *Machine) RunAll() (err error) {
	for _, in := range m.inputs {
		v := in.node.Value()
		if v == nil {
			return fmt.Errorf("graph: input %s has no value", in.node.Name())
		}
		m.values[in.slot] = v
	}
	at := -1
	defer func() {
		if r := recover(); r != nil {
			err = m.steps[at].fail(r)
		}
	}()
	for at = range m.steps {
		s := &m.steps[at]
		for i, f := range s.from {
			s.args[i] = m.values[f]
		}
		if s.holder != nil {
			s.holder.hold(s.value)
		}
		v, err := s.op.Do(s.args...)
		if err != nil {
			return s.fail(err)
		}
		m.values[s.to] = v
	}
	return nil
}

func (s *step) fail(why any) error {
	shapes := make([]tensor.Shape, len(s.args))
	for i, a := range s.args {
		if a != nil {
			shapes[i] = a.Shape()
		}
	}
	if err, ok := why.(error); ok {
		return fmt.Errorf("graph: %s: op %v on %v: %w", s.node.Name(), s.op, shapes, err)
	}
	return fmt.Errorf("graph: %s: op %v on %v: %v", s.node.Name(), s.op, shapes, why)
}

// Value is what a root came to in the last run, nil for other nodes: the memory
// of those may hold something else by then. Most values are overwritten by the
// next run.
func (m *Machine) Value(n *gorgonia.Node) gorgonia.Value {
	if m.roots[n] {
		return m.values[m.slot[n]]
	}
	return nil
}

// Computes says whether a run computes a node.
func (m *Machine) Computes(n *gorgonia.Node) bool {
	_, ok := m.slot[n]
	return ok
}

// Reset implements [gorgonia.VM]; a Machine has nothing to reset.
func (m *Machine) Reset() {}

// Close drops what the last run left.
func (m *Machine) Close() error {
	clear(m.values)
	return nil
}

// Nodes yields the nodes in the order in which they are computed.
func (m *Machine) Nodes(yield func(*gorgonia.Node) bool) {
	for _, s := range m.steps {
		if !yield(s.node) {
			return
		}
	}
}

// Input adds a named input to g. Names must differ: Gorgonia silently merges
// inputs of one name and shape.
func Input(g *gorgonia.ExprGraph, name string, d tensor.Dtype, shape ...int) *gorgonia.Node {
	if len(shape) == 0 {
		return gorgonia.NewScalar(g, d, gorgonia.WithName(name))
	}
	return gorgonia.NewTensor(g, d, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// A Scalar is a number that is bound before each run.
type Scalar struct {
	Node  *gorgonia.Node
	value gorgonia.Value
}

// NewScalar adds a scalar input to g.
func NewScalar(g *gorgonia.ExprGraph, name string, d tensor.Dtype) (*Scalar, error) {
	s := &Scalar{Node: Input(g, name, d), value: newValue(d, nil)}
	if err := gorgonia.Let(s.Node, s.value); err != nil {
		return nil, fmt.Errorf("graph: scalar %s: %w", name, err)
	}
	return s, nil
}

// Set is the value of the scalar in the runs to come.
func (s *Scalar) Set(v float64) { setScalar(s.value, v) }

// ScalarValue reads a value of shape ().
func ScalarValue(v gorgonia.Value) float64 { return scalar(v) }

// Reaches is the set of nodes that n depends on, itself included.
func Reaches(n *gorgonia.Node) map[*gorgonia.Node]bool { return reach(n, Children) }

// Differentiable is the set of nodes that n has a gradient by, itself included:
// what a Detach hides is not in it.
func Differentiable(n *gorgonia.Node) map[*gorgonia.Node]bool { return reach(n, varying) }

// varying are the inputs that n has a gradient by.
func varying(n *gorgonia.Node) []*gorgonia.Node {
	all := Children(n)
	op, ok := n.Op().(gorgonia.SDOp)
	if !ok {
		return all // Grad will say what it cannot do
	}
	wrt := op.DiffWRT(len(all))
	var some []*gorgonia.Node
	for i, c := range all {
		if wrt[i] {
			some = append(some, c)
		}
	}
	return some
}

func reach(n *gorgonia.Node, next func(*gorgonia.Node) []*gorgonia.Node) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{}
	var walk func(*gorgonia.Node)
	walk = func(n *gorgonia.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, c := range next(n) {
			walk(c)
		}
	}
	walk(n)
	return seen
}
