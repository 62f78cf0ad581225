package graph

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
	"github.com/godistill/godistill/internal/plan"
)

// An op is the one form that all our operations have. It writes the whole of
// the value that it was given to hold on each run, or of one of its own.
type op struct {
	name string
	id   uint64
	in   []hm.Type
	// ints is which input is of int, 0 for none: it is never the first. The
	// others are of dtype.
	ints  int
	dtype tensor.Dtype
	shape tensor.Shape
	value gorgonia.Value
	run   func(in []gorgonia.Value)
	// diff returns the gradient node of each input, nil for a constant one,
	// from the op's own node y and the gradient dy of it. A nil diff means that
	// no input has a gradient.
	diff func(y, dy *gorgonia.Node) ([]*gorgonia.Node, error)
	wrt  []bool
	// lower is the op as a step of a plan, nil if it has no such form.
	lower *plan.Step
}

var opID atomic.Uint64

var _ gorgonia.SDOp = (*op)(nil)

// apply adds an op to the graph of its inputs. Its value has the given dtype and
// shape; run fills it.
func apply[F kernel.Float](o *op, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	var zero F
	o.dtype = tensor.Float32
	if unsafe.Sizeof(zero) == 8 {
		o.dtype = tensor.Float64
	}
	o.id = opID.Add(1)
	for i, n := range in {
		want := o.dtype
		if i > 0 && i == o.ints {
			want = tensor.Int
		}
		if n.Dtype() != want {
			return nil, fmt.Errorf("graph: %s: input %d is of %v; want %v", o.name, i, n.Dtype(), want)
		}
		o.in = append(o.in, typeOf(n.Dims(), want))
	}
	n, err := gorgonia.ApplyOp(o, in...)
	if err != nil {
		return nil, fmt.Errorf("graph: %s: %w", o.name, err)
	}
	return n, nil
}

func typeOf(dims int, d tensor.Dtype) hm.Type {
	if dims == 0 {
		return d
	}
	return gorgonia.TensorType{Dims: dims, Of: d}
}

func newValue(d tensor.Dtype, s tensor.Shape) gorgonia.Value {
	switch {
	case len(s) > 0:
		return Zeros(d, s...)
	case d == tensor.Float64:
		return gorgonia.NewF64(0)
	default:
		return gorgonia.NewF32(0)
	}
}

// Zeros is a tensor of float32 or float64, in memory that is quick to go
// through.
func Zeros(d tensor.Dtype, shape ...int) *tensor.Dense {
	n := tensor.Shape(shape).TotalSize()
	var backing any
	if d == tensor.Float32 {
		backing = kernel.Zeros[float32](n)
	} else {
		backing = kernel.Zeros[float64](n)
	}
	return tensor.New(tensor.WithShape(slices.Clone(shape)...), tensor.WithBacking(backing))
}

func (o *op) Arity() int { return len(o.in) }

// Type makes a new type at each call: Gorgonia recycles what it is given.
func (o *op) Type() hm.Type {
	return hm.NewFnType(append(slices.Clone(o.in), typeOf(len(o.shape), o.dtype))...)
}

func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }

func (o *op) hold(v gorgonia.Value) { o.value = v }

func (o *op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if o.value == nil {
		o.value = newValue(o.dtype, o.shape)
	}
	o.run(in)
	return o.value, nil
}

func (o *op) DiffWRT(n int) []bool {
	if o.wrt == nil {
		return make([]bool, n)
	}
	return o.wrt
}

func (o *op) SymDiff(_ gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("graph: %v has no gradient", o)
	}
	return o.diff(y, dy)
}

func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return -1 }

// WriteHash tells every op from every other: Gorgonia merges nodes of equal
// hash, and two ops that own a value must never become one.
func (o *op) WriteHash(h hash.Hash) { _ = binary.Write(h, binary.LittleEndian, o.id) }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) String() string { return o.name }

// floats is the memory of v as a slice. A value that lies in memory in another
// order than its shape says, as a stock transpose leaves it, is copied.
func floats[F kernel.Float](v gorgonia.Value) []F {
	d := contiguous(v.(*tensor.Dense))
	return unsafe.Slice((*F)(unsafe.Pointer(unsafe.SliceData(d.Raw))), d.Shape().TotalSize())
}

func ints(v gorgonia.Value) []int {
	d := contiguous(v.(*tensor.Dense))
	return unsafe.Slice((*int)(unsafe.Pointer(unsafe.SliceData(d.Raw))), d.Shape().TotalSize())
}

func contiguous(d *tensor.Dense) *tensor.Dense {
	if d.DataOrder().IsColMajor() {
		panic("a value is in column-major order; want row-major")
	}
	if d.RequiresIterator() {
		return d.Materialize().(*tensor.Dense)
	}
	return d
}

// scalar reads a value of shape ().
func scalar(v gorgonia.Value) float64 {
	switch x := v.(type) {
	case *gorgonia.F64:
		return float64(*x)
	case *gorgonia.F32:
		return float64(*x)
	}
	switch x := v.Data().(type) {
	case float64:
		return x
	case float32:
		return float64(x)
	}
	panic(fmt.Sprintf("a scalar is a %T", v))
}

func setScalar(v gorgonia.Value, x float64) {
	switch v := v.(type) {
	case *gorgonia.F64:
		*v = gorgonia.F64(x)
	case *gorgonia.F32:
		*v = gorgonia.F32(x)
	default:
		panic(fmt.Sprintf("a scalar is a %T", v))
	}
}

// Lower is the op of n as a step of a plan, without its inputs, and false if
// it has no such form.
func Lower(n *gorgonia.Node) (plan.Step, bool) {
	if o, ok := n.Op().(*op); ok && o.lower != nil {
		return *o.lower, true
	}
	return plan.Step{}, false
}
