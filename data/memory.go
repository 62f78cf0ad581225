package data

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"gorgonia.org/tensor"
)

// A Memory is a set of samples in memory. It has one view of each. The zero
// Memory is empty, and so is nil.
type Memory struct {
	spec  Spec
	rows  Batch           // all samples; inputs may be bytes
	ids   []uint64        // nil: sample i has id i
	print func() [32]byte // nil: unknown
}

// NewMemory is a set of the samples along the leading axis of the inputs.
// Inputs are of tensor.Float32, Float64 or Int, or of tensor.Uint8: bytes stay
// bytes in memory and are read as float32, unscaled. Label is nil, (N, ...)
// of tensor.Int, or (N, C) of a float type; classes may be nil. Sample
// i has id i and weight 1: see [Memory.WithIDs] and [Memory.WithWeights]. A label
// of several axes is one for each token or pixel: (N, T) or (N, H, W).
//
// It fails on shapes and dtypes that do not fit, on values that are not finite,
// on labels that are neither Unlabelled nor one of the classes, and on soft
// labels that are neither probabilities nor all 0. The tensors are kept, not
// copied: they must not be written to any more.
func NewMemory(in Signals, label *tensor.Dense, classes []string) (*Memory, error) {
	return newMemory(Classification, in, label, classes)
}

// NewMultiLabel is [NewMemory] for yes or no to each of C questions: label is
// (N, C) of a float type, or (N) of one question, from 0 for no to 1 for yes, or
// nil. Names are those of the questions, and may be nil.
func NewMultiLabel(in Signals, label *tensor.Dense, names []string) (*Memory, error) {
	return newMemory(MultiLabel, in, label, names)
}

// NewRegression is [NewMemory] for numbers: label is (N, ...) of a float type,
// or nil. Names are those of the numbers of a sample, and may be nil.
func NewRegression(in Signals, label *tensor.Dense, names []string) (*Memory, error) {
	return newMemory(Regression, in, label, names)
}

func newMemory(task Task, in Signals, label *tensor.Dense, names []string) (*Memory, error) {
	m := &Memory{
		spec: Spec{In: make(map[string]Field, len(in)), Task: task, Classes: slices.Clone(names), Views: 1},
		rows: Batch{In: maps.Clone(in), Label: label},
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		f, err := m.field(in[name])
		if err != nil {
			return nil, fmt.Errorf("data: input %q %w", name, err)
		}
		if f.Dtype == tensor.Uint8 {
			f.Dtype = tensor.Float32
		}
		m.spec.In[name] = f
	}
	if label != nil {
		f, err := m.field(label)
		if err != nil {
			return nil, fmt.Errorf("data: label %w", err)
		}
		m.spec.Label = f
	}
	if err := m.spec.check(max(m.rows.N, 1)); err != nil {
		return nil, err
	}
	return m.seal()
}

// field is the field of t's rows, of which there must be as many as in the
// tensors before it.
func (m *Memory) field(t *tensor.Dense) (Field, error) {
	switch {
	case t == nil:
		return Field{}, fmt.Errorf("is nil")
	case len(t.Shape()) == 0 || t.Shape()[0] < 1:
		return Field{}, fmt.Errorf("has shape %v; want a leading axis of 1 or more samples", t.Shape())
	case t.RequiresIterator() || t.DataOrder().IsColMajor() || t.DataSize() != t.Shape().TotalSize():
		return Field{}, fmt.Errorf("is a view or a transpose; want a tensor that is stored by rows")
	}
	n := t.Shape()[0]
	if m.rows.N == 0 {
		m.rows.N = n
	}
	if n != m.rows.N {
		return Field{}, fmt.Errorf("has %d samples; the inputs before it have %d", n, m.rows.N)
	}
	return Field{Shape: t.Shape()[1:].Clone(), Dtype: t.Dtype()}, nil
}

// seal checks the rows and prepares the fingerprint.
func (m *Memory) seal() (*Memory, error) {
	for i := range m.rows.N {
		if err := m.rows.checkRow(i, m.spec); err != nil {
			return nil, fmt.Errorf("data: row %d, sample %d: %w", i, m.ID(i), err)
		}
	}
	m.print = sync.OnceValue(m.fingerprint)
	return m, nil
}

