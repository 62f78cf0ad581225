package distill

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// A Term is one part of what is minimised: Σ Weight(step) · mean of Loss.
type Term struct {
	// Name tells the term from the others, in logs and errors. It is the scope
	// of the parameters that the loss may have.
	Name string
	// Weight at a step is 0 or more; nil means 1.
	Weight Schedule
	// Loss is the method.
	Loss Loss
}

func (t Term) weight(step int) float64 {
	if t.Weight == nil {
		return 1
	}
	return t.Weight(step)
}

// A tempered loss has a temperature.
type tempered interface{ at(step int) float64 }

// value is what is known of the term at a step before it is computed.
func (t Term) value(step int) TermValue {
	v := TermValue{Name: t.Name, Weight: t.weight(step)}
	if l, ok := t.Loss.(tempered); ok {
		v.T = l.at(step)
	}
	return v
}

// A Loss says how far the student is from what it should be, row by row. It is
// plain data and belongs to no run. Parameters of its own, which it asks the
// builder for, are trained with the student's.
//
// Rows of padding are all zeros, on both sides. What a loss makes of them counts
// for nothing, unless its gradient there is no number: whoever divides by the
// norm of a row keeps it from 0.
type Loss interface {
	// Loss adds the loss to a graph, when that is built and not at each step:
	// what depends on the step is a Builder.Scalar.
	Loss(b *student.Builder, l Lesson) Rows
}

// LossFunc is a function that is a Loss. A configuration shows its type alone:
// a run that is resumed with another function does not notice.
type LossFunc func(b *student.Builder, l Lesson) Rows

// Loss calls f.
func (f LossFunc) Loss(b *student.Builder, l Lesson) Rows { return f(b, l) }

// A Joint loss needs all rows of an optimizer step at once: the value of a row
// depends on the others. A run refuses to split its batches.
type Joint interface {
	Loss
	// Couples does nothing: it marks the loss.
	Couples()
}

// Rows are the values of a loss: Value and Weight are (R). The engine averages
// them over the whole optimizer step, Σ weight·value / Σ weight, and a step
// without weight counts 0. A nil Weight is that of the lesson. Weights do not
// depend on the student.
type Rows struct{ Value, Weight *gorgonia.Node }

// A Lesson is what a loss may look at. A row is a sample, or a token or pixel
// where labels are of tensor.Int with axes of their own: (B, T) makes R = B·T of
// taps and signals (B, T, ...), and (B, H, W) makes R = B·H·W of (B, H, W, ...)
// and of (B, C, H, W). They are given as (R, ...), with C last. A tap or signal
// that would fit both ways is taken for (B, C, H, W).
type Lesson struct {
	// Student are the taps of the student, and Teacher the signals of the
	// teacher, which are constants. An input is here if the student's module
	// returns it as a tap.
	Student, Teacher student.Taps
	// Label is (R) of tensor.Int, -1 for none; (R, ...) of floats; or nil. Task
	// is what it means.
	Label *gorgonia.Node
	Task  data.Task
	// Weight is (R), 0 for padding and masked rows.
	Weight *gorgonia.Node

	temps []float64
	b     *student.Builder // of the term
	place func() *gorgonia.Node
	roll  *roll
}

// Logits are a teacher's logits: Dense (R, C), or the k largest in Top (R, k)
// with their classes in ID (R, k), and in LSE (R, len(Temps)) the log-sum-exp of
// the whole row at each temperature of Temps.
type Logits struct {
	Dense, Top, ID, LSE *gorgonia.Node
	Temps               []float64
}

// Logits are the teacher's under that name, whole rows or the k largest. The
// build ends with an error if it has neither.
func (l Lesson) Logits(name string) Logits {
	if n := l.Teacher[name]; n != nil {
		return Logits{Dense: n}
	}
	top := Logits{Top: l.Teacher[name+".top"], ID: l.Teacher[name+".id"], LSE: l.Teacher[name+".lse"], Temps: l.temps}
	if top.Top == nil || top.ID == nil || top.LSE == nil {
		l.b.Check(missing("signal of the teacher", name, l.Teacher))
	}
	return top
}

