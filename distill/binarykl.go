package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// BinaryKL is T²·Σ_c KL(σ(t_c/T) ‖ σ(s_c/T)) in nats, the divergence of a yes or
// no to each question: what [KL] is for classes, with each logit one of two, the
// other being 0 (Hinton et al. 2015, 1503.02531, for a softmax over both). It is
// the sum over the questions of a row and the mean over rows. Its gradient is
// T(q-p).
type BinaryKL struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (k BinaryKL) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.matrices(l.Tap(orLogits(k.Student)), l.Dense(orLogits(k.Teacher)))
	return Rows{Value: b.Op(graph.BinaryKL(s, t, b.Scalar(k.T.or(1))))}
}

func (k BinaryKL) validate(step int) error { return checkT("BinaryKL", step, k.T.at(step, 1)) }
