// Package student holds networks: the ones that learn, and the ones that have
// learnt and teach.
//
// A [Module] says what is computed, and is plain data. A [Model] is a module
// with its parameters, for inputs of a given shape:
//
//	net := student.ModuleFunc(func(b *student.Builder, in student.Taps) student.Taps {
//		x := b.Layer("flatten", student.Flatten{}, in["x"])
//		h := b.Layer("l1", student.Linear{Out: 16, Act: student.ReLU}, x)
//		return student.Taps{"hidden": h, "logits": b.Layer("l2", student.Linear{Out: 10}, h)}
//	})
//	model, err := student.New(net, train.Spec(), 1)
//
// [MLP], [CNN], [VGG], [ResNet], [WideResNet] and [MobileNetV2] are ready-made,
// with parameters under PyTorch's names, and a [Cut] makes a student of the layers
// of its teacher.
//
// Parameters live outside graphs: the model builds a graph for each size of
// batch and each mode, and all of them share its parameters. Whatever Gorgonia
// can do a module can, through [Builder.Op]; what Gorgonia does wrong is
// refused with the name of what to use.
package student

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/plan"
)

// A Model is a module with its parameters. Reading it, as Predict and Save do,
// is safe from many goroutines as long as nobody writes to its parameters. Only
// New makes a model; the zero Model has nothing, and computes nothing.
type Model struct {
	module Module
	spec   data.Spec
	dtype  tensor.Dtype
	params Params
	taps   map[string]data.Field
	order  []string
	places []place // of the taps, for Describe
	met    int     // parameters that New met, 0 before

	mu      sync.Mutex
	eval    map[int]*evaluator
	plan    *plan.Plan // of the forward pass in eval mode, nil if there is none
	lowered bool       // plan was looked for
	forward []runner   // each of some taps
}

// An evaluator is an eval-mode program with its taps.
type evaluator struct {
	*Program
	taps Taps
}

// New builds the module for inputs as described by the spec, and initialises
// its parameters from the seed and their names. It computes in the dtype of
// its inputs: a set of float64 makes a model of float64. It fails on a spec
// without inputs, and with the first mistake that Forward makes.
func New(m Module, in data.Spec, seed uint64) (*Model, error) {
	return NewOf(m, in, tensor.Dtype{}, seed)
}

// NewOf is [New] for inputs that are all of int, as the ids of tokens are: they
// do not say what to compute in. The zero Dtype means what the inputs say, and
// float32 where they say nothing.
func NewOf(m Module, in data.Spec, d tensor.Dtype, seed uint64) (*Model, error) {
	if m == nil {
		return nil, errors.New("student: the module is nil")
	}
	dtype, err := dtypeOf(in, d)
	if err != nil {
		return nil, err
	}
	model := &Model{
		module: m, spec: in, dtype: dtype,
		params: Params{seed: seed}, taps: map[string]data.Field{}, eval: map[int]*evaluator{},
	}
	const rows = 3 // a size that no other axis is likely to be mistaken for
	p, err := model.compile(rows)
	if err != nil {
		return nil, err
	}
	model.met = len(model.params.list)
	for name, n := range p.taps {
		model.taps[name] = data.Field{Shape: n.Shape()[1:], Dtype: n.Dtype()}
	}
	model.order = sorted(model.taps)
	model.places = p.places()
	return model, nil
}

// checkParams refuses a Forward that has other parameters in another mode: a
// checkpoint, or a saved student, would lack them.
func (m *Model) checkParams(b *Builder) {
	if all := m.params.list; m.met > 0 && len(all) > m.met {
		extra := all[m.met].Name
		m.params.forget(m.met)
		b.fail(fmt.Errorf("parameter %s is new in this mode or batch size; want Forward to meet the same ones always", extra))
	}
}

// dtypeOf is what a model of such inputs computes in, which is d unless that is
// zero, and refuses bad ones.
func dtypeOf(in data.Spec, d tensor.Dtype) (tensor.Dtype, error) {
	if d.Type != nil && d != tensor.Float32 && d != tensor.Float64 {
		return d, fmt.Errorf("student: the dtype is %v; want float32, float64 or none", d)
	}
	for _, name := range sorted(in.In) {
		switch f := in.In[name]; {
		case name == "":
			return d, errors.New("student: the name of an input is empty; want one, such as data.Input")
		case slices.ContainsFunc(f.Shape, func(n int) bool { return n < 1 }):
			return d, fmt.Errorf("student: input %q has shape %v; want 1 or more in each place", name, f.Shape)
		case f.Dtype == tensor.Int:
		case f.Dtype != tensor.Float32 && f.Dtype != tensor.Float64:
			return d, fmt.Errorf("student: input %q is of %v; want float32, float64 or int", name, f.Dtype)
		case d.Type != nil && d != f.Dtype:
			return d, fmt.Errorf("student: inputs are of %v and %v; want one of them", d, f.Dtype)
		default:
			d = f.Dtype
		}
	}
	if len(in.In) == 0 {
		return d, errors.New("student: the spec has no inputs")
	}
	if d.Type == nil {
		d = tensor.Float32
	}
	return d, nil
}

