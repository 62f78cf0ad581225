package student

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/graph"
)

// A Param is a named tensor that outlives every graph it takes part in.
type Param struct {
	// Name is the path of the parameter in its model, as in "l1.weight".
	Name string
	// Value has the parameter's shape and the dtype of its model. Whoever
	// writes to it calls Touch.
	Value *tensor.Dense
	// Frozen parameters are saved but not trained.
	Frozen bool
	// Buffer parameters are no weights, but what training gathers, as the running
	// statistics of [BatchNorm] are: saved, not trained, and not counted by
	// [Model.Size].
	Buffer bool

	version uint64
}

// Touch says that Value was written to.
func (p *Param) Touch() { p.version++ }

// Version counts the writes to Value: what was derived from one version is
// stale at the next.
func (p *Param) Version() uint64 { return p.version }

// maxParam bounds the elements of a parameter: what a slip of the pen asks for
// would end the process.
const maxParam = 1 << 30

// Params are parameters by name, in the order in which a builder met them. The
// zero value is empty, with seed 0.
type Params struct {
	seed   uint64
	list   []*Param
	byName map[string]*Param
}

// NewParams is an empty collection, whose parameters will be initialised from
// the seed and their names.
func NewParams(seed uint64) *Params {
	return &Params{seed: seed, byName: map[string]*Param{}}
}

// All yields the parameters in order.
func (ps *Params) All() iter.Seq[*Param] { return slices.Values(ps.list) }

// Lookup is the parameter of that name, nil if there is none.
func (ps *Params) Lookup(name string) *Param { return ps.byName[name] }

// meet returns the parameter of that name, which it makes if it is new.
func (ps *Params) meet(name string, d tensor.Dtype, shape []int, init Init) (*Param, error) {
	if p := ps.byName[name]; p != nil {
		if !p.Value.Shape().Eq(tensor.Shape(shape)) {
			return nil, fmt.Errorf("parameter %s is %v here and was %v before", name, shape, p.Value.Shape())
		}
		return p, nil
	}
	if len(shape) == 0 {
		return nil, fmt.Errorf("parameter %s has no axes; want one or more, as in (1)", name)
	}
	size := 1
	for _, n := range shape {
		if n < 1 || n > maxParam/size {
			return nil, fmt.Errorf("parameter %s has shape %v; want 1 or more in each place, and %d elements at most", name, shape, maxParam)
		}
		size *= n
	}
	if init == nil {
		return nil, fmt.Errorf("parameter %s has no Init; want one, such as Zeros", name)
	}
	p := &Param{Name: name, Value: graph.Zeros(d, shape...)}
	if err := fill(p.Value, init, rand.New(rand.NewPCG(ps.seed, graph.HashString(name)))); err != nil {
		return nil, fmt.Errorf("parameter %s: %w", name, err)
	}
	if ps.byName == nil {
		ps.byName = map[string]*Param{}
	}
	ps.list = append(ps.list, p)
	ps.byName[name] = p
	return p, nil
}

// forget drops all but the first n parameters.
func (ps *Params) forget(n int) {
	for _, p := range ps.list[n:] {
		delete(ps.byName, p.Name)
	}
	ps.list = ps.list[:n]
}

// fill fails on values that the dtype of t does not hold.
func fill(t *tensor.Dense, init Init, rng *rand.Rand) error {
	draw := make([]float64, t.Shape().TotalSize())
	in, out := fans(t.Shape())
	init(rng, draw, in, out)
	switch dst := t.Data().(type) {
	case []float64:
		copy(dst, draw)
	case []float32:
		for i, v := range draw {
			dst[i] = float32(v)
			draw[i] = float64(dst[i])
		}
	}
	if i := slices.IndexFunc(draw, func(v float64) bool { return v-v != 0 }); i >= 0 {
		return fmt.Errorf("its Init makes element %d %v; want finite numbers of %v", i, draw[i], t.Dtype())
	}
	return nil
}
