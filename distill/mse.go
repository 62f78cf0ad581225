package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// MSE is the mean squared difference of the student's and the teacher's logits
// (Ba and Caruana 2014, 1312.6184), over classes and rows. In regression it is
// that of what both say, or, with Label, of the student and the labels: PyTorch's
// MSELoss.
type MSE struct {
	// Student and Teacher are the tap and the signal; "" means "logits".
	Student, Teacher string
	// Label takes the labels of a regression for the target, and no teacher.
	Label bool
}

// Loss implements [Loss].
func (m MSE) Loss(b *student.Builder, l Lesson) Rows {
	return Rows{Value: b.Op(graph.MSE(l.numbers("MSE", m.Student, m.Label, m.Teacher)))}
}

func (m MSE) validate(int) error { return oneTarget("MSE", m.Label, m.Teacher) }
