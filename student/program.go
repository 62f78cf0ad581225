package student

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
)

// A Program is a graph that was built for batches of one size, ready to run
// over and over. It is not safe for concurrent use.
type Program struct {
	b       *Builder
	machine *graph.Machine
	in      Taps
	names   []string // of in, sorted
	valid   *tensor.Dense
	params  []*Param
	grads   []*gorgonia.Node
	unused  []*Param
	after   []gathering // what the runs of a training graph gather
}

// building guards Gorgonia's global state: graphs are built one at a time.
var building sync.Mutex

// Mode says what a graph is for.
type Mode struct {
	// Rows is the size of its batches, padding included: 1 or more.
	Rows int
	// Dtype is what it computes in: tensor.Float32, the zero value's meaning,
	// or tensor.Float64.
	Dtype tensor.Dtype
	// Training turns dropout on, drawing from Seed, and makes batch norms look at
	// the batch and move their running statistics.
	Training bool
	Seed     uint64
}

// Compile builds a graph. f makes it from the inputs of the spec, with
// parameters kept in params: it returns the scalar to be minimised, or nil
// where there is nothing to train, and other nodes that each run is to compute.
func Compile(params *Params, in data.Spec, mode Mode, f func(b *Builder, in Taps) (cost *gorgonia.Node, also []*gorgonia.Node)) (*Program, error) {
	switch {
	case params == nil || f == nil:
		return nil, errors.New("student: Compile has nil Params or a nil function; want both")
	case mode.Rows < 1:
		return nil, fmt.Errorf("student: Mode.Rows is %d; want 1 or more", mode.Rows)
	}
	if mode.Dtype.Type == nil {
		mode.Dtype = tensor.Float32
	}
	building.Lock()
	defer building.Unlock()
	var p *Program
	err := run(func() {
		b, inputs := newBuilder(params, in, mode)
		p = &Program{b: b, in: inputs, names: sorted(inputs), valid: tensor.New(tensor.Of(mode.Dtype), tensor.WithShape(mode.Rows))}
		b.Check(gorgonia.Let(b.valid, p.valid))
		cost, also := f(b, inputs)
		var err error
		p.machine, err = graph.NewMachine(append(p.differentiate(cost), also...)...)
		b.Check(err)
		p.after = b.gathered
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Compile builds a graph of the model, as [Compile] does; f is given its taps
// and adds what else belongs to the graph.
func (m *Model) Compile(mode Mode, f func(b *Builder, taps Taps) (cost *gorgonia.Node, also []*gorgonia.Node)) (*Program, error) {
	if m.module == nil || f == nil {
		return nil, errors.New("student: Compile has a Model that New did not make, or a nil function; want both")
	}
	mode.Dtype = m.dtype
	return Compile(&m.params, m.spec, mode, func(b *Builder, in Taps) (*gorgonia.Node, []*gorgonia.Node) {
		taps := m.module.Forward(b, in)
		b.checkTaps(taps)
		m.checkParams(b)
		return f(b, taps)
	})
}

// differentiate takes the gradient of the cost by every trainable parameter
// that reaches it, and returns the cost with the gradients.
func (p *Program) differentiate(cost *gorgonia.Node) []*gorgonia.Node {
	if cost == nil {
		return nil
	}
	reached := graph.Differentiable(cost)
	var wrt []*gorgonia.Node
	for _, ps := range p.b.met {
		n := p.b.nodes[ps]
		switch {
		case ps.Frozen, ps.Buffer:
		case reached[n]:
			p.params = append(p.params, ps)
			wrt = append(wrt, n)
		default:
			p.unused = append(p.unused, ps)
		}
	}
	if len(wrt) > 0 {
		p.grads = p.grad(cost, wrt)
	}
	return append([]*gorgonia.Node{cost}, p.grads...)
}

// grad is Gorgonia's, without two of its traps: it skips nodes that have a
// derivative already, and hands out one node as the gradient of several.
func (p *Program) grad(cost *gorgonia.Node, wrt []*gorgonia.Node) []*gorgonia.Node {
	for n := range graph.Reaches(cost) {
		if n.Deriv() != nil {
			p.b.fail(fmt.Errorf("gorgonia.Grad was called on %s while the graph was built; a graph has one cost", n.Name()))
		}
	}
	grads, err := gorgonia.Grad(cost, wrt...)
	p.b.Check(err)
	taken := map[*gorgonia.Node]bool{}
	for i, g := range grads {
		if taken[g] {
			grads[i], err = graph.Detach(g)
			p.b.Check(err)
		}
		taken[g] = true
	}
	return grads
}

// Only is a program over the same graph, with the same bindings, that computes
// some of its nodes. Its runs are looks at a graph and not steps of training:
// they move no running statistics.
func (p *Program) Only(nodes ...*gorgonia.Node) (*Program, error) {
	m, err := graph.NewMachine(nodes...)
	if err != nil {
		return nil, err
	}
	q := *p
	q.machine, q.grads, q.params, q.after = m, nil, nil, nil
	return &q, nil
}

// Look is the same program, for runs that are looks at it and not steps of
// training: they move no running statistics.
func (p *Program) Look() *Program {
	q := *p
	q.after = nil
	return &q
}

// Bind takes the inputs of a batch: its leading axis is the graph's Rows. The
// program reads them at each run, and does not copy.
func (p *Program) Bind(batch data.Batch) error {
	for _, name := range p.names {
		v := batch.In[name]
		if v == nil {
			return fmt.Errorf("student: the batch has no input %q", name)
		}
		if err := p.Let(p.in[name], v); err != nil {
			return fmt.Errorf("student: input %q: %w", name, err)
		}
	}
	if err := checkRows(batch, p.b.rows); err != nil {
		return err
	}
	fillOnes(p.valid, batch.N)
	keys := p.b.draw.Keys[:0]
	for _, id := range batch.ID {
		keys = append(keys, graph.Hash(id.Sample, id.View))
	}
	p.b.draw.Keys = keys
	return nil
}

// checkRows refuses a batch whose N is not that of its ids, or more than rows.
func checkRows(batch data.Batch, rows int) error {
	if batch.N < 0 || batch.N > rows || len(batch.ID) != batch.N {
		return fmt.Errorf("student: the batch has N = %d and %d ids; want N ids, at most %d", batch.N, len(batch.ID), rows)
	}
	return nil
}

func fillOnes(t *tensor.Dense, n int) {
	if t.Dtype() == tensor.Float32 {
		ones(t.Float32s(), n)
	} else {
		ones(t.Float64s(), n)
	}
}

func ones[F float32 | float64](v []F, n int) {
	clear(v)
	for i := range v[:n] {
		v[i] = 1
	}
}

// Let binds an input of the graph to v, which has its shape and dtype.
func (p *Program) Let(n *gorgonia.Node, v *tensor.Dense) error {
	if n == nil || v == nil {
		return errors.New("the node or its value is nil; want both")
	}
	own := p.b.own[n]
	if own == nil {
		own = tensor.New(tensor.Of(n.Dtype()), tensor.WithShape(n.Shape()...))
		p.b.own[n] = own
	}
	switch {
	case !v.Shape().Eq(own.Shape()) || v.Dtype() != own.Dtype():
		return fmt.Errorf("the value is %v of %v; want %v of %v", v.Shape(), v.Dtype(), own.Shape(), own.Dtype())
	case v.RequiresIterator() || v.DataOrder().IsColMajor():
		return gorgonia.Let(n, v)
	case n.Value() != own:
		if err := gorgonia.Let(n, own); err != nil {
			return err
		}
	}
	own.Raw = v.Raw // gorgonia.Let makes garbage at each call
	return nil
}

// Run computes the program at a step, from 0, which schedules and dropout
// depend on. In a training graph, it then moves the running statistics of the
// layers that it computed.
func (p *Program) Run(step int) error {
	p.b.draw.Step = step
	for _, s := range p.b.scalars {
		s.Set(s.at(step))
	}
	if err := p.machine.RunAll(); err != nil {
		return err
	}
	for _, g := range p.after {
		if p.machine.Computes(g.of) {
			g.do()
		}
	}
	return nil
}

// Value is what a node came to in the last run, until the next one.
func (p *Program) Value(n *gorgonia.Node) *tensor.Dense {
	d, _ := p.machine.Value(n).(*tensor.Dense)
	return d
}

// Scalar is what a node of shape () came to in the last run.
func (p *Program) Scalar(n *gorgonia.Node) float64 { return graph.ScalarValue(p.machine.Value(n)) }

// Grads yields the trained parameters with their gradients in the last run.
func (p *Program) Grads() iter.Seq2[*Param, *tensor.Dense] {
	return func(yield func(*Param, *tensor.Dense) bool) {
		for i, ps := range p.params {
			if !yield(ps, p.Value(p.grads[i])) {
				return
			}
		}
	}
}

// Unused are the parameters that are not frozen and that the cost has no
// gradient by: no training will change them.
func (p *Program) Unused() []*Param { return p.unused }
