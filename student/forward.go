package student

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// A forward is the forward pass in eval mode as a plan, which takes less work and
// memory than a graph: batch norms are part of the layers before them, rows are
// computed as many at once as stay near the processor, and padding is not. What a
// row comes to depends neither on the others nor on what was computed before.
type forward[F kernel.Float] struct {
	taps     []string
	plan     *plan.Plan
	program  *plan.Program[F]
	in       []*tensor.Dense // of the batch at hand
	versions []uint64        // of the parameters that it was compiled with
	rows     int             // at once, at most
	packed   bool

	mu   sync.Mutex
	idle []*plan.Machine[F]
}

// runner is a forward of either dtype.
type runner interface {
	computes(taps []string) bool
	run(m *Model, batch data.Batch, rows int, out data.Signals) error
}

// runner computes taps, nil where the plan lacks an operation. Each set of taps
// has one, in whatever order they are named: what they do not depend on is not
// computed.
func (m *Model) runner(taps []string) runner {
	if !m.lowered {
		m.lowered = true
		if p, err := m.lower(); err == nil && m.plain() {
			m.plan = p
		}
	}
	if m.plan == nil {
		return nil
	}
	for _, r := range m.forward {
		if r.computes(taps) {
			return r
		}
	}
	if len(m.forward) >= maxEval {
		clear(m.forward)
		m.forward = m.forward[:0]
	}
	p := *m.plan
	p.Outputs = nil
	for _, o := range m.plan.Outputs {
		if slices.Contains(taps, o.Name) {
			p.Outputs = append(p.Outputs, o)
		}
	}
	r := newRunner[float32](taps, &p)
	if m.dtype == tensor.Float64 {
		r = newRunner[float64](taps, &p)
	}
	m.forward = append(m.forward, r)
	return r
}

func newRunner[F kernel.Float](taps []string, p *plan.Plan) runner {
	return &forward[F]{taps: slices.Clone(taps), plan: p, in: make([]*tensor.Dense, len(p.Inputs))}
}

func (f *forward[F]) computes(taps []string) bool {
	return within(f.taps, taps) && within(taps, f.taps)
}

// within says that each of some is one of all.
func within(some, all []string) bool {
	for _, name := range some {
		if !slices.Contains(all, name) {
			return false
		}
	}
	return true
}

// plain says that all taps are of the dtype that the model computes in: a plan has
// no other.
func (m *Model) plain() bool {
	for _, f := range m.taps {
		if f.Dtype != m.dtype {
			return false
		}
	}
	return true
}

// run computes the taps of the N samples of a batch of so many rows.
func (f *forward[F]) run(m *Model, batch data.Batch, rows int, out data.Signals) error {
	if err := checkRows(batch, rows); err != nil {
		return err
	}
	defer clear(f.in)
	for i, in := range f.plan.Inputs {
		v, err := checkInput(in.Name, batch.In[in.Name], m.spec.In[in.Name].Dtype, rows, in.Shape)
		if err != nil {
			return err
		}
		if f.in[i] = v; v.Dtype() == tensor.Int {
			if err := f.checkIDs(m, i, v); err != nil {
				return err
			}
		}
	}
	if err := f.compile(m); err != nil {
		return err
	}
	for _, name := range f.taps {
		out[name] = room(out[name], m.dtype, batch.N, f.plan.Shape(f.value(name)))
	}
	if batch.N <= f.rows {
		f.some(out, 0, batch.N) // without an object
		return nil
	}
	f.share(batch.N, func(from, n int) { f.some(out, from, n) })
	return nil
}

// checkIDs refuses ids of input i that an embedding of them does not have.
func (f *forward[F]) checkIDs(m *Model, i int, v *tensor.Dense) error {
	for _, s := range f.plan.Steps {
		if s.Op != "embed" || s.In[0] != i {
			continue
		}
		size := m.params.Lookup(s.Params[0]).Value.Shape()[0]
		if err := graph.CheckIDs(v.Ints(), v.Shape(), size); err != nil {
			return fmt.Errorf("student: input %q: %w", f.plan.Inputs[i].Name, err)
		}
	}
	return nil
}

// share calls do for parts of so many rows, two or more, on many threads: each then
// does all steps for its rows, which stay near its processor.
func (f *forward[F]) share(rows int, do func(from, n int)) {
	parts := (rows + f.rows - 1) / f.rows
	threads := runtime.GOMAXPROCS(0)
	parts = (parts + threads - 1) / threads * threads
	size := (rows + parts - 1) / parts
	kernel.Rows((rows+size-1)/size, math.MaxInt32, func(first, last int) {
		for from := first * size; from < min(last*size, rows); from += size {
			do(from, min(size, rows-from))
		}
	})
}

