package distill

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// What the losses of logits have in common: where they get them from, and what
// they refuse. Each is a page of its own with a function of one row, which
// returns the value and leaves the gradient by the logarithm of the student's
// probabilities in the row.

// distribution is the student's tap with logits of classes, (R, C).
func (l Lesson) distribution(loss, tap string) *gorgonia.Node {
	s := l.Tap(orLogits(tap))
	l.several(s, loss, "BinaryKL")
	if l.Task != data.Classification && orLogits(tap) == "logits" {
		l.b.Check(fmt.Errorf("the logits are those of %v; %s wants a distribution over classes: take BinaryKL for answers, MSE for numbers", l.Task, loss))
	}
	return s
}

// distributions are the student's logits and all of the teacher's, (R, C) both.
func (l Lesson) distributions(loss, tap, signal string) (s, t *gorgonia.Node) {
	s, t = l.distribution(loss, tap), l.Dense(orLogits(signal))
	l.sameClasses(loss, s, t)
	return s, t
}

// sameRows ends the build where logits are of other rows.
func (l Lesson) sameRows(loss string, s, t *gorgonia.Node) {
	if s.Shape()[0] != t.Shape()[0] {
		l.b.Check(fmt.Errorf("the student's logits are %v and the teacher's %v; %s wants as many rows of both", s.Shape(), t.Shape(), loss))
	}
}

// sameClasses ends the build where logits are of other rows, or classes.
func (l Lesson) sameClasses(loss string, s, t *gorgonia.Node) {
	l.sameRows(loss, s, t)
	if !slices.Equal(s.Shape(), t.Shape()) {
		l.b.Check(fmt.Errorf("the student's logits are %v and the teacher's %v; %s wants the same classes: take UniversalLogit for others", s.Shape(), t.Shape(), loss))
	}
}

// classes are the labels, (R) of int.
func (l Lesson) classes(loss string) *gorgonia.Node {
	label := l.labels(loss, data.Classification, "BinaryKL or MSE")
	if label.Dtype() != tensor.Int {
		l.b.Check(fmt.Errorf("the labels are distributions, %v; %s wants a class for each row", label.Shape(), loss))
	}
	return label
}

// scalars are numbers that depend on the step.
func scalars(b *student.Builder, at ...Schedule) (all []*gorgonia.Node) {
	for _, s := range at {
		all = append(all, b.Scalar(s))
	}
	return all
}

// squareT is T² times a loss, which keeps its gradient of one size while T
// changes.
func squareT(f func(*graph.Row) float64) func(*graph.Row) float64 {
	return func(r *graph.Row) float64 {
		k := r.T * r.T
		value := k * f(r)
		for c := range r.Grad {
			r.Grad[c] *= k
		}
		return value
	}
}

// ofLabelled is a loss of the rows with a label, and 0 of others.
func ofLabelled(f func(*graph.Row) float64) func(*graph.Row) float64 {
	return func(r *graph.Row) float64 {
		if r.Label < 0 {
			return 0
		}
		return f(r)
	}
}

// logSum is log Σ exp(k·x), around the largest of x and without the element at
// skip.
func logSum(x []float64, k float64, skip int) float64 {
	top, sum := math.Inf(-1), 0.0
	for c, v := range x {
		if c != skip {
			top = max(top, v)
		}
	}
	for c, v := range x {
		if c != skip {
			sum += math.Exp(k * (v - top))
		}
	}
	return k*top + math.Log(sum)
}

// logAdd is log(exp(x) + exp(y)).
func logAdd(x, y float64) float64 {
	if x < y {
		x, y = y, x
	}
	if math.IsInf(y, -1) {
		return x
	}
	return x + math.Log1p(math.Exp(y-x))
}

// or is the schedule, or a constant where there is none.
func (s Schedule) or(otherwise float64) Schedule {
	return func(step int) float64 { return s.at(step, otherwise) }
}

func (s Schedule) at(step int, otherwise float64) float64 {
	if s == nil {
		return otherwise
	}
	return s(step)
}

// checkT refuses a temperature of a loss that is not above 0.
func checkT(loss string, step int, T float64) error {
	if !(T > 0) || math.IsInf(T, 0) {
		return fmt.Errorf("distill: %s.T is %v at step %d; want a finite number above 0", loss, T, step)
	}
	return nil
}

// checkMix refuses what is no share of a whole.
func checkMix(field string, step int, v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("distill: %s is %v at step %d; want 0 to 1", field, v, step)
	}
	return nil
}

// checkPart refuses a weight of a part of a loss.
func checkPart(field string, step int, v float64) error {
	if !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("distill: %s is %v at step %d; want a finite number, 0 or more", field, v, step)
	}
	return nil
}
