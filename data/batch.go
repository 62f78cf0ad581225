package data

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"
)

// maxElements bounds one tensor of a batch. A larger one is a mistake, and its
// size might not fit an int.
const maxElements = math.MaxInt32

// NewBatch is a batch with room for the given number of samples and none in
// it yet: zeros, weights of 0 and labels Unlabelled. It fails when the spec
// makes no sense.
func NewBatch(s Spec, rows int) (Batch, error) {
	if rows < 1 || rows > maxElements {
		return Batch{}, fmt.Errorf("data: batch of %d rows; want 1 to %d", rows, maxElements)
	}
	if err := s.check(rows); err != nil {
		return Batch{}, err
	}
	b := Batch{ID: make([]ID, 0, rows), In: make(Signals, len(s.In))}
	for name, f := range s.In {
		b.In[name] = f.rows(rows)
	}
	weight := Field{Dtype: tensor.Float32}
	if s.labelled() {
		b.Label = s.Label.rows(rows)
	}
	if s.Label.Dtype == tensor.Int {
		weight.Shape = s.Label.Shape
		fill(b.Label.Data().([]int), Unlabelled)
	}
	b.Weight = weight.rows(rows)
	return b, nil
}

// Append reads a view of sample i of set into the first row of padding of a
// batch that [NewBatch] made from the set's spec. What was read must be
// finite, labels must be Unlabelled or below the count of classes, soft labels
// 0 or more with a sum of 1 or all 0, those of MultiLabel 0 to 1, and weights
// must not be negative. After an error the batch is not to be used.
func (b *Batch) Append(set Set, i int, view uint64) error {
	if set == nil {
		return fmt.Errorf("data: Append: %w", errNilSet)
	}
	if b.Weight == nil || b.N == b.Weight.Shape()[0] {
		return fmt.Errorf("data: row %d: the batch has no room for more than %d samples", i, b.N)
	}
	spec := set.Spec()
	if err := b.takes(spec); err != nil {
		return fmt.Errorf("data: row %d: %w", i, err)
	}
	id, err := b.readRow(b.N, set, i, func(uint64) uint64 { return view }, spec)
	if err != nil {
		return err
	}
	b.ID = append(b.ID, id)
	b.N++
	return nil
}

// AppendAll is Append for n samples, of which at says the place in the set and
// the view. So many goroutines read them; 0 means as many as a Loader has.
func (b *Batch) AppendAll(set Set, n, goroutines int, at func(r int) (i int, view uint64)) error {
	if set == nil {
		return fmt.Errorf("data: AppendAll: %w", errNilSet)
	}
	if b.Weight == nil || n < 0 || n > b.Weight.Shape()[0]-b.N {
		return fmt.Errorf("data: %d rows: the batch of %d samples has no room for them", n, b.N)
	}
	if goroutines < 0 {
		return fmt.Errorf("data: AppendAll has %d goroutines; want 0 or more", goroutines)
	}
	spec := set.Spec()
	if err := b.takes(spec); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	first := b.N
	b.N += n
	b.ID = append(b.ID, make([]ID, n)...)
	return share(min(workers(goroutines, set), n), n, func(r int) (err error) {
		i, view := at(r)
		b.ID[first+r], err = b.readRow(first+r, set, i, func(uint64) uint64 { return view }, spec)
		return err
	})
}

// takes says what samples of a spec have that is not as it is in the batch.
func (b *Batch) takes(s Spec) error {
	if len(b.In) != len(s.In) {
		return fmt.Errorf("the set has %d inputs and the batch %d; want a batch of its Spec", len(s.In), len(b.In))
	}
	for _, name := range slices.Sorted(maps.Keys(s.In)) {
		if err := s.In[name].is(b.In[name]); err != nil {
			return fmt.Errorf("input %q of the set %w", name, err)
		}
	}
	if s.labelled() != (b.Label != nil) {
		return fmt.Errorf("one of set and batch has labels; want a batch of the set's Spec")
	}
	if !s.labelled() {
		return nil
	}
	if err := s.Label.is(b.Label); err != nil {
		return fmt.Errorf("the label of the set %w", err)
	}
	return nil
}

// is says in what a field differs from the rows of a batch.
func (f Field) is(rows *tensor.Dense) error {
	switch {
	case rows == nil:
		return errors.New("is not in the batch; want a batch of its Spec")
	case rows.Dtype() != f.Dtype || !slices.Equal(rows.Shape()[1:], f.Shape):
		return fmt.Errorf("is %v, %v, and that of the batch %v, %v; want a batch of its Spec", f.Shape, f.Dtype, rows.Shape()[1:], rows.Dtype())
	}
	return nil
}