// Dense is the teacher's signal of that name, (R, ...), for losses that cannot
// do with less than all of it: the build ends with an error if there is less.
func (l Lesson) Dense(name string) *gorgonia.Node {
	logits := l.Logits(name)
	if logits.Dense == nil {
		l.b.Check(fmt.Errorf("the teacher has only the %d largest of %q; this loss wants all of them", logits.Top.Shape()[1], name))
	}
	return logits.Dense
}

// Tap is the student's tap of that name, (R, ...). The build ends with an error
// if there is none.
func (l Lesson) Tap(name string) *gorgonia.Node {
	n := l.Student[name]
	if n == nil {
		l.b.Check(missing("tap of the student", name, l.Student))
	}
	return n
}

func missing(what, name string, have student.Taps) error {
	if len(have) == 0 {
		return fmt.Errorf("no %s is called %q: Run.Teacher is nil, or Case.Teacher empty", what, name)
	}
	return fmt.Errorf("no %s is called %q; there are %q", what, name, slices.Sorted(maps.Keys(have)))
}

// Hinton is distillation as in Hinton et al. (2015, 1503.02531): a hard term,
// cross-entropy with the labels at T = 1, of weight 1-w, and a soft term,
// T²·KL(teacher ‖ student) at temperature T, of weight w. Usual are T = 4 and w = 0.9
// of images, and T = 20 on MNIST in the paper; the fewer units a student has, the
// lower T. A run refuses T that is not above 0, and w outside [0, 1].
func Hinton(T, w float64) []Term {
	return []Term{
		{Name: "hard", Weight: Constant(rest(w)), Loss: CrossEntropy{}},
		{Name: "soft", Weight: Constant(w), Loss: KL{T: Constant(T)}},
	}
}

// rest is 1-w, without what rounding adds to it in print.
func rest(w float64) float64 { return math.Round((1-w)*1e12) / 1e12 }

// checkTerms refuses terms that cannot be run.
func checkTerms(terms []Term, accumulate int) error {
	if len(terms) == 0 {
		return errors.New("distill: Run.Terms is empty; want one term or more, such as Hinton(4, 0.9)")
	}
	seen := map[string]bool{}
	for i, t := range terms {
		joint := couples(t.Loss)
		switch {
		case t.Name == "":
			return fmt.Errorf("distill: Run.Terms[%d].Name is empty; want a name", i)
		case seen[t.Name]:
			return fmt.Errorf("distill: Run.Terms has two terms %q; want names that differ", t.Name)
		case t.Loss == nil:
			return fmt.Errorf("distill: Run.Terms[%d].Loss of %q is nil", i, t.Name)
		case joint && accumulate > 1:
			return fmt.Errorf("distill: Run.Accumulate is %d and the loss of %q couples rows; want 1", accumulate, t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

// couples says whether a loss couples rows, by itself or by what it is made of.
func couples(l Loss) bool {
	if s, ok := l.(Self); ok {
		return couples(s.Of)
	}
	_, joint := l.(Joint)
	return joint
}

// A validator is a loss that can tell what is wrong with it at a step.
type validator interface{ validate(step int) error }

// validate says what is wrong with the term at a step.
func (t Term) validate(step int) error {
	if v, ok := t.Loss.(validator); ok {
		if err := v.validate(step); err != nil {
			return err
		}
	}
	weight := t.weight(step)
	if checkFactor("", weight) == nil {
		return nil // without making a name for it
	}
	err := checkAt(step, "the weight of term "+strconv.Quote(t.Name), weight)
	if weight < 0 {
		err = fmt.Errorf("%w (of Hinton, w is 0 to 1)", err)
	}
	return err
}

// orLogits is the usual name where none is given.
func orLogits(name string) string {
	if name == "" {
		return "logits"
	}
	return name
}

// labelled is the weight of the rows that have a label.
func (l Lesson) labelled() *gorgonia.Node {
	return l.b.Op(graph.Labelled(l.Weight, l.Label))
}