// Spec describes the inputs that the model was made for.
func (m *Model) Spec() data.Spec { return m.spec }

// Module is what the model computes.
func (m *Model) Module() Module { return m.module }

// Dtype is what the model computes in: tensor.Float32 or tensor.Float64.
func (m *Model) Dtype() tensor.Dtype { return m.dtype }

// Params yields the parameters, in the order in which Forward met them.
func (m *Model) Params() iter.Seq[*Param] { return m.params.All() }

// Size is the number of parameters, each element counted, without buffers.
func (m *Model) Size() int {
	n := 0
	for p := range m.Params() {
		if !p.Buffer {
			n += p.Value.Shape().TotalSize()
		}
	}
	return n
}

// Taps are the fields of one sample at the named places of the model.
func (m *Model) Taps() map[string]data.Field { return maps.Clone(m.taps) }

// Fingerprint is a hash of the names, shapes and values of the parameters.
func (m *Model) Fingerprint() [32]byte {
	h := sha256.New()
	for p := range m.Params() {
		fmt.Fprintf(h, "%s %v %v\n", p.Name, p.Value.Shape(), m.dtype)
		_ = binary.Write(h, binary.LittleEndian, p.Value.Data())
	}
	return [32]byte(h.Sum(nil))
}

// Predict computes taps of a batch in eval mode, "logits" if none is named: the
// rows of its N samples, (N, ...). It does not change the model. It fails on a
// tap that the model does not have, and on a batch of another shape or dtype
// than its Spec.
func (m *Model) Predict(batch data.Batch, taps ...string) (data.Signals, error) {
	return m.PredictInto(nil, batch, taps...)
}

// PredictInto is Predict for a caller who does not need an earlier answer any
// more: out, which may be nil. It is what is returned, with the taps in it, in
// the tensors that are there where they fit.
func (m *Model) PredictInto(out data.Signals, batch data.Batch, taps ...string) (data.Signals, error) {
	if m == nil {
		return nil, errors.New("student: Predict has a nil Model; want one that New made")
	}
	if len(taps) == 0 {
		taps = []string{"logits"}
	}
	for _, name := range taps {
		if _, ok := m.taps[name]; !ok {
			return nil, fmt.Errorf("student: no tap %q; there are %q", name, m.order)
		}
	}
	rows, err := batchRows(batch)
	if err != nil {
		return nil, err
	}
	if out == nil {
		out = data.Signals{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.runner(taps); f != nil {
		if err := f.run(m, batch, rows, out); err != nil {
			return nil, err
		}
		return out, nil
	}
	p, err := m.evaluator(rows)
	if err != nil {
		return nil, err
	}
	if err := p.Bind(batch); err != nil {
		return nil, err
	}
	if err := p.Run(0); err != nil {
		return nil, err
	}
	for _, name := range taps {
		out[name] = head(out[name], p.Value(p.taps[name]), batch.N)
	}
	return out, nil
}

// batchRows is the leading axis of the first input in the alphabet.
func batchRows(b data.Batch) (int, error) {
	rows, first := -1, ""
	for name, t := range b.In {
		if t != nil && t.Dims() > 0 && (rows < 0 || name < first) {
			rows, first = t.Shape()[0], name
		}
	}
	if rows < 0 {
		return 0, errors.New("student: the batch has no inputs")
	}
	return rows, nil
}

// evaluator is the eval-mode program for batches of the given rows.
func (m *Model) evaluator(rows int) (*evaluator, error) {
	if e := m.eval[rows]; e != nil {
		return e, nil
	}
	e, err := m.compile(rows)
	if err != nil {
		return nil, err
	}
	if len(m.eval) >= maxEval {
		clear(m.eval)
	}
	m.eval[rows] = e
	return e, nil
}

// compile is a new evaluator.
func (m *Model) compile(rows int) (*evaluator, error) {
	e := &evaluator{}
	var err error
	e.Program, err = m.Compile(Mode{Rows: rows}, func(b *Builder, taps Taps) (*gorgonia.Node, []*gorgonia.Node) {
		e.taps = taps
		return nil, taps.nodes()
	})
	return e, err
}

// Trim drops what Predict keeps in order to be faster the next time: graphs, packed
// weights, and room for values. A model that rests is then not much more than its
// parameters. A run trims its student when it ends.
func (m *Model) Trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.eval)
	m.forward = nil
}

// maxEval bounds the programs that a model keeps, for different batch sizes and
// taps.
const maxEval = 8

// head copies the first n rows of t, to dst if they fit there.
func head(dst, t *tensor.Dense, n int) *tensor.Dense {
	dst = room(dst, t.Dtype(), n, t.Shape()[1:])
	switch t.Dtype() {
	case tensor.Float32:
		copy(dst.Float32s(), t.Float32s())
	case tensor.Float64:
		copy(dst.Float64s(), t.Float64s())
	default:
		copy(dst.Ints(), t.Ints())
	}
	return dst
}

// nodes are the taps in the order of their names.
func (t Taps) nodes() []*gorgonia.Node {
	all := make([]*gorgonia.Node, 0, len(t))
	for _, name := range sorted(t) {
		all = append(all, t[name])
	}
	return all
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