// readRow reads a view of sample i of set, which depends on the sample's id,
// into row r, where there is padding. A panic of the set becomes an error, for
// it may be on a goroutine that nobody else watches.
func (b *Batch) readRow(r int, set Set, i int, view func(id uint64) uint64, spec Spec) (id ID, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("data: row %d, sample %d: %w", i, id.Sample, err)
		}
	}()
	id.Sample = set.ID(i)
	id.View = view(id.Sample)
	fill(Row[float32](b.Weight, r), 1)
	if err := set.Read(i, id.View, Sample{Batch: b, Row: r}); err != nil {
		return id, err
	}
	return id, b.checkRow(r, spec)
}

// checkRow says what is wrong with the values of row r. Of several inputs it
// names the first in the alphabet.
func (b *Batch) checkRow(r int, spec Spec) error {
	bad, at := "", -1
	for name, t := range b.In {
		if i := notFinite(t, r); i >= 0 && (at < 0 || name < bad) {
			bad, at = name, i
		}
	}
	if at >= 0 {
		return fmt.Errorf("input %q is not finite at element %d", bad, at)
	}
	err := errors.Join(checkFloats(spec.Task, Row[float32](b.Label, r)), checkFloats(spec.Task, Row[float64](b.Label, r)))
	if err != nil {
		return err
	}
	classes := len(spec.Classes)
	for _, class := range Row[int](b.Label, r) {
		if class < Unlabelled || classes > 0 && class >= classes {
			return fmt.Errorf("label is %d; want %s", class, classRange(classes))
		}
	}
	for _, w := range Row[float32](b.Weight, r) {
		if !(w >= 0) || w-w != 0 {
			return fmt.Errorf("weight is %v; want a finite number, 0 or more", w)
		}
	}
	return nil
}

// checkSoft wants probabilities, or all zeros where there is no label. The sum
// has room for rounding to float32.
func checkSoft[E float32 | float64](label []E) error {
	sum := 0.0
	for i, p := range label {
		if p < 0 {
			return fmt.Errorf("label is %v at element %d; want 0 or more", p, i)
		}
		sum += float64(p)
	}
	if sum != 0 && math.Abs(sum-1) > 1e-3 {
		return fmt.Errorf("label has the sum %.4g; want 1, or all zeros for no label", sum)
	}
	return nil
}

func classRange(classes int) string {
	if classes == 0 {
		return "-1 or more"
	}
	return fmt.Sprintf("-1 to %d", classes-1)
}

// notFinite is the place of the first NaN or infinity in row r, or -1.
func notFinite(t *tensor.Dense, r int) int {
	if i := firstNotFinite(Row[float32](t, r)); i >= 0 {
		return i
	}
	return firstNotFinite(Row[float64](t, r))
}

func firstNotFinite[E float32 | float64](row []E) int {
	return slices.IndexFunc(row, func(v E) bool { return v-v != 0 })
}

func fill[E any](row []E, v E) {
	for i := range row {
		row[i] = v
	}
}

// labelled says whether the samples have labels.
func (s Spec) labelled() bool { return s.Label.Dtype != tensor.Dtype{} }

// check says what is wrong with a spec for batches of so many rows.
func (s Spec) check(rows int) error {
	if len(s.In) == 0 {
		return fmt.Errorf("data: Spec.In is empty; want an input")
	}
	for _, name := range slices.Sorted(maps.Keys(s.In)) {
		if err := s.In[name].check(rows); err != nil {
			return fmt.Errorf("data: Spec.In[%q] %w", name, err)
		}
	}
	if s.Views < 0 {
		return fmt.Errorf("data: Spec.Views is %d; want 0 or more", s.Views)
	}
	if s.Task < Classification || s.Task > Regression {
		return fmt.Errorf("data: Spec.Task is %d; want Classification, MultiLabel or Regression", s.Task)
	}
	if err := s.checkClasses(); err != nil || !s.labelled() {
		return err
	}
	if err := s.Label.check(rows); err != nil {
		return fmt.Errorf("data: Spec.Label %w", err)
	}
	return s.checkLabel()
}

func (s Spec) checkClasses() error {
	seen := make(map[string]bool, len(s.Classes))
	for _, name := range s.Classes {
		if seen[name] {
			return fmt.Errorf("data: Spec.Classes has %q twice", name)
		}
		seen[name] = true
	}
	return nil
}

func (f Field) check(rows int) error {
	if f.Dtype != tensor.Float32 && f.Dtype != tensor.Float64 && f.Dtype != tensor.Int {
		return fmt.Errorf("has dtype %v; want float32, float64 or int", f.Dtype)
	}
	size := rows
	for _, n := range f.Shape {
		if n < 1 || n > maxElements/size {
			return fmt.Errorf("has shape %v; want axes of 1 or more, and at most %d elements in %d rows", f.Shape, maxElements, rows)
		}
		size *= n
	}
	return nil
}

// rows are n zeroed rows of the field.
func (f Field) rows(n int) *tensor.Dense {
	shape := append(tensor.Shape{n}, f.Shape...)
	return tensor.New(tensor.Of(f.Dtype), tensor.WithShape(shape...))
}
