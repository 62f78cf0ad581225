package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// MSE is the mean squared difference of the student's and the teacher's logits
// (Ba and Caruana 2014, 1312.6184), over classes and rows.
type MSE struct {
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m MSE) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.Tap(orLogits(m.Student)), l.Dense(orLogits(m.Teacher))
	return Rows{Value: b.Op(graph.MSE(s, t))}
}
