package student

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

// Taps are named nodes: what goes into a module, and what a loss may draw from.
type Taps map[string]*gorgonia.Node

// A Module is a network. Forward reads like the formula: it takes the inputs
// by name, and returns what it wants known, "logits" above all. The leading
// axis of every node counts samples. A module is plain data and keeps nothing:
// the builder holds the parameters.
type Module interface {
	Forward(b *Builder, in Taps) Taps
}

// ModuleFunc is a function that is a Module.
type ModuleFunc func(b *Builder, in Taps) Taps

// Forward calls f.
func (f ModuleFunc) Forward(b *Builder, in Taps) Taps {
	if f == nil {
		b.fail(errors.New("the ModuleFunc is nil; want a function"))
	}
	return f(b, in)
}

// A Builder adds to a graph. Its methods do not return errors: the first
// mistake ends the build, and whoever started it gets the error, with the path
// of the layer that made it.
type Builder struct {
	path   string
	params *Params
	*build
}

// A build is what the builders of one graph share.
type build struct {
	g        *gorgonia.ExprGraph
	rows     int
	dtype    tensor.Dtype
	training bool
	draw     *graph.Draw
	valid    *gorgonia.Node
	met      []*Param
	nodes    map[*Param]*gorgonia.Node
	inputs   map[string]*gorgonia.Node
	own      map[*gorgonia.Node]*tensor.Dense // bound to inputs, over memory that [Program.Let] is given
	scalars  []bound
	gathered []gathering
	checked  map[*gorgonia.Node]bool
	dropouts map[string]int // in each scope
	unique   int
}

type bound struct {
	*graph.Scalar
	at func(step int) float64
}

// mistake is the panic that Build methods end with; see run.
type mistake struct{ error }

func (b *Builder) fail(err error) {
	if b.path != "" {
		err = fmt.Errorf("%s: %w", b.path, err)
	}
	panic(mistake{err})
}

// run calls f and returns the mistake that it made. Shapes that only Gorgonia
// sees, it may answer by panicking.
func run(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case mistake:
			err = fmt.Errorf("student: %w", r.error)
		default:
			err = fmt.Errorf("student: the build panicked: %v", r)
		}
	}()
	f()
	return nil
}

// Scope is a builder for a part of the network: its parameters and nodes get
// the name before theirs, as in "block1.conv.weight".
func (b *Builder) Scope(name string) *Builder {
	if name == "" {
		b.fail(errors.New("the name of a layer or scope is empty; want one"))
	}
	return &Builder{path: join(b.path, name), params: b.params, build: b.build}
}

// With is a builder whose parameters are kept in params.
func (b *Builder) With(params *Params) *Builder {
	if params == nil {
		b.fail(errors.New("With has nil Params; want some, such as NewParams(1)"))
	}
	return &Builder{path: b.path, params: params, build: b.build}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Op is the door to all of Gorgonia: it takes what Gorgonia's functions
// return. What Gorgonia has wrong is refused.
func (b *Builder) Op(n *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		b.fail(located(err))
	}
	b.Check(graph.Refused(n, b.checked))
	if n.Op() != nil {
		b.unique++
		gorgonia.WithName(fmt.Sprintf("%s#%d", join(b.path, n.Op().String()), b.unique))(n)
	}
	return n
}

// located is an error of Op with the line that called it, unless it comes from
// here and names what was wrong: Gorgonia's do not say which node it was.
func located(err error) error {
	if _, file, line, ok := runtime.Caller(2); ok && !strings.HasPrefix(err.Error(), "graph: ") {
		return fmt.Errorf("Builder.Op at %s:%d: %w", filepath.Base(file), line, err)
	}
	return err
}

// given ends the build if an operand is nil.
func (b *Builder) given(op string, operands ...*gorgonia.Node) {
	if i := slices.Index(operands, nil); i >= 0 {
		b.fail(fmt.Errorf("operand %d of Builder.%s is nil; want a node", i, op))
	}
}

// Check ends the build with an error, if there is one.
func (b *Builder) Check(err error) {
	if err != nil {
		b.fail(err)
	}
}

// Layer applies a layer in a scope of its own.
func (b *Builder) Layer(name string, l Layer, x *gorgonia.Node) *gorgonia.Node {
	b = b.Scope(name)
	if l == nil || x == nil {
		b.fail(errors.New("the layer or its input is nil; want both"))
	}
	return l.Apply(b, x)
}