// some computes the taps of n rows.
func (f *forward[F]) some(out data.Signals, from, n int) {
	m := f.take()
	for i, v := range f.in {
		if v.Dtype() == tensor.Int {
			widen(m.Value(i, n), v, from)
		} else {
			m.Bind(i, rowsOf[F](v, from, n))
		}
	}
	m.Run(n)
	for _, name := range f.taps {
		copy(rowsOf[F](out[name], from, n), m.Result(f.value(name), n))
	}
	for i := range f.in {
		m.Bind(i, nil)
	}
	f.give(m)
}

// widen writes rows of ints from a row on to dst, as floats.
func widen[F kernel.Float](dst []F, v *tensor.Dense, from int) {
	all := v.Ints()
	for i, id := range all[from*len(all)/v.Shape()[0]:][:len(dst)] {
		dst[i] = F(id)
	}
}

// take is a machine for the program, which nobody else uses until it is given
// back.
func (f *forward[F]) take() *plan.Machine[F] {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.idle) - 1
	if last < 0 {
		return f.program.Machine()
	}
	m := f.idle[last]
	f.idle = f.idle[:last]
	m.Use(f.program)
	return m
}

func (f *forward[F]) give(m *plan.Machine[F]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, m)
}

// checkInput is the input, side by side in memory. It refuses one of another
// shape or dtype than a batch has.
func checkInput(name string, v *tensor.Dense, d tensor.Dtype, rows int, shape []int) (*tensor.Dense, error) {
	switch {
	case v == nil:
		return nil, fmt.Errorf("student: the batch has no input %q", name)
	case v.Dims() != 1+len(shape) || v.Shape()[0] != rows || !slices.Equal(v.Shape()[1:], shape) || v.Dtype() != d:
		return nil, fmt.Errorf("student: input %q: the value is %v of %v; want %v of %v", name, v.Shape(), v.Dtype(), tensor.Shape(append([]int{rows}, shape...)), d)
	case v.DataOrder().IsColMajor():
		return nil, fmt.Errorf("student: input %q is in column-major order; want row-major", name)
	case v.RequiresIterator():
		return v.Materialize().(*tensor.Dense), nil
	}
	return v, nil
}

// value is that of a tap.
func (f *forward[F]) value(tap string) int {
	for _, o := range f.plan.Outputs {
		if o.Name == tap {
			return o.Value
		}
	}
	panic("student: the plan lacks tap " + tap)
}

// compile binds the plan to the parameters as they are. Weights are packed when
// they are seen again: those of a model that learns never are.
func (f *forward[F]) compile(m *Model) error {
	same := f.program != nil && f.current(m)
	if same && f.packed {
		return nil
	}
	params := map[string]plan.Param[F]{}
	f.versions = f.versions[:0]
	for p := range m.Params() {
		f.versions = append(f.versions, p.Version())
		params[p.Name] = plan.Param[F]{Shape: p.Value.Shape(), Data: rowsOf[F](p.Value, 0, p.Value.Shape()[0])}
	}
	pack := plan.Packer[F](nil)
	if !same {
		pack = plan.AsIs[F]
	}
	g, err := plan.Compile(f.plan, params, pack)
	if err != nil {
		f.program = nil // what there was is of other parameters
		return fmt.Errorf("student: %w", err)
	}
	f.program, f.rows, f.packed = g, g.Rows(), same
	return nil
}

// current says that there are the parameters that the plan was compiled with, and
// that none was written to since.
func (f *forward[F]) current(m *Model) bool {
	return slices.EqualFunc(m.params.list, f.versions, func(p *Param, v uint64) bool { return p.Version() == v })
}

// rowsOf is the memory of n rows of t from a row on.
func rowsOf[F kernel.Float](t *tensor.Dense, from, n int) []F {
	size := t.Shape().TotalSize() / max(1, t.Shape()[0])
	all := unsafe.Slice((*F)(unsafe.Pointer(unsafe.SliceData(t.Raw))), t.Shape().TotalSize())
	return all[from*size : (from+n)*size]
}

// room is dst if it is of n rows of the shape, or a new tensor.
func room(dst *tensor.Dense, d tensor.Dtype, n int, shape []int) *tensor.Dense {
	if dst != nil && dst.Dtype() == d && dst.Dims() == 1+len(shape) && dst.Shape()[0] == n &&
		slices.Equal(dst.Shape()[1:], shape) && !dst.RequiresIterator() && dst.DataOrder().IsRowMajor() {
		return dst
	}
	return tensor.New(tensor.Of(d), tensor.WithShape(append([]int{n}, shape...)...))
}
