package distill

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// ErrDiverged is what a [DivergedError] is.
var ErrDiverged = errors.New("distill: diverged")

// A DivergedError says where a loss or a gradient stopped being a number.
type DivergedError struct {
	Step  int     // the step that was not done, counted from 1
	Term  string  // the term, or "gradient" where all terms were finite
	Value float64 // NaN or an infinity
}

// Error names the step and the term.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("distill: diverged at step %d: %s is %v", e.Step, e.Term, e.Value)
}

// Is makes errors.Is(err, ErrDiverged) true.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// An engine holds the graph of a student with its terms, for batches of one
// size and one mode.
type engine struct {
	*feed
	terms   []Term
	program *student.Program
	weigh   *student.Program // computes only the weights of the rows
	rows    []Rows
	means   []*gorgonia.Node
	scores  *gorgonia.Node // the logits of the student, (R, C), nil if it has none for each row
	taught  *gorgonia.Node // those of the teacher, or the classes of its largest ones
	totals  []float64      // weight of all rows of the step, for each term
	weights []float64      // of the terms at the step
	sums    map[*student.Param]*tensor.Dense

	// What is made anew in each step, and keeps its memory.
	row    []float64
	label  []float64
	params []*student.Param
	by     []*tensor.Dense // the gradients by params
}

// newEngine compiles the graph. The parameters that losses have of their own
// are kept in extra. The roll is nil for data that is not trained on.
func newEngine(m *student.Model, extra *student.Params, terms []Term, spec data.Spec, card teacher.Card, r *roll, mode student.Mode) (*engine, error) {
	e := &engine{terms: terms, totals: make([]float64, len(terms)), weights: make([]float64, len(terms)), sums: map[*student.Param]*tensor.Dense{}}
	var err error
	e.program, err = m.Compile(mode, func(b *student.Builder, taps student.Taps) (*gorgonia.Node, []*gorgonia.Node) {
		e.feed = newFeed(b, taps, spec, card, r)
		for i, t := range terms {
			e.add(b.Scope(t.Name).With(extra), i, t)
		}
		if !mode.Training {
			return nil, e.observed(b)
		}
		return e.combine(b), e.observed(b)
	})
	if err != nil {
		return nil, err
	}
	weights := make([]*gorgonia.Node, len(e.rows))
	for i, r := range e.rows {
		weights[i] = r.Weight
	}
	e.weigh, err = e.program.Only(weights...)
	return e, err
}

// add builds one term, in a scope of its own.
func (e *engine) add(b *student.Builder, i int, t Term) {
	l := e.lesson
	l.b = b
	r := t.Loss.Loss(b, l)
	if r.Weight == nil {
		r.Weight = e.lesson.Weight
	}
	if r.Value == nil {
		b.Check(errors.New("the loss returned no values"))
	}
	if b.Depends(r.Weight) {
		b.Check(errors.New("the row weights depend on a parameter; want constants"))
	}
	e.rows = append(e.rows, r)
	total := b.Scalar(func(int) float64 { return e.totals[i] })
	e.means = append(e.means, b.Op(graph.WeightedMean(r.Value, r.Weight, total)))
}

func (e *engine) combine(b *student.Builder) *gorgonia.Node {
	weights := make([]*gorgonia.Node, len(e.terms))
	for i, t := range e.terms {
		weights[i] = b.Scope(t.Name).Scalar(func(int) float64 { return e.weights[i] })
	}
	return b.Op(graph.Combine(e.means, weights))
}

// observed are the nodes that are looked at besides the cost.
func (e *engine) observed(b *student.Builder) []*gorgonia.Node {
	all := append([]*gorgonia.Node(nil), e.means...)
	l := e.lesson
	l.b = b
	if e.scores = l.scores(l.Student[teacher.Logits]); e.scores == nil {
		return all
	}
	if e.taught = l.scores(l.Teacher[teacher.Logits]); e.taught != nil && e.taught.Shape().Eq(e.scores.Shape()) {
		return append(all, e.scores, e.taught)
	}
	e.taught = nil
	if n := l.Teacher[teacher.Logits+teacher.IDSuffix]; n != nil && n.Dims() == 2 && n.Shape()[0] == e.scores.Shape()[0] {
		e.taught = n
		all = append(all, n)
	}
	return append(all, e.scores)
}

// scores is a tap or signal as (R, C), nil if it does not have a row for each of
// the lesson's. A class has one number, and what is no class may have any shape.
func (l Lesson) scores(n *gorgonia.Node) *gorgonia.Node {
	if n == nil || n.Dtype() == tensor.Int || n.Shape()[0] != l.Weight.Shape()[0] || l.Task == data.Classification && n.Dims() > 2 {
		return nil
	}
	return l.matrix(n)
}

// An outcome is what a pass over some batches came to.
type outcome struct {
	terms           []TermValue
	loss            float64
	rows            int
	right, labelled float64
}

// pass runs the batches as one optimizer step would see them: the mean of each
// term is taken over the rows of all. Gradients of a training engine are left
// in what grads returns.
func (e *engine) pass(step int, batches []taught) (outcome, error) {
	out := outcome{terms: make([]TermValue, len(e.terms))}
	for i, t := range e.terms {
		if err := t.validate(step); err != nil {
			return out, err
		}
		out.terms[i] = t.value(step)
		e.weights[i] = out.terms[i].Weight
	}
	if err := e.weighAll(step, batches); err != nil {
		return out, err
	}
	for i, b := range batches {
		if len(batches) > 1 {
			if err := e.bind(e.program, b.Batch, b.signals); err != nil {
				return out, err
			}
		}
		if err := e.program.Run(step); err != nil {
			return out, err
		}
		if len(batches) > 1 {
			e.accumulate(i == 0)
		}
		e.read(&out, b)
	}
	for _, t := range out.terms {
		if t.Weight != 0 {
			out.loss += t.Weight * t.Value
		}
	}
	return out, nil
}