// WithIDs is the set with ids[i] as the id of sample i. Ids must differ.
func (m *Memory) WithIDs(ids []uint64) (*Memory, error) {
	if len(ids) != m.rows.N {
		return nil, fmt.Errorf("data: %d ids for %d samples", len(ids), m.rows.N)
	}
	row := make(map[uint64]int, len(ids))
	for i, id := range ids {
		if first, ok := row[id]; ok {
			return nil, fmt.Errorf("data: rows %d and %d both have id %d", first, i, id)
		}
		row[id] = i
	}
	with := &Memory{spec: m.spec, rows: m.rows, ids: slices.Clone(ids)}
	return with.seal()
}

// WithWeights is the set with weights of tensor.Float32, finite and not
// negative: (N), or in the shape of labels of tensor.Int.
func (m *Memory) WithWeights(w *tensor.Dense) (*Memory, error) {
	if m.rows.N == 0 {
		return nil, errors.New("data: WithWeights of an empty set")
	}
	f, err := m.field(w)
	if err != nil {
		return nil, fmt.Errorf("data: weights: %w", err)
	}
	var want tensor.Shape
	if m.spec.Label.Dtype == tensor.Int {
		want = m.spec.Label.Shape
	}
	if f.Dtype != tensor.Float32 || !slices.Equal(f.Shape, want) {
		return nil, fmt.Errorf("data: weights of one sample are %v of shape %v; want float32 of shape %v", f.Dtype, f.Shape, want)
	}
	with := &Memory{spec: m.spec, rows: m.rows, ids: m.ids}
	with.rows.Weight = w
	return with.seal()
}

// Len implements [Set].
func (m *Memory) Len() int {
	if m == nil {
		return 0
	}
	return m.rows.N
}

// Spec implements [Set]. The first call hashes the samples.
func (m *Memory) Spec() Spec {
	if m == nil {
		return Spec{}
	}
	s := m.spec
	if m.print != nil {
		s.Fingerprint = m.print()
	}
	return s
}

// ID implements [Set].
func (m *Memory) ID(i int) uint64 {
	if m.ids == nil {
		return uint64(i)
	}
	return m.ids[i]
}

// Read implements [Set].
func (m *Memory) Read(i int, view uint64, dst Sample) error {
	if i < 0 || i >= m.rows.N {
		return fmt.Errorf("row %d of a set of %d", i, m.rows.N)
	}
	if view != 0 {
		return fmt.Errorf("view %d of a set with one view", view)
	}
	for name, t := range m.rows.In {
		copyRow(dst.Batch.In[name], dst.Row, t, i)
	}
	copyRow(dst.Batch.Label, dst.Row, m.rows.Label, i)
	copyRow(dst.Batch.Weight, dst.Row, m.rows.Weight, i)
	return nil
}

// copyRow copies row i of src, unless that is nil, to row r of dst.
func copyRow(dst *tensor.Dense, r int, src *tensor.Dense, i int) {
	if src == nil {
		return
	}
	switch src.Dtype() {
	case tensor.Float32:
		copy(Row[float32](dst, r), Row[float32](src, i))
	case tensor.Float64:
		copy(Row[float64](dst, r), Row[float64](src, i))
	case tensor.Int:
		copy(Row[int](dst, r), Row[int](src, i))
	case tensor.Uint8:
		to := Row[float32](dst, r)
		for j, v := range src.Uint8s()[i*len(to) : (i+1)*len(to)] {
			to[j] = float32(v)
		}
	}
}

func (m *Memory) fingerprint() [32]byte {
	d := newDigest("memory")
	d.number(len(m.rows.In))
	for _, name := range slices.Sorted(maps.Keys(m.rows.In)) {
		d.text(name)
		d.tensor(m.rows.In[name])
	}
	d.tensor(m.rows.Label)
	d.tensor(m.rows.Weight)
	d.texts(m.spec.Classes)
	d.number(len(m.ids))
	numbers(d, m.ids)
	if m.spec.Task != Classification {
		d.text(m.spec.Task.String())
	}
	return d.sum()
}
