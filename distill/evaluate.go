package distill

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A Case is given values to take a loss of. The leading axis of all of them
// counts samples: logits are (B, C), or (B, T, C) with labels (B, T), and so on, see [Lesson].
type Case struct {
	// Student and Teacher are the values of the student's taps and the
	// teacher's signals, such as "logits". Taps of tensor.Int are constants.
	// Samples are all that there are, for a loss that remembers each.
	Student, Teacher data.Signals
	// Label and Weight are as in [data.Batch]: nil means none, and 1 each. Task is
	// what labels mean; zero is Classification.
	Label, Weight *tensor.Dense
	Task          data.Task
	// Temps are the temperatures of a teacher's top-k logits.
	Temps []float64

	// What a case of a run has besides: the samples of its rows, and the list of
	// all. Without them, rows are samples 0, 1, 2 and so on, and all there are.
	ids  []data.ID
	roll *roll
}

// Evaluate is the value of a loss on given values, the weighted mean over
// rows, and its gradient by each of the student's taps that it depends on, in
// their shape and dtype. Parameters of the loss are new ones. It fails on values
// that do not fit each other or the loss.
func Evaluate(loss Loss, c Case) (value float64, grads data.Signals, err error) {
	value, _, grads, err = evaluate(loss, c)
	return value, grads, err
}

// evaluate is Evaluate, with the weight of all rows.
func evaluate(loss Loss, c Case) (value, weight float64, grads data.Signals, err error) {
	t, err := newTrial(Term{Name: "loss", Loss: loss}, student.NewParams(0), c)
	if err != nil {
		return 0, 0, nil, err
	}
	out, grads, err := t.run(0, c)
	return out.loss, t.totals[0], grads, err
}

// A trial is a term on given values, in a graph of its own.
type trial struct {
	*engine
	taps *student.Params // the values of the student's
}

// newTrial compiles a term for cases of the shapes of c. The parameters that its
// loss has are kept in own.
func newTrial(term Term, own *student.Params, c Case) (*trial, error) {
	batch, spec, card, dtype, err := c.inputs()
	if err != nil {
		return nil, err
	}
	e := &engine{terms: []Term{term}, totals: make([]float64, 1), weights: make([]float64, 1)}
	if err := checkTerms(e.terms, 1); err != nil {
		return nil, err
	}
	t := &trial{e, student.NewParams(0)}
	mode := student.Mode{Rows: batch.Weight.Shape()[0], Dtype: dtype, Training: true}
	e.program, err = student.Compile(t.taps, data.Spec{}, mode, func(b *student.Builder, _ student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		r := c.roll
		if r == nil {
			r = rollOfRows(mode.Rows)
		}
		e.feed = newFeed(b, c.taps(b), spec, card, r)
		e.add(b.Scope(term.Name).With(own), 0, term)
		return e.combine(b), e.observed(b)
	})
	if err != nil {
		return nil, err
	}
	e.weigh, err = e.program.Only(e.rows[0].Weight)
	return t, err
}

// taps are parameters for the student's values, so that there is a gradient by
// them. Those that are no floats have none, and are those of c.
func (c Case) taps(b *student.Builder) student.Taps {
	taps := student.Taps{}
	for _, name := range slices.Sorted(maps.Keys(c.Student)) {
		if v := c.Student[name]; v.Dtype() == tensor.Int {
			taps[name] = b.Scope(name).Constant(v)
		} else {
			taps[name] = b.Param(name, student.Zeros, v.Shape()...)
		}
	}
	return taps
}

// run is what the term comes to at a step, with the gradients by the taps that
// it depends on, which are valid until the next run.
func (t *trial) run(step int, c Case) (outcome, data.Signals, error) {
	batch, _, _, _, err := c.inputs()
	if err != nil {
		return outcome{}, nil, err
	}
	for p := range t.taps.All() {
		if err := copyPadded(p.Value, c.Student[p.Name]); err != nil {
			return outcome{}, nil, err
		}
		p.Touch()
	}
	out, err := t.pass(step, []taught{{batch, c.Teacher}})
	if err != nil {
		return out, nil, err
	}
	grads := data.Signals{}
	for p, g := range t.program.Grads() {
		if t.taps.Lookup(p.Name) == p {
			grads[p.Name] = g
		}
	}
	return out, grads, nil
}

// inputs are the batch of a case, and what a run would know of it beforehand.
func (c Case) inputs() (b data.Batch, spec data.Spec, card teacher.Card, d tensor.Dtype, err error) {
	card = teacher.Card{Signals: map[string]data.Field{}, Temps: c.Temps}
	rows := 0
	for _, name := range slices.Sorted(maps.Keys(c.Student)) {
		v := c.Student[name]
		switch {
		case v != nil && v.Dims() > 0 && v.Dtype() == tensor.Int && !v.RequiresIterator() && (rows == 0 || v.Shape()[0] == rows):
			rows = v.Shape()[0]
		case v == nil || v.Dims() < 1 || !plain(v) || rows > 0 && v.Shape()[0] != rows || d.Type != nil && v.Dtype() != d:
			return b, spec, card, d, fmt.Errorf("distill: Case.Student %q is no batch of floats like the others", name)
		default:
			rows, d = v.Shape()[0], v.Dtype()
		}
	}
	if d.Type == nil {
		return b, spec, card, d, errors.New("distill: Case.Student is empty; want a tap or more")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teacher)) {
		v := c.Teacher[name]
		if v == nil || v.Dims() < 1 || v.Shape()[0] != rows || v.RequiresIterator() {
			return b, spec, card, d, fmt.Errorf("distill: Case.Teacher %q is no batch of %d samples", name, rows)
		}
		card.Signals[name] = data.Field{Shape: v.Shape()[1:], Dtype: v.Dtype()}
	}
	spec.Task = c.Task
	b = data.Batch{N: rows, ID: c.ids, Label: c.Label, Weight: c.Weight}
	for i := len(b.ID); i < rows; i++ {
		b.ID = append(b.ID, data.ID{Sample: uint64(i)})
	}
	if c.Label != nil && c.Label.Dims() < 1 {
		return b, spec, card, d, errors.New("distill: Case.Label is a number; want one for each sample")
	}
	if c.Label != nil {
		spec.Label = data.Field{Shape: c.Label.Shape()[1:], Dtype: c.Label.Dtype()}
	}
	if b.Weight == nil {
		b.Weight = ones(rows, spec.Label)
	}
	classes := 0
	if v := c.Student["logits"]; v != nil {
		classes = classCount(data.Field{Shape: v.Shape()[1:], Dtype: v.Dtype()}, spec.Label)
	}
	if err := checkBatch(b, spec, classes); err != nil {
		return b, spec, card, d, err
	}
	if n := b.Weight.Shape()[0]; n != rows {
		return b, spec, card, d, fmt.Errorf("distill: Case.Weight is of %d samples; want %d", n, rows)
	}
	return b, spec, card, d, nil
}

// ones are the weights of rows that all count, or of their tokens.
func ones(rows int, label data.Field) *tensor.Dense {
	shape := tensor.Shape{rows}
	if label.Dtype == tensor.Int {
		shape = append(shape, label.Shape...)
	}
	w := make([]float32, shape.TotalSize())
	for i := range w {
		w[i] = 1
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(w))
}
