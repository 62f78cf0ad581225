package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// L1 is the mean absolute difference of what the student and the teacher say,
// or, with Label, of the student and the labels, over the numbers of a row and
// the rows: PyTorch's L1Loss. Where they are equal its gradient is 0.
type L1 struct {
	// Student and Teacher are the tap and the signal; "" means "logits".
	Student, Teacher string
	// Label takes the labels of a regression for the target, and no teacher.
	Label bool
}

// Loss implements [Loss].
func (m L1) Loss(b *student.Builder, l Lesson) Rows {
	return Rows{Value: b.Op(graph.L1(l.numbers("L1", m.Student, m.Label, m.Teacher)))}
}

func (m L1) validate(int) error { return oneTarget("L1", m.Label, m.Teacher) }