// Param is the parameter of that name in this scope, with the given shape. At
// the first build it is made and initialised; every later graph gets the same
// one. Within one graph, a name can be taken once: share the node instead.
func (b *Builder) Param(name string, init Init, shape ...int) *gorgonia.Node {
	full := join(b.path, name)
	if name == "" {
		b.fail(errors.New("the name of a parameter is empty; want one"))
	}
	if p := b.params.Lookup(full); p != nil && b.nodes[p] != nil {
		b.fail(fmt.Errorf("the parameter name %q is taken; want a name of its own for each layer and parameter", full))
	}
	p, err := b.params.meet(full, b.dtype, shape, init)
	b.Check(err)
	n := b.Input("param/"+full, b.dtype, shape...)
	b.Check(gorgonia.Let(n, p.Value))
	b.met = append(b.met, p)
	b.nodes[p] = n
	return n
}

// Input is a named input of the graph, to be bound with [Program.Let] before
// each run.
func (b *Builder) Input(name string, d tensor.Dtype, shape ...int) *gorgonia.Node {
	if b.inputs[name] != nil {
		b.fail(fmt.Errorf("duplicate input name %s", name))
	}
	n := graph.Input(b.g, name, d, shape...)
	b.inputs[name], b.checked[n] = n, true
	return n
}

// Constant is a node that has the value v in every run, and no gradient.
func (b *Builder) Constant(v *tensor.Dense) *gorgonia.Node {
	if v == nil || v.Dims() == 0 {
		b.fail(errors.New("the constant is nil or a number; want a tensor of one axis or more, or Scalar"))
	}
	b.unique++
	n := b.Input(fmt.Sprintf("%s#%d", join(b.path, "constant"), b.unique), v.Dtype(), v.Shape()...)
	b.Check(gorgonia.Let(n, v))
	return n
}

// Scalar is a number that depends on the step, from 0: a temperature, a
// weight, a rate. It is bound before each run.
func (b *Builder) Scalar(at func(step int) float64) *gorgonia.Node {
	if at == nil {
		b.fail(errors.New("the function of a Scalar is nil; want one"))
	}
	b.unique++
	s, err := graph.NewScalar(b.g, fmt.Sprintf("%s#%d", join(b.path, "scalar"), b.unique), b.dtype)
	b.Check(err)
	b.scalars = append(b.scalars, bound{s, at})
	b.checked[s.Node] = true
	return s.Node
}

// Depends says whether a node is computed from a parameter.
func (b *Builder) Depends(n *gorgonia.Node) bool {
	b.given("Depends", n)
	reached := graph.Reaches(n)
	for _, p := range b.met {
		if reached[b.nodes[p]] {
			return true
		}
	}
	return false
}

// Rows is the number of rows of a batch, padding included.
func (b *Builder) Rows() int { return b.rows }

// Dtype is what the graph computes in: tensor.Float32 or tensor.Float64.
func (b *Builder) Dtype() tensor.Dtype { return b.dtype }

// Training says that the graph will be trained, so that dropout drops and a batch
// norm looks at the batch.
func (b *Builder) Training() bool { return b.training }

// Seed is that of the run, for what draws at random in training.
func (b *Builder) Seed() uint64 { return b.draw.Seed }

// Valid is 1 for the rows of a batch that are samples and 0 for padding: (B).
// It is not the weight of the rows.
func (b *Builder) Valid() *gorgonia.Node { return b.valid }

// Reshape is x in another shape of the same size. It copies: Gorgonia's own
// aliases its input, and may corrupt it.
func (b *Builder) Reshape(x *gorgonia.Node, shape ...int) *gorgonia.Node {
	b.given("Reshape", x)
	return b.Op(graph.Reshape(x, shape...))
}

// Detach is x as a constant: no gradient passes.
func (b *Builder) Detach(x *gorgonia.Node) *gorgonia.Node {
	b.given("Detach", x)
	return b.Op(graph.Detach(x))
}

// LogSoftmax is the logarithm of the softmax over the last axis of x.
func (b *Builder) LogSoftmax(x *gorgonia.Node) *gorgonia.Node {
	b.given("LogSoftmax", x)
	return b.Op(graph.LogSoftmax(x))
}

