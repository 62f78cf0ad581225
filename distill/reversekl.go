package distill

import (
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// ReverseKL is T²·KL(q ‖ p) in nats, with the student's q = softmax(s/T) before
// the teacher's p = softmax(t/T): the student is kept from what its teacher would
// not say, and may leave out some of what it would (MiniLLM, Gu et al. 2024,
// 2306.08543, equation 1, token by token and at T = 1). T² is that of [KL].
type ReverseKL struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m ReverseKL) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("ReverseKL", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1))}
	return Rows{Value: b.Op(beside.Each("reverse kl", s, squareT(reverseKL)))}
}

func reverseKL(r *graph.Row) (sum float64) {
	for c, q := range r.Q {
		if q > 0 {
			d := q * (r.LogQ[c] - r.LogP[c])
			sum += d
			r.Grad[c] = d
		}
	}
	return sum
}

func (m ReverseKL) validate(step int) error { return checkT("ReverseKL", step, m.T.at(step, 1)) }
