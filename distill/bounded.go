package distill

import (
	"fmt"
	"math"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Bounded is the loss of a regression whose teacher is a bound and no target: the
// mean squared distance of a student's row from its label where that is more
// than the teacher's, less Margin, and else 0 (Chen et al. 2017, Learning
// Efficient Object Detection Models with Knowledge Distillation, section 3.3, with
// the mean over the numbers of a row for their sum). It stands beside a hard
// term, as in
//
//	{Name: "hard", Loss: distill.Huber{Label: true}},
//	{Name: "bound", Weight: distill.Constant(0.5), Loss: distill.Bounded{}},
type Bounded struct {
	// Margin is how much better than the teacher, in squares of the labels'
	// unit, the student has to be to be left alone: 0 or more.
	Margin float64
	// Student and Teacher are the tap and the signal; "" means "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m Bounded) Loss(b *student.Builder, l Lesson) Rows {
	label := l.labels("Bounded", data.Regression, "a set of data.NewRegression")
	z, y := l.matrices(l.Tap(orLogits(m.Student)), label)
	t := l.matrix(l.Dense(orLogits(m.Teacher)))
	return Rows{Value: b.Op(graph.Bounded(z, t, y, m.Margin))}
}

func (m Bounded) validate(int) error {
	if !(m.Margin >= 0) || math.IsInf(m.Margin, 0) {
		return fmt.Errorf("distill: Bounded.Margin is %v; want a finite number, 0 or more", m.Margin)
	}
	return nil
}