// Softmax is that over the last axis of x. For a loss take LogSoftmax: the
// logarithm of a softmax underflows.
func (b *Builder) Softmax(x *gorgonia.Node) *gorgonia.Node {
	b.given("Softmax", x)
	return b.Op(gorgonia.Exp(b.LogSoftmax(x)))
}

// Linear is act(x·wᵀ + bias), for x (B, ..., in), w (out, in) and bias (out) or
// nil, in one operation.
func (b *Builder) Linear(x, w, bias *gorgonia.Node, act Act) *gorgonia.Node {
	b.given("Linear", x, w)
	return b.Op(graph.LinearOf(x, w, bias, kernel.Act(act), b.version(w)))
}

// version tells when the parameter of a node is written to. It is nil for what
// is no parameter, or is one that each step changes.
func (b *Builder) version(n *gorgonia.Node) func() uint64 {
	for _, p := range b.met {
		if b.nodes[p] == n && (p.Frozen || !b.training) {
			return p.Version
		}
	}
	return nil
}

// Activate is act(x).
func (b *Builder) Activate(x *gorgonia.Node, act Act) *gorgonia.Node {
	b.given("Activate", x)
	return b.Op(graph.Activate(x, kernel.Act(act)))
}

// Add is act(a + c), for two nodes of one shape, in one operation: where a
// residual block ends.
func (b *Builder) Add(a, c *gorgonia.Node, act Act) *gorgonia.Node {
	b.given("Add", a, c)
	return b.Op(graph.Add(a, c, kernel.Act(act)))
}

// Dropout zeroes elements of x with probability rate while training, and
// divides the others by 1-rate. The leading axis of x is the batch, or samples
// of one size after each other, as in (B·T, D). What is dropped depends on the
// seed of the run, the step, the sample, the scope, and which dropout of the
// scope this is.
func (b *Builder) Dropout(x *gorgonia.Node, rate float64) *gorgonia.Node {
	b.given("Dropout", x)
	if !(rate >= 0 && rate < 1) {
		b.fail(fmt.Errorf("the dropout rate is %v; want 0 or more and below 1", rate))
	}
	if !b.training || rate == 0 {
		return x
	}
	b.dropouts[b.path]++
	return b.Op(graph.Dropout(x, rate, b.draw, fmt.Sprintf("%s#%d", b.path, b.dropouts[b.path])))
}

// newBuilder starts a graph, with the inputs of the spec as taps.
func newBuilder(params *Params, spec data.Spec, mode Mode) (*Builder, Taps) {
	b := &Builder{params: params, build: &build{
		g:        gorgonia.NewGraph(),
		rows:     mode.Rows,
		dtype:    mode.Dtype,
		training: mode.Training,
		draw:     &graph.Draw{Seed: mode.Seed, Rows: mode.Rows},
		nodes:    map[*Param]*gorgonia.Node{},
		inputs:   map[string]*gorgonia.Node{},
		own:      map[*gorgonia.Node]*tensor.Dense{},
		checked:  map[*gorgonia.Node]bool{},
		dropouts: map[string]int{},
	}}
	b.valid = b.Input("valid", mode.Dtype, mode.Rows)
	in := Taps{}
	for _, name := range sorted(spec.In) {
		f := spec.In[name]
		in[name] = b.Input("in/"+name, f.Dtype, append([]int{mode.Rows}, f.Shape...)...)
	}
	return b, in
}

// checkTaps refuses taps that are no nodes of this graph, or whose leading axis
// is not the batch.
func (b *Builder) checkTaps(taps Taps) {
	if len(taps) == 0 {
		b.fail(errors.New("Forward returned no taps; want \"logits\" or others"))
	}
	for _, name := range sorted(taps) {
		switch n := taps[name]; {
		case name == "":
			b.fail(errors.New("the name of a tap is empty; want one"))
		case n == nil:
			b.fail(fmt.Errorf("tap %q is nil", name))
		case n.Dtype() != tensor.Float32 && n.Dtype() != tensor.Float64 && n.Dtype() != tensor.Int:
			b.fail(fmt.Errorf("tap %q is of %v; want float32, float64 or int", name, n.Dtype()))
		case n.Graph() != b.g:
			b.fail(fmt.Errorf("tap %q belongs to another graph", name))
		case n.Dims() == 0 || n.Shape()[0] != b.rows:
			b.fail(fmt.Errorf("tap %q is %v for a batch of %d; want the batch as its leading axis", name, n.Shape(), b.rows))
		}
	}
}
