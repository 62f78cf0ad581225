package distill

import (
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// TotalVariation is ½·Σ_c |p_c - q_c| of the teacher's p = softmax(t/T) and the
// student's q = softmax(s/T): the most by which they disagree on any set of
// classes, from 0 to 1 (f-Distill, Wen et al. 2023, 2307.15190). There is no
// factor T². Where a p and a q are equal, its gradient by them is 0.
type TotalVariation struct {
	// T is the temperature, above 0; nil means 1.
	T Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m TotalVariation) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("TotalVariation", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, T: b.Scalar(m.T.or(1))}
	return Rows{Value: b.Op(beside.Each("total variation", s, totalVariation))}
}

func totalVariation(r *graph.Row) (sum float64) {
	for c, q := range r.Q {
		d := q - r.P[c]
		sum += math.Abs(d) / 2
		r.Grad[c] = q * sign(d) / 2
	}
	return sum
}

// sign is 1, 0 or -1.
func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // 0, or NaN
}

func (m TotalVariation) validate(step int) error {
	return checkT("TotalVariation", step, m.T.at(step, 1))
}
