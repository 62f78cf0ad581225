package distill

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
)

// labels are those of the lesson, for a loss that knows what to make of the
// labels of such a task. The build ends with an error if there are others, or
// none.
func (l Lesson) labels(loss string, of data.Task, instead string) *gorgonia.Node {
	switch {
	case l.Label == nil:
		l.b.Check(fmt.Errorf("there are no labels; %s wants some", loss))
	case l.Task != of:
		l.b.Check(fmt.Errorf("the labels are of %v; %s wants those of %v: take %s", l.Task, loss, of, instead))
	}
	return l.Label
}

// numbers are the student's tap and what it should be, both (R, K): the labels,
// or the teacher's signal of that name.
func (l Lesson) numbers(loss, tap string, label bool, signal string) (z, target *gorgonia.Node) {
	z = l.Tap(orLogits(tap))
	if label {
		target = l.labels(loss+".Label", data.Regression, "CrossEntropy or BCE, or a set of data.NewRegression")
	} else {
		target = l.Dense(orLogits(signal))
	}
	return l.matrices(z, target)
}

// matrices are z and target as (R, K), where (R) is as good as (R, 1).
func (l Lesson) matrices(z, target *gorgonia.Node) (matrix, of *gorgonia.Node) {
	if z.Shape()[0] != target.Shape()[0] || !slices.Equal(values(z), values(target)) {
		l.b.Check(fmt.Errorf("the student's side is %v and the target %v; want equal shapes", z.Shape(), target.Shape()))
	}
	return l.matrix(z), l.matrix(target)
}

// values is the shape of one row, (1) for that of a number.
func values(n *gorgonia.Node) tensor.Shape {
	if n.Dims() == 1 {
		return tensor.Shape{1}
	}
	return n.Shape()[1:]
}

// matrix is n (R, ...) as (R, K).
func (l Lesson) matrix(n *gorgonia.Node) *gorgonia.Node {
	if n.Dims() == 2 {
		return n
	}
	return l.b.Reshape(n, n.Shape()[0], values(n).TotalSize())
}

// several refuses logits of a single class, whose softmax is 1 whatever they
// are.
func (l Lesson) several(z *gorgonia.Node, loss, instead string) {
	if z.Dims() == 1 || z.Dims() == 2 && z.Shape()[1] == 1 {
		l.b.Check(fmt.Errorf("the student has a single logit for each row, %v; %s wants one for each class: take %s", z.Shape(), loss, instead))
	}
}

// oneTarget refuses a target that is both the labels and a signal.
func oneTarget(loss string, label bool, signal string) error {
	if label && signal != "" {
		return fmt.Errorf("distill: %s.Label is true and %[1]s.Teacher %q; want one of them", loss, signal)
	}
	return nil
}
