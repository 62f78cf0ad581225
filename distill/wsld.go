package distill

import (
	"math"

	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/student"
)

// WSLD weighs the soft labels of each row (Zhou et al. 2021, 2102.00650):
//
//	(1 - exp(-CE_s / (CE_t + 1e-7))) · T² · -Σ_c p_c·log q_c
//
// with the teacher's p = softmax(t/T), the student's q = softmax(s/T), and the
// cross-entropies of both with the label, at T = 1: a row that the student knows
// better than its teacher does counts little. The weight has no gradient. A row
// without a label has weight 0. Its authors give the term 2.5 times the weight
// of the hard one.
type WSLD struct {
	// T is the temperature, above 0; nil means 2.
	T Schedule
	// Student and Teacher are the tap and the signal with the logits; "" means
	// "logits".
	Student, Teacher string
}

// Loss implements [Loss].
func (m WSLD) Loss(b *student.Builder, l Lesson) Rows {
	s, t := l.distributions("WSLD", m.Student, m.Teacher)
	beside := graph.Beside{Teacher: t, Labels: l.classes("WSLD"), T: b.Scalar(m.T.or(2))}
	return Rows{Value: b.Op(beside.Each("wsld", s, ofLabelled(squareT(wsld)))), Weight: l.labelled()}
}

func wsld(r *graph.Row) (sum float64) {
	y, T := r.Label, r.T
	hardP, hardQ := logSum(r.LogP, T, -1)-T*r.LogP[y], logSum(r.LogQ, T, -1)-T*r.LogQ[y]
	weight := -math.Expm1(-hardQ / (hardP + 1e-7))
	for c, p := range r.P {
		if p > 0 {
			sum -= weight * p * r.LogQ[c]
		}
		r.Grad[c] = -weight * p
	}
	return sum
}

func (m WSLD) validate(step int) error { return checkT("WSLD", step, m.T.at(step, 2)) }
