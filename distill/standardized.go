package distill

import (
	"fmt"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// Standardized is another loss on logits of which each row has the mean 0 and
// the standard deviation 1, the student's and the teacher's: (z - mean) / (sd +
// 1e-7), where sd divides by C-1 (Sun et al. 2024, 2403.01427, algorithm 1). The
// student is not asked for logits of its teacher's size, only of its shape, as if
// each row had a temperature of its own. Its authors give the term 9 times the
// weight of the hard one at T = 2.
//
// A row of equal logits becomes zeros, and has no gradient.
type Standardized struct {
	// Of is a loss of single rows, which is shown these two alone; nil means
	// KL{T: Constant(2)}.
	Of Loss
	// Student and Teacher are the tap and the signal that are standardised; ""
	// means "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m Standardized) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("Standardized", m.Student, m.Teacher)
	l.Student = student.Taps{orLogits(m.Student): b.Op(graph.Standardize(s))}
	l.Teacher = student.Taps{orLogits(m.Teacher): b.Op(graph.Standardize(t))}
	return m.of().Loss(b, l)
}

func (m Standardized) of() Loss {
	if m.Of == nil {
		return KL{T: Constant(2)}
	}
	return m.Of
}

func (m Standardized) validate(step int) error {
	if couples(m.of()) {
		return fmt.Errorf("distill: Standardized.Of is a %T, which couples rows; want a loss of single rows", m.Of)
	}
	return Term{Loss: m.of()}.validate(step)
}