// weighAll sums the weights of the rows over all batches, and leaves the last
// one bound.
func (e *engine) weighAll(step int, batches []taught) error {
	clear(e.totals)
	for _, b := range batches {
		if err := e.bind(e.program, b.Batch, b.signals); err != nil {
			return err
		}
		if err := e.weigh.Run(step); err != nil {
			return err
		}
		for i, r := range e.rows {
			if err := e.terms[i].checkWeights(e.weigh.Value(r.Weight)); err != nil {
				return err
			}
			each(e.weigh.Value(r.Weight), func(_ int, w float64) { e.totals[i] += w })
		}
	}
	return nil
}

// checkWeights refuses row weights that make no mean, and for a loss that
// couples rows those that are neither 0 nor 1.
func (t Term) checkWeights(weights *tensor.Dense) error {
	joint := couples(t.Loss)
	var err error
	each(weights, func(r int, w float64) {
		switch {
		case err != nil:
		case !(w >= 0) || w-w != 0:
			err = fmt.Errorf("distill: the weight of row %d in term %q is %v; want a finite number, 0 or more", r, t.Name, w)
		case joint && w != 0 && w != 1:
			err = fmt.Errorf("distill: the weight of row %d in term %q is %v; a loss that couples rows wants 0 or 1", r, t.Name, w)
		}
	})
	return err
}

// each calls f with the elements of a tensor of floats.
func each(t *tensor.Dense, f func(i int, v float64)) {
	if t.Dtype() == tensor.Float32 {
		for i, v := range t.Float32s() {
			f(i, float64(v))
		}
		return
	}
	for i, v := range t.Float64s() {
		f(i, v)
	}
}

// read adds what the program computed for a batch to the outcome.
func (e *engine) read(out *outcome, b taught) {
	for i, n := range e.means {
		out.terms[i].Value += e.program.Scalar(n)
	}
	out.rows += b.N
	logits := e.logits()
	if logits == nil || b.Label == nil {
		return
	}
	for r, w := range b.Weight.Float32s() {
		if w > 0 {
			right, of := e.right(logits, b.Label, r)
			out.right += float64(w) * right
			out.labelled += float64(w) * of
		}
	}
}

// right is how many answers of row r are right, of so many that there are.
func (e *engine) right(logits, label *tensor.Dense, r int) (right, of float64) {
	switch {
	case label.Dtype() == tensor.Int:
		y := label.Ints()[r]
		if y < 0 {
			return 0, 0
		}
		if e.first(logits, r) == y {
			right = 1
		}
		return right, 1
	case e.lesson.Task == data.MultiLabel && label.Shape().TotalSize() == logits.Shape().TotalSize():
		e.row, e.label = rowOf(e.row, logits, r), labelRow(e.label, label, r, logits.Shape()[1])
		for c, z := range e.row {
			if isYes(z) == (e.label[c] > 0.5) {
				right++
			}
		}
		return right, float64(len(e.row))
	}
	return 0, 0
}

// logits are the student's in the last run, (R, C), nil if it has none for
// each row.
func (e *engine) logits() *tensor.Dense { return e.program.Value(e.scores) }

// taughtLogits are the teacher's in the last run, of the same shape, or the
// classes of its largest ones (R, k), nil if they cannot be compared with the
// student's.
func (e *engine) taughtLogits() *tensor.Dense { return e.program.Value(e.taught) }

// classes are the labels of a batch, nil if they are no classes.
func classes(b data.Batch) []int {
	if b.Label == nil || b.Label.Dtype() != tensor.Int {
		return nil
	}
	return b.Label.Ints()
}

// first is the class with the largest logit of row r.
func (e *engine) first(logits *tensor.Dense, r int) int {
	e.row = classRow(e.row, logits, r)
	return argmax(e.row)
}

// accumulate adds the gradients of the last run to the sums, which the first
// of a step starts.
func (e *engine) accumulate(first bool) {
	for p, g := range e.program.Grads() {
		sum := e.sums[p]
		if sum == nil {
			sum = tensor.New(tensor.Of(g.Dtype()), tensor.WithShape(g.Shape()...))
			e.sums[p] = sum
		}
		if g.Dtype() == tensor.Float32 {
			addTo(floats[float32](sum), floats[float32](g), first)
		} else {
			addTo(floats[float64](sum), floats[float64](g), first)
		}
	}
}

func addTo[T floating](dst, src []T, first bool) {
	if first {
		clear(dst)
	}
	for i, v := range src {
		dst[i] += v
	}
}

// grads are the parameters with their gradients of the last pass, over n
// batches, until it is called again.
func (e *engine) grads(n int) ([]*student.Param, []*tensor.Dense) {
	e.params, e.by = e.params[:0], e.by[:0]
	for p, g := range e.program.Grads() {
		if n > 1 {
			g = e.sums[p]
		}
		e.params, e.by = append(e.params, p), append(e.by, g)
	}
	return e.params, e.by
}
